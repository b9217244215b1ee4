//! This machine as a hypervisor with local storages.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use imprint_domain::name::Name;
use imprint_service::LocalRequest;

use super::settings::ServerSettings;

/// Returns the location, hypervisor and storages that `ensure_local` makes of this machine. The
/// folder of `stock_image` is the stock storage, so that nothing is copied.
///
/// A demo emulates its small guests unless the configuration says otherwise: that works on every
/// machine, also inside a virtual machine whose KVM is there but cannot run a stock kernel.
///
/// # Errors
///
/// A storage's folder cannot be made.
pub(super) fn request(
    settings: &ServerSettings,
    demo: bool,
    stock_image: Option<&Path>,
) -> Result<LocalRequest> {
    let storage = settings.data_dir.join("storage");
    let images = storage.join("images");
    let stock = match stock_image {
        Some(file) => std::path::absolute(file)?.parent().context("a file is in a folder")?.to_owned(),
        None => storage.join("stock"),
    };
    for folder in [&images, &stock] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let accelerator = settings.file.agent.accelerator.clone();
    let accelerator =
        accelerator.unwrap_or_else(|| if demo { "tcg" } else { fastest_accelerator() }.to_owned());
    let mut driver_settings = BTreeMap::from([("accelerator".to_owned(), accelerator)]);
    if settings.file.agent.freeze_hooks {
        driver_settings.insert("freeze-hooks".to_owned(), "present".to_owned());
    }
    driver_settings.extend(settings.file.agent.network.driver_settings());
    Ok(LocalRequest {
        location: Name::parse("home")?,
        hypervisor: Name::parse("this-machine")?,
        driver: "qemu".parse()?,
        driver_settings,
        customer_path: images.to_string_lossy().into_owned(),
        stock_path: stock.to_string_lossy().into_owned(),
    })
}

/// Returns `kvm` where this process may use it on hardware, else `tcg` (emulation), which is slower
/// and works everywhere. A `/dev/kvm` without hardware behind it (PVM) runs only guests
/// that are made for it: others hang in their boot loader.
fn fastest_accelerator() -> &'static str {
    let hardware =
        ["kvm_intel", "kvm_amd"].iter().any(|module| Path::new("/sys/module").join(module).exists());
    let usable = || std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if hardware && usable() { "kvm" } else { "tcg" }
}

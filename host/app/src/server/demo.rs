//! What `--demo` adds: logins that are printed, a stock image, and a first instance that runs.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use imprint_domain::{image::ImageFormat, name::Name, size::ByteSize};
use imprint_service::{DemoRequest, DemoSetup, Service, StockImageFile};
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use crate::local;

/// Name of the demo's customer account.
const ACCOUNT: &str = "demo";
/// Name of its first instance.
const INSTANCE: &str = "demo-1";
/// Memory of the first instance.
const MEMORY_MIB: u64 = 256;
/// How long the first instance may wait for the stock image and the agent.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Passwords to show. `None`: unchanged, the owner knows it.
pub(crate) struct Logins {
    admin: Option<String>,
    demo: Option<String>,
}

/// Makes the admin account, and chooses the passwords. In a demo both are set at every start,
/// because both are shown.
pub(crate) async fn accounts(service: &Service, demo: bool) -> Result<Logins> {
    let wanted = |variable: &str| std::env::var(variable).ok().filter(|password| !password.is_empty());
    let chosen = wanted("IMPRINT_ADMIN_PASSWORD").or_else(|| demo.then(password));
    let generated = service.ensure_admin(chosen.clone()).await.map_err(local::told)?;
    let demo_password = demo.then(|| wanted("IMPRINT_DEMO_PASSWORD").unwrap_or_else(password));
    Ok(Logins { admin: generated.or(chosen), demo: demo_password })
}

/// Twenty characters that are hard to confuse: 98 bits.
fn password() -> String {
    const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..20)
        .filter_map(|_| ALPHABET.get(random.random_range(0..ALPHABET.len())).map(|byte| char::from(*byte)))
        .collect()
}

/// What the service shall make of the demo.
pub(crate) fn request(stock_image: Option<&Path>, logins: &Logins) -> Result<DemoRequest> {
    Ok(DemoRequest {
        stock_image: stock_image.map(stock_file).transpose()?,
        account: Name::parse(ACCOUNT)?,
        password: logins.demo.clone(),
        instance: Name::parse(INSTANCE)?,
        memory: ByteSize::MIB.checked_mul(MEMORY_MIB).context("some MiB are a size")?,
    })
}

fn stock_file(path: &Path) -> Result<StockImageFile> {
    if !path.is_file() {
        bail!("there is no stock image at {}; `cargo xtask build guest` makes one", path.display());
    }
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("raw" | "img") => ImageFormat::Raw,
        Some("qcow2") => ImageFormat::Qcow2,
        Some(_) | None => {
            bail!("{} must end in .raw, .img or .qcow2: the format is never guessed", path.display())
        }
    };
    let key =
        path.file_name().and_then(|name| name.to_str()).context("the stock image's name is not UTF-8")?;
    Ok(StockImageFile {
        name: Name::parse("Imprint demo Linux")?,
        description: "A small Linux that writes to its disk all the time; busybox, QEMU guest agent, NoCloud"
            .to_owned(),
        key: key.to_owned(),
        format,
    })
}

/// Deploys the first instance as soon as the stock image is available.
pub(crate) async fn first_instance(
    service: Service,
    demo: DemoSetup,
    request: DemoRequest,
    stop: CancellationToken,
) {
    let deployed = tokio::select! {
        () = stop.cancelled() => return,
        deployed = service.ensure_demo_instance(&demo, &request, PATIENCE) => deployed,
    };
    match deployed {
        Ok(Some(id)) => tracing::info!(%id, "the first instance is on its way"),
        Ok(None) => tracing::warn!("no stock image: pass one with --stock-image to have a first instance"),
        Err(error) => {
            tracing::error!(error = %local::chain(&error), "the first instance could not be deployed")
        }
    }
}

/// Tells where it is, and the logins that nobody knows yet.
#[expect(clippy::print_stdout, reason = "this is what the person who typed the command waits for")]
pub(crate) fn print(url: &str, logins: &Logins) {
    println!("Imprint is listening on {url}");
    for (account, password) in [("admin", &logins.admin), (ACCOUNT, &logins.demo)] {
        if let Some(password) = password {
            println!("  account {account:<6} password {password}");
        }
    }
}

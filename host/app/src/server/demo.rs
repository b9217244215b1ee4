//! What `--demo` adds: logins that are printed, a stock image, and a running instance.

mod fixture;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use imprint_domain::{image::ImageFormat, name::Name, size::ByteSize};
use imprint_service::{LocalSetup, Service};
use tokio_util::sync::CancellationToken;

use self::fixture::{Demo, DemoRequest, StockImageFile};
use crate::errors;

/// Name of the demo's customer account.
const ACCOUNT: &str = "demo";
/// Name of its first instance.
const INSTANCE: &str = "demo-1";
/// Memory of the first instance.
const MEMORY_MIB: u64 = 256;
/// How long deploying the first instance may wait for the stock image and the agent.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The passwords to print; `None` for one that was not changed.
pub(super) struct Logins {
    admin: Option<String>,
    demo: Option<String>,
}

/// The variable with the password of the account `admin`.
const ADMIN_PASSWORD: &str = "IMPRINT_ADMIN_PASSWORD";
/// The variable with the password of the demo's customer account.
const DEMO_PASSWORD: &str = "IMPRINT_DEMO_PASSWORD";

/// Makes the admin account and chooses the passwords. A demo sets both at every start, because it
/// prints both.
///
/// # Errors
///
/// A password of the environment is refused (the error names its variable), or the database fails.
pub(super) async fn accounts(service: &Service, demo: bool) -> Result<Logins> {
    let given = from_environment(ADMIN_PASSWORD);
    let is_given = given.is_some();
    let chosen = given.or_else(|| demo.then(|| service.generate_password()));
    let ensured = service.ensure_admin(chosen.clone()).await.map_err(errors::to_anyhow);
    let generated = if is_given { ensured.context(ADMIN_PASSWORD)? } else { ensured? };
    let demo_password =
        demo.then(|| from_environment(DEMO_PASSWORD).unwrap_or_else(|| service.generate_password()));
    Ok(Logins { admin: generated.or(chosen), demo: demo_password })
}

/// Returns the value of a variable that is set and not empty.
fn from_environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Returns the accounts, stock image and instance of the demo.
///
/// # Errors
///
/// The stock image is missing, or its name does not end in a format.
pub(super) fn request(stock_image: Option<&Path>, logins: &Logins) -> Result<DemoRequest> {
    Ok(DemoRequest {
        stock_image: stock_image.map(stock_file).transpose()?,
        account: Name::parse(ACCOUNT)?,
        password: logins.demo.clone(),
        instance: Name::parse(INSTANCE)?,
        memory: ByteSize::MIB.checked_mul(MEMORY_MIB).context("a constant size")?,
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
            bail!("the name {} must end in .raw, .img or .qcow2; the format is never guessed", path.display())
        }
    };
    let key =
        path.file_name().and_then(|name| name.to_str()).context("the stock image's name is not UTF-8")?;
    Ok(StockImageFile {
        name: Name::parse("Imprint demo Linux")?,
        description: "A small Linux to try things out with: busybox, QEMU guest agent, SSH server, NoCloud"
            .to_owned(),
        key: key.to_owned(),
        format,
        ssh_user: "root".to_owned(),
    })
}

/// Creates what is missing of the customer account and the stock image.
///
/// # Errors
///
/// The password is refused, or the database fails.
pub(super) async fn ensure(service: &Service, local: LocalSetup, request: &DemoRequest) -> Result<Demo> {
    fixture::ensure(service, local, request).await.map_err(errors::to_anyhow)
}

/// Deploys the first instance as soon as the stock image is available.
pub(super) async fn first_instance(
    service: Service,
    demo: Demo,
    request: DemoRequest,
    stop: CancellationToken,
) {
    let deployed = tokio::select! {
        () = stop.cancelled() => return,
        deployed = fixture::ensure_instance(&service, &demo, &request, DEPLOY_TIMEOUT) => deployed,
    };
    match deployed {
        Ok(Some(id)) => tracing::info!(%id, "the first instance is being deployed"),
        Ok(None) => tracing::warn!("no instance is deployed: name a stock image with --stock-image"),
        Err(error) => {
            tracing::error!(error = %errors::with_cause(&error), "the first instance could not be deployed")
        }
    }
}

/// Prints the server's address and the logins that are new.
#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn print(url: &str, logins: &Logins) {
    println!("Imprint is listening on {url}");
    for (account, password) in [("admin", &logins.admin), (ACCOUNT, &logins.demo)] {
        if let Some(password) = password {
            println!("  account {account:<6} password {password}");
        }
    }
}

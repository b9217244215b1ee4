//! `imprint doctor`: what is wrong on this machine, and with the server.

use std::{path::Path, process::ExitCode};

use crate::{
    agent_cmd,
    cli::DoctorArgs,
    client::{
        doctor::{Check, remote, report},
        output::Output,
    },
    mover::Isolation,
    plugin_ports::PluginPorts,
    serve::Common,
};

/// Looks at this machine first, then asks the server that the command line or `imprint login`
/// names.
pub(crate) async fn doctor(args: DoctorArgs) -> ExitCode {
    let mut checks = Vec::new();
    match args.common.read() {
        Ok(common) => local(&common, &mut checks).await,
        Err(error) => checks.push(Check::failed("configuration", format!("{error:#}"))),
    }
    checks.extend(remote(&args.connection).await);
    match report(&checks, Output::new(args.connection.output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn local(common: &Common, checks: &mut Vec<Check>) {
    checks.push(Check::ok("configuration", "it can be read"));
    checks.push(folder("data directory", &common.data_dir, "--data-dir"));
    checks.push(match PluginPorts::load(common).await {
        Ok(plugins) => Check::ok(
            "plugins",
            imprint_agent::Ports::plugins(&plugins).into_keys().collect::<Vec<_>>().join(", "),
        ),
        Err(error) => Check::failed("plugins", format!("{error:#}")),
    });
    for program in agent_cmd::settings(common, false).programs {
        let name = format!("program {}", program.name);
        checks.push(match version(&program.path).await {
            Ok(version) => Check::ok(name, version),
            Err(error) => Check::failed(name, format!("{error}; install the package {}", program.package)),
        });
    }
    checks.push(isolation(common).await);
    let kvm = std::fs::File::options().read(true).write(true).open("/dev/kvm");
    checks.push(match kvm {
        Ok(_) => Check::ok("acceleration", "KVM can be used"),
        Err(error) => {
            Check::warning("acceleration", format!("guests are emulated, slowly: /dev/kvm: {error}"))
        }
    });
}

/// Whether compressed images can be decoded, and what holds the processes in that do it.
async fn isolation(common: &Common) -> Check {
    const NAME: &str = "isolation";
    let demanded = match Isolation::chosen(common.file.mover.isolation) {
        Ok(demanded) => demanded,
        Err(error) => return Check::failed(NAME, format!("{error:#}")),
    };
    let Some(config) = demanded.config() else {
        return Check::warning(NAME, "none, as configured: compressed images are decoded in this process");
    };
    let best_effort = config.best_effort;
    match tokio::task::spawn_blocking(move || config.probe()).await {
        Ok(Ok(found)) if found.is_full() => {
            Check::ok(NAME, "compressed images are decoded in processes held in by Landlock and seccomp")
        }
        Ok(Ok(found)) => {
            let has = |there: bool| if there { "there" } else { "missing" };
            let text = format!("Landlock is {}, seccomp is {}", has(found.landlock), has(found.seccomp));
            match best_effort {
                true => Check::warning(NAME, format!("{text}; accepted as configured")),
                false => Check::failed(
                    NAME,
                    format!(
                        "{text}: compressed images are refused; see [mover] isolation in docs/OPERATOR.md"
                    ),
                ),
            }
        }
        Ok(Err(error)) => Check::failed(NAME, error),
        Err(error) => Check::failed(NAME, error),
    }
}

/// Whether files can be made there; a folder that is missing is made by `imprint serve`.
fn folder(name: &str, path: &Path, flag: &str) -> Check {
    let mut nearest = path;
    while !nearest.exists() {
        let Some(parent) = nearest.parent() else { break };
        nearest = parent;
    }
    match rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK) {
        Ok(()) if nearest == path => Check::ok(name, path.display()),
        Ok(()) => Check::ok(name, format!("{} will be made", path.display())),
        Err(error) => {
            Check::failed(name, format!("{}: {error}; choose another with {flag}", nearest.display()))
        }
    }
}

async fn version(program: &Path) -> Result<String, String> {
    let output = tokio::process::Command::new(program).arg("--version").output().await;
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{} --version ended with {}", program.display(), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

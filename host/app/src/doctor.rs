//! `imprint doctor`: checks this machine and the server for problems.

use std::{path::Path, process::ExitCode};

use imprint_plugin_runtime::{PluginInfo, Quarantined};

use crate::{
    cli::DoctorArgs,
    client::{
        doctor::{Check, remote, report},
        output::Output,
    },
    errors,
    mover::Isolation,
    plugin::origin,
    plugin_ports::PluginPorts,
    server::{agent, settings::ServerSettings},
};

/// Checks this machine first, then the server that the command line or `imprint login` names.
pub(crate) async fn doctor(args: DoctorArgs) -> ExitCode {
    let mut checks = Vec::new();
    match args.settings.read() {
        Ok(settings) => local(&settings, &mut checks).await,
        Err(error) => checks.push(Check::failed("configuration", errors::describe(&error))),
    }
    checks.extend(remote(&args.connection).await);
    match report(&checks, Output::new(args.connection.output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(args.connection.output),
    }
}

async fn local(settings: &ServerSettings, checks: &mut Vec<Check>) {
    checks.push(Check::ok("configuration", "read without errors"));
    checks.push(folder("data directory", &settings.data_dir, "--data-dir"));
    match PluginPorts::load(&settings.plugin_folders()).await {
        Ok(plugins) => checks.extend(plugin_checks(&plugins)),
        Err(error) => checks.push(Check::failed("plugins", errors::describe(&error))),
    }
    for program in agent::settings(settings, false).programs {
        let name = format!("program {}", program.name);
        checks.push(match version(&program.path).await {
            Ok(version) => Check::ok(name, version),
            Err(error) => Check::failed(name, format!("{error}; install the package {}", program.package)),
        });
    }
    checks.push(isolation(settings).await);
    let kvm = std::fs::File::options().read(true).write(true).open("/dev/kvm");
    checks.push(match kvm {
        Ok(_) => Check::ok("acceleration", "KVM can be used"),
        Err(error) => {
            Check::warning("acceleration", format!("guests are emulated, slowly: /dev/kvm: {error}"))
        }
    });
}

/// Lists the plugins that are used, and warns of those that are not.
fn plugin_checks(plugins: &PluginPorts) -> Vec<Check> {
    let shown = |plugin: &PluginInfo| match origin(plugin) {
        Some(origin) => format!("{} {} ({origin})", plugin.id, plugin.version),
        None => format!("{} {}", plugin.id, plugin.version),
    };
    let loaded: Vec<_> = plugins.loaded().iter().map(shown).collect();
    let mut checks = vec![Check::ok("plugins", loaded.join(", "))];
    let warning = |one: Quarantined| {
        let name = one.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Check::warning(format!("plugin {name}"), format!("not used: {}", one.reason))
    };
    checks.extend(plugins.quarantined().into_iter().map(warning));
    checks
}

/// Checks whether compressed images can be decoded, and how isolated the processes are that do it.
async fn isolation(settings: &ServerSettings) -> Check {
    const NAME: &str = "isolation";
    let required = match Isolation::chosen(settings.file.mover.isolation) {
        Ok(required) => required,
        Err(error) => return Check::failed(NAME, errors::describe(&error)),
    };
    let Some(config) = required.config() else {
        return Check::warning(NAME, "none, as configured: compressed images are decoded in this process");
    };
    let best_effort = config.best_effort;
    match tokio::task::spawn_blocking(move || config.probe()).await {
        Ok(Ok(found)) if found.is_full() => {
            Check::ok(NAME, "compressed images are decoded in processes isolated by Landlock and seccomp")
        }
        Ok(Ok(found)) => {
            let word = |available: bool| if available { "available" } else { "missing" };
            let text = format!("Landlock is {}, seccomp is {}", word(found.landlock), word(found.seccomp));
            if best_effort {
                Check::warning(NAME, format!("{text}; accepted as configured"))
            } else {
                Check::failed(
                    NAME,
                    format!(
                        "{text}: compressed images are refused; see [mover] isolation in docs/OPERATOR.md"
                    ),
                )
            }
        }
        Ok(Err(error)) => Check::failed(NAME, error),
        Err(error) => Check::failed(NAME, error),
    }
}

/// Checks whether files can be made in a folder. A missing folder is made by `imprint serve`.
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

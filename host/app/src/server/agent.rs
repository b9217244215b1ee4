//! `imprint agent`: the agent of one hypervisor, whose control plane runs on another machine.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use imprint_agent::{Agent, AgentError, HttpControlPlane, ObjectSettings};
use imprint_data_path::{Scratch, scratch};
use imprint_service::SystemEnvironment;
use tokio_util::sync::CancellationToken;

use super::{
    settings::{ServerSettings, SettingsArgs},
    signals::stop_on_signal,
};
use crate::{mover, plugin_ports::PluginPorts};

/// Arguments of `imprint agent`.
#[derive(Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Address of the control plane, such as http://10.0.0.1:8080; use a private network or a
    /// tunnel, because the token is sent in clear
    #[arg(long, value_name = "URL", required_unless_present = "list_fault_steps")]
    control_plane: Option<String>,
    /// File with the token that the admin made for this hypervisor
    #[arg(long, value_name = "FILE", required_unless_present = "list_fault_steps")]
    token_file: Option<PathBuf>,
    /// Address and port at which the agent serves the objects of its image storages to other agents
    /// and to the control plane, over HTTPS [default: it serves none]
    #[arg(long, value_name = "ADDRESS")]
    object_listen: Option<SocketAddr>,
    /// Address at which others reach it, where that is not the one of --object-listen
    #[arg(long, value_name = "HOST:PORT")]
    object_address: Option<String>,
    /// Print the steps at which IMPRINT_FAULT=kill@STEP ends the process, for crash tests
    #[arg(long)]
    list_fault_steps: bool,
}

/// Returns the agent's settings on this machine. With `stop_guests` the guests end with the agent.
pub(crate) fn settings(server: &ServerSettings, stop_guests: bool) -> imprint_agent::Settings {
    let mut settings = imprint_agent::Settings::new(server.data_dir.clone(), server.run_dir.clone());
    settings.stop_guests = stop_guests;
    settings.import_networks = server.file.agent.import_networks();
    if let Some(path) = &server.file.agent.qemu {
        for program in &mut settings.programs {
            program.path.clone_from(path);
        }
    }
    settings
}

/// Returns how objects are served: what the flags say, or else the configuration file.
///
/// # Errors
///
/// There is an address without a port to listen on, or the address is not valid.
pub(crate) fn objects(
    server: &ServerSettings,
    listen: Option<SocketAddr>,
    address: Option<String>,
) -> Result<Option<ObjectSettings>> {
    let configured = &server.file.agent;
    let address = address.or_else(|| configured.object_address.clone());
    let Some(listen) = listen.or(configured.object_listen) else {
        if address.is_some() {
            bail!("--object-address is of no use without --object-listen; give both")
        }
        return Ok(None);
    };
    if let Some(address) = &address {
        let parts = address.rsplit_once(':').filter(|(host, port)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
            !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if parts.is_none() {
            bail!("--object-address is {address:?}; write HOST:PORT, such as hv1.example:8444")
        }
    }
    Ok(Some(ObjectSettings { listen, address, internal: false }))
}

/// Returns how the agent inside of the control plane's process serves objects by default: to this
/// process only.
pub(crate) fn own_objects() -> ObjectSettings {
    ObjectSettings { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), address: None, internal: true }
}

/// Runs the agent until SIGINT or SIGTERM; instances keep running without it.
///
/// # Errors
///
/// The settings, the token's file or a folder cannot be used, a plugin cannot be loaded, or the
/// control plane refuses the agent for good.
#[expect(clippy::disallowed_methods, reason = "it ends with the process, or is aborted below")]
pub(crate) async fn agent(args: AgentArgs) -> Result<()> {
    if args.list_fault_steps {
        print_steps();
        return Ok(());
    }
    let (Some(url), Some(token_file)) = (args.control_plane, args.token_file) else {
        bail!("--control-plane and --token-file are needed")
    };
    let server = args.settings.read()?;
    mover::configure(server.file.mover.isolation)?;
    server.make_data_dir()?;
    let token = std::fs::read_to_string(&token_file)
        .with_context(|| format!("cannot read {}", token_file.display()))?;
    let control_plane = HttpControlPlane::new(&url, token.trim())?;
    let plugins = Arc::new(PluginPorts::load(&server.plugin_folders()).await?);
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(stop.clone()));
    let mut agent_settings = settings(&server, false);
    agent_settings.objects = objects(&server, args.object_listen, args.object_address)?;
    let agent =
        Agent::new(agent_settings, plugins.clone(), Arc::new(control_plane), Arc::new(SystemEnvironment))?;
    let result = run(agent, plugins, stop.clone()).await;
    stop.cancel();
    signals.abort();
    Ok(result?)
}

/// Runs an agent to its end, and waits for the host to undo what its plugins left behind in guests.
pub(crate) async fn run(
    agent: Agent,
    plugins: Arc<PluginPorts>,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    // A process has one agent, so that the setting can be the process's.
    scratch::configure(Scratch::in_folder(agent.scratch_folder()));
    let result = agent.run(stop).await;
    plugins.drain().await;
    result
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
fn print_steps() {
    for step in imprint_agent::fault_steps() {
        println!("{step}");
    }
}

//! `imprint agent`: the agent of one hypervisor, beside a control plane somewhere else.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::Args;
use imprint_agent::{Agent, AgentError, HttpControlPlane};
use imprint_data_path::{Scratch, scratch};
use imprint_service::SystemEnvironment;
use tokio_util::sync::CancellationToken;

use crate::{
    mover,
    plugin_ports::PluginPorts,
    serve::{Common, CommonArgs, stop_on_signal},
};

/// Arguments of `imprint agent`.
#[derive(Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Where the control plane is, such as http://10.0.0.1:8080; a private network or a tunnel, the
    /// token travels as it is
    #[arg(long, value_name = "URL", required_unless_present = "list_fault_steps")]
    control_plane: Option<String>,
    /// A file with the hypervisor's token, as the admin got it once
    #[arg(long, value_name = "FILE", required_unless_present = "list_fault_steps")]
    token_file: Option<PathBuf>,
    /// Print the steps at which IMPRINT_FAULT=kill@STEP ends the process, for crash tests
    #[arg(long)]
    list_fault_steps: bool,
}

/// The agent's settings on this machine.
pub(crate) fn settings(common: &Common, stop_guests: bool) -> imprint_agent::Settings {
    let mut settings = imprint_agent::Settings::new(common.data_dir.clone(), common.run_dir.clone());
    settings.stop_guests = stop_guests;
    if let Some(path) = &common.file.agent.qemu {
        for program in &mut settings.programs {
            program.path.clone_from(path);
        }
    }
    settings
}

/// Runs until SIGINT or SIGTERM; instances go on without it.
pub(crate) async fn agent(args: AgentArgs) -> Result<()> {
    if args.list_fault_steps {
        print_steps();
        return Ok(());
    }
    let (Some(url), Some(token_file)) = (args.control_plane, args.token_file) else {
        bail!("--control-plane and --token-file are needed")
    };
    let common = args.common.read()?;
    mover::configure(common.file.mover.isolation)?;
    common.make_data_dir()?;
    let token = std::fs::read_to_string(&token_file)
        .with_context(|| format!("cannot read {}", token_file.display()))?;
    let control_plane = HttpControlPlane::new(&url, token.trim())?;
    let plugins = Arc::new(PluginPorts::load(&common).await?);
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(stop.clone()));
    let agent = Agent::new(
        settings(&common, false),
        plugins.clone(),
        Arc::new(control_plane),
        Arc::new(SystemEnvironment),
    )?;
    let result = run(agent, plugins, stop.clone()).await;
    stop.cancel();
    signals.abort();
    Ok(result?)
}

/// Runs an agent to its end, and what its plugins left to the host with it.
pub(crate) async fn run(
    agent: Agent,
    plugins: Arc<PluginPorts>,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    // Of one process, there is one agent.
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

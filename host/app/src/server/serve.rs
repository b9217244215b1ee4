//! `imprint serve`: the control plane, with an agent in the same process unless `--no-agent` is
//! given.

use std::{fmt::Debug, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use imprint_agent::Agent;
use imprint_agent_protocol::Peer;
use imprint_domain::time::Environment as _;
use imprint_service::{SecretKeys, Service, SystemEnvironment};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    agent, demo, local, object_reader::AgentObjects, panel, secret_keys, settings::SettingsArgs, signals,
    upload_sender::AgentUploads, webhook_sender,
};
use crate::{errors, mover, plugin_ports::PluginPorts};

/// The address to listen on when none is configured.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// How often the reconcilers and the jobs of billing run.
const REPEAT_EVERY: Duration = Duration::from_secs(5);

/// Arguments of `imprint serve`.
#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Add a customer account, a stock image and a running instance to try everything with
    #[arg(long)]
    demo: bool,
    /// Disk image that the demo offers as its stock image
    #[arg(long, value_name = "FILE", requires = "demo")]
    stock_image: Option<PathBuf>,
    /// Run without an agent in this process, and register nothing of this machine; run `imprint
    /// agent` on the hypervisors instead
    #[arg(long)]
    no_agent: bool,
}

/// Runs the control plane until SIGINT or SIGTERM.
///
/// # Errors
///
/// The address is in use, the settings or the database cannot be used, a plugin cannot be loaded,
/// or the server fails.
#[expect(clippy::disallowed_methods, reason = "both are awaited or aborted below")]
pub(crate) async fn serve(args: ServeArgs) -> Result<()> {
    let settings = args.settings.read()?;
    // First of all: while the address is in use nothing else is worth starting.
    let (listener, url) = bind(args.listen.or(settings.file.server.listen)).await?;
    settings.make_data_dir()?;
    let service = settings.service(secret_keys::load(&settings)?).await?;
    service.secrets_check().await.map_err(errors::to_anyhow)?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();

    let logins = demo::accounts(&service, args.demo).await?;
    // Without its agent this machine is no hypervisor, and the operator makes what there is. A demo
    // needs something to show.
    let setup = if args.demo || !args.no_agent {
        let request = local::request(&settings, args.demo, args.stock_image.as_deref())?;
        Some(service.ensure_local(&request).await.map_err(errors::to_anyhow)?)
    } else {
        None
    };
    if args.demo
        && let Some(setup) = setup
    {
        let request = demo::request(args.stock_image.as_deref(), &logins)?;
        let demo = demo::ensure(&service, setup, &request).await?;
        tasks.spawn(demo::first_instance(service.clone(), demo, request, stop.clone()));
    }
    let mut findings = 0;
    let agent = match setup.filter(|_| !args.no_agent) {
        None => None,
        Some(setup) => {
            mover::configure(settings.file.mover.isolation)?;
            let plugins = Arc::new(PluginPorts::load(&settings.plugin_folders()).await?);
            findings = plugins.quarantined().len();
            let mut agent_settings = agent::settings(&settings, args.demo);
            let objects = agent::objects(&settings, None, None)?;
            agent_settings.objects = Some(objects.unwrap_or_else(agent::own_objects));
            let control_plane = service.control_plane(Peer { hypervisor_id: setup.hypervisor_id });
            let agent =
                Agent::new(agent_settings, plugins.clone(), control_plane, Arc::new(SystemEnvironment))?;
            Some(tokio::spawn(agent::run(agent, plugins, stop.clone())))
        }
    };
    spawn_jobs(&tasks, &service, &stop);
    let networks = settings.file.webhooks.networks();
    tasks.spawn(webhook_sender::deliver(service.clone(), networks, stop.clone()));
    // Not among the tasks that are waited for: the second signal counts until the very end.
    let signals = tokio::spawn(signals::stop_on_signal(stop.clone()));
    tasks.close();

    demo::print(&url, &logins);
    let options = imprint_api::Options {
        assets: Some(Arc::new(panel::Panel)),
        https: settings.file.server.https,
        findings,
        objects: Some(Arc::new(AgentObjects)),
        uploads: Some(Arc::new(AgentUploads)),
        shutdown: stop.clone(),
    };
    let served = imprint_api::serve(listener, imprint_api::router(service, options), stop.clone()).await;
    stop.cancel();
    let agent = match agent {
        Some(agent) => {
            agent.await.context("the agent ended in an unexpected way")?.map_err(anyhow::Error::from)
        }
        None => Ok(()),
    };
    tasks.wait().await;
    signals.abort();
    served.context("the server failed")?;
    agent
}

async fn bind(listen: Option<SocketAddr>) -> Result<(TcpListener, String)> {
    let address = match listen {
        Some(address) => address,
        None => DEFAULT_LISTEN.parse()?,
    };
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("{address} is in use; stop what listens there, or choose another address with --listen")
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot listen on {address}; choose another with --listen"));
        }
    };
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}

/// Starts what the control plane does by itself. Metering many hours does not hold up the
/// reconcilers, and the other way round.
fn spawn_jobs(tasks: &TaskTracker, service: &Service, stop: &CancellationToken) {
    let reconciling = service.clone();
    let reconcile = move || {
        let service = reconciling.clone();
        async move { service.reconcile_once().await }
    };
    tasks.spawn(repeat("reconciling", reconcile, stop.clone()));
    let billing = service.clone();
    let bill = move || {
        let service = billing.clone();
        async move { service.bill_once().await }
    };
    tasks.spawn(repeat("billing", bill, stop.clone()));
}

/// Repeats a job until `stop` is cancelled. A failed run is logged; the next one finds the same
/// state and retries.
async fn repeat<T, Run>(job: &'static str, run: impl Fn() -> Run, stop: CancellationToken)
where
    T: Debug + Default + PartialEq,
    Run: Future<Output = Result<T, imprint_domain::Error>>,
{
    let mut ticks = tokio::time::interval(REPEAT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // A run that is dropped in its middle is repeated after the next start.
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = run() => done,
        };
        match done {
            Ok(done) if done == T::default() => {}
            Ok(done) => tracing::info!(job, ?done, "done"),
            Err(error) => {
                tracing::warn!(job, error = %errors::with_cause(&error), "failed, and will be retried");
            }
        }
    }
}

/// `imprint migrate`: brings the database's schema up to date, and nothing else.
///
/// # Errors
///
/// The database cannot be opened or does not answer.
pub(crate) async fn migrate(args: SettingsArgs) -> Result<()> {
    let settings = args.read()?;
    settings.make_data_dir()?;
    let service = settings.service(SecretKeys::default()).await?;
    service.ready().await.map_err(errors::to_anyhow)?;
    tracing::info!(at = %SystemEnvironment.now(), "the schema is up to date");
    Ok(())
}

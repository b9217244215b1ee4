//! `imprint serve`: the control plane, with an agent in the same process unless told otherwise.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use imprint_agent::Agent;
use imprint_agent_protocol::Peer;
use imprint_domain::time::Environment as _;
use imprint_service::{Database, Service, SystemEnvironment};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agent_cmd, assets,
    config::{self, FileConfig},
    demo, local, mover, plugin_ports,
};

/// Where it listens when nobody says.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// How often the reconcilers run.
const RECONCILE_EVERY: Duration = Duration::from_secs(5);

/// Arguments of `imprint serve`.
#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Add what a newcomer needs to try everything: a customer account, a stock image, a running
    /// instance
    #[arg(long)]
    demo: bool,
    /// The disk image that the demo offers as its stock image
    #[arg(long, value_name = "FILE", requires = "demo")]
    stock_image: Option<PathBuf>,
    /// Run without an agent in this process; start `imprint agent` on the hypervisors instead
    #[arg(long)]
    no_agent: bool,
}

/// Arguments that `serve`, `agent`, `migrate` and `doctor` share.
#[derive(Args, Clone)]
pub(crate) struct CommonArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: /var/lib/imprint for root, else below the home directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where sockets are put; a short path
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
}

/// The arguments and the file, made one.
pub(crate) struct Common {
    pub(crate) file: FileConfig,
    pub(crate) data_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
}

impl CommonArgs {
    pub(crate) fn read(&self) -> Result<Common> {
        let file = FileConfig::read(self.config.as_deref())?;
        let data_dir = self.data_dir.clone().or_else(|| file.server.data_dir.clone());
        let data_dir = std::path::absolute(data_dir.unwrap_or_else(config::default_data_dir))?;
        let run_dir = self.run_dir.clone().or_else(|| file.agent.run_dir.clone());
        let run_dir = run_dir.unwrap_or_else(|| config::default_run_dir(&data_dir));
        Ok(Common { file, data_dir, run_dir })
    }
}

impl Common {
    pub(crate) fn database(&self) -> Result<Database> {
        Ok(match self.file.database_url()? {
            Some(url) => Database::Postgres(url),
            None => Database::SqliteFile(self.data_dir.join("imprint.db")),
        })
    }

    /// Makes the data directory, for nobody else's eyes.
    pub(crate) fn make_data_dir(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data_dir).with_context(|| {
            format!("cannot make {}; choose another with --data-dir", self.data_dir.display())
        })
    }

    pub(crate) async fn service(&self) -> Result<Service> {
        let settings = imprint_service::Settings::default();
        Service::open(&self.database()?, settings, Arc::new(SystemEnvironment)).await.map_err(local::told)
    }
}

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn serve(args: ServeArgs) -> Result<()> {
    let common = args.common.read()?;
    // First of all: with the address taken nothing is worth beginning.
    let (listener, url) = bind(args.listen.or(common.file.server.listen)).await?;
    common.make_data_dir()?;
    let service = common.service().await?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();

    let logins = demo::accounts(&service, args.demo).await?;
    let setup = service
        .ensure_local(&local::request(&common, args.demo, args.stock_image.as_deref())?)
        .await
        .map_err(local::told)?;
    if args.demo {
        let request = demo::request(args.stock_image.as_deref(), &logins)?;
        let demo = service.ensure_demo(setup, &request).await.map_err(local::told)?;
        tasks.spawn(demo::first_instance(service.clone(), demo, request, stop.clone()));
    }
    let agent = if args.no_agent {
        None
    } else {
        mover::configure(common.file.mover.isolation)?;
        let plugins = Arc::new(plugin_ports::PluginPorts::load(&common).await?);
        let settings = agent_cmd::settings(&common, args.demo);
        let control_plane = service.control_plane(Peer { hypervisor_id: setup.hypervisor_id });
        let agent = Agent::new(settings, plugins.clone(), control_plane, Arc::new(SystemEnvironment))?;
        Some(tokio::spawn(agent_cmd::run(agent, plugins, stop.clone())))
    };
    tasks.spawn(reconcile(service.clone(), stop.clone()));
    // Not among the tasks that are waited for: it listens for the second signal until the very end.
    let signals = tokio::spawn(stop_on_signal(stop.clone()));
    tasks.close();

    demo::print(&url, &logins);
    let options = imprint_api::Options {
        assets: Some(Arc::new(assets::Panel)),
        https: common.file.server.https,
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

/// Runs the reconcilers until told to stop. A failed run is logged; the next one sees the same and
/// tries again.
async fn reconcile(service: Service, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(RECONCILE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match service.reconcile_once().await {
            Ok(done) if done == imprint_service::Reconciled::default() => {}
            Ok(done) => tracing::info!(?done, "reconciled"),
            Err(error) => {
                tracing::warn!(error = %local::chain(&error), "reconciling failed; it is tried again")
            }
        }
    }
}

/// Cancels at the first SIGINT or SIGTERM; at the second the process ends at once.
pub(crate) async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched; end the process with SIGKILL");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stop.cancelled() => return,
    }
    tracing::info!("stopping; once more to end at once");
    stop.cancel();
    tokio::select! {
        _ = interrupt.recv() => std::process::exit(130),
        _ = terminate.recv() => std::process::exit(143),
        () = tokio::time::sleep(Duration::from_secs(120)) => {}
    }
}

/// Brings the database's schema up to date, and nothing else: `imprint migrate`.
pub(crate) async fn migrate(args: CommonArgs) -> Result<()> {
    let common = args.read()?;
    common.make_data_dir()?;
    let service = common.service().await?;
    service.ready().await.map_err(local::told)?;
    tracing::info!(at = %SystemEnvironment.now(), "the schema is up to date");
    Ok(())
}

//! The use cases of Imprint: who may do what, and what happens then.
//!
//! Every use case takes an [`Op`]: the actor, the request's id, and where it matters an idempotency
//! key. It authorises, asks the domain's rules, writes in one transaction (change, audit row,
//! event, stored answer), and wakes whoever follows.
//!
//! Ground rules: what an account may not know of is `not_found`; a limit is a reservation inside
//! the transaction; time and randomness come from the environment that the service was opened with.
//!
//! Not here: HTTP (`api`), rows and SQL (`store`), the work next to the disks (`agent`).

mod account;
mod agent;
mod bootstrap;
mod capture;
mod change;
mod coalesce;
mod deploy;
mod engine;
mod environment;
mod event;
mod finish;
mod hub;
mod hypervisor;
mod idempotency;
mod image;
mod instance;
mod location;
mod op;
mod page;
mod queue;
mod reconcile;
mod secret;
mod service;
mod session;
mod stock_image;
mod storage;
mod task;
mod token;
mod work;

pub use account::{AccountCreate, AccountPatch, AccountView};
pub use bootstrap::{DemoRequest, DemoSetup, LocalRequest, LocalSetup, StockImageFile};
pub use environment::SystemEnvironment;
pub use event::{EventFilter, EventFollower, EventStart, EventTopic, EventView, Subject};
pub use hypervisor::{AdminHypervisorView, HypervisorCreate, HypervisorView};
pub use image::{
    CaptureCreate, ConsistencyRequirement, ImageList, ImagePatch, ImageScope, ImageSort, ImageSortField,
    ImageTask, ImageView, SourceInstance,
};
pub use instance::{
    CaptureAllowed, DiskView, ImageName, InstanceCreate, InstanceList, InstanceTask, InstanceView,
};
pub use location::{LimitsView, LocationCreate, LocationPatch, LocationView};
pub use op::{Actor, Authenticated, Idempotency, Op};
pub use page::{DEFAULT_PAGE, MAX_PAGE, Page, PageRequest};
pub use reconcile::Reconciled;
pub use service::{Database, Service, Settings};
pub use session::{SignIn, SignedIn};
pub use stock_image::StockImageCreate;
pub use storage::{StorageCreate, StorageView};
pub use task::{TaskErrorView, TaskList, TaskView};
pub use token::{TokenCreate, TokenCreated, TokenView};

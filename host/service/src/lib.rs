//! The use cases of Imprint: authorisation, rules, transactions and events.
//!
//! Every use case takes an [`Op`]: the actor, the request's id, and where it matters an idempotency
//! key. It authorises, asks the domain's rules, writes in one transaction (change, audit row,
//! event, stored answer), and wakes the followers.
//!
//! Ground rules: what an account may not know of is `not_found`; a limit is a reservation inside
//! the transaction; time and randomness come from the environment that the service was opened with.
//!
//! Locks: a poisoned lock is entered (`PoisonError::into_inner`), as what the locks of this crate
//! guard is consistent after every statement.
//!
//! Layers, from below: `change` (a transaction with its events), `secrets` (sealing and opening
//! them), `objects` (which agents serve them, and the tokens), `tasks` (their life cycle, without
//! use cases of other nouns), then the nouns in `auth`, `saved`, `catalogue`, `storages`,
//! `images`, `exports`, `isos`, `sharing` and `instances`, then `webhooks`, `agent_api` and
//! `bootstrap`.
//!
//! Not here: HTTP (`api`), rows and SQL (`store`), the work next to the disks (`agent`).

mod agent_api;
mod auth;
mod billing;
mod bootstrap;
mod catalogue;
mod change;
mod db_result;
mod environment;
mod event;
mod exports;
mod idempotency;
mod images;
mod instances;
mod isos;
mod metering;
mod objects;
mod op;
mod page;
mod rate_limit;
mod saved;
mod secrets;
mod service;
mod sharing;
mod storages;
mod tasks;
mod validate;
mod webhooks;

pub use auth::account::{AccountCreate, AccountPatch, AccountView};
pub use auth::session::{SignIn, SignedIn};
pub use auth::token::{TokenCreate, TokenCreated, TokenView};
pub use billing::{
    AccountUsage, AdjustmentCreate, Billed, BillingMetrics, BillingUsage, BudgetView, FeedView,
    LocationUsage, MonthView, PreviewAccount, PreviewView, RateCreate, RateEnd, RatePreviewRequest,
    RateTermsRequest, ReconciliationView, UsageDaysView, UsageExplained, UsagePeriod, UsageReported,
    UsageRequest, UsageSectionKind,
};
pub use bootstrap::{LocalRequest, LocalSetup};
pub use catalogue::hypervisor::{AdminHypervisorView, HypervisorCreate, HypervisorPatch, HypervisorView};
pub use catalogue::location::{LimitsView, LocationCreate, LocationPatch, LocationView, QuotaView};
pub use catalogue::media_group::{MediaGroupCreate, MediaGroupView};
pub use catalogue::storage::{StorageCreate, StorageList};
pub use catalogue::storage_kind::{KindOnHypervisor, StorageKindView};
pub use catalogue::storage_secrets::StorageSecretView;
pub use catalogue::storage_test::{StorageTestCreate, StorageTestTask, StoredStorageTest};
pub use environment::SystemEnvironment;
pub use event::{EventFilter, EventFollower, EventStart, EventTopic, EventView, Subject};
pub use exports::{
    content::ExportContent,
    create::{DestinationCreate, ExportCreate, ExportTask},
    metrics::ExportMetrics,
    view::ExportView,
};
pub use images::estimate::EstimateRequest;
pub use images::findings::ImageFindingsView;
pub use images::image::{
    CaptureCreate, ConsistencyRequirement, ImageList, ImageScope, ImageSort, ImageSortField, ImageTask,
    MAX_IDS,
};
pub use images::import::{
    ImportCreate, UploadTarget, UploadView,
    source::{ImportFrom, SourceStorage},
};
pub use images::stock_image::{ObjectAdopt, StockImageCreate};
pub use images::view::{CaptureView, CatalogueView, DeprecationView, ImagePlace, ImageView, SourceInstance};
pub use imprint_store::webhook::{WebhookCounts, delivery::Delivery};
pub use instances::capture_facts::CaptureAllowed;
pub use instances::deploy::FamilyChoice;
pub use instances::install::InstanceInstall;
pub use instances::instance::{
    Busy, DiskView, ImageName, InstanceCreate, InstanceList, InstanceTask, InstanceView, MountedIso,
};
pub use instances::reinstall::InstanceReinstall;
pub use isos::{IsoCreate, IsoPatch, IsoTask, IsoView};
pub use op::{Actor, Authenticated, Idempotency, Op};
pub use page::{DEFAULT_PAGE, MAX_PAGE, Page, PageRequest};
pub use rate_limit::{AttemptCounter, RetryAfter};
pub use saved::ssh_key::{SshKeyCreate, SshKeyView};
pub use saved::user_script::{UserScriptContentView, UserScriptCreate, UserScriptPatch, UserScriptView};
pub use secrets::keys::{InvalidSecretKeys, KEY_BYTES, SecretKeys};
pub use secrets::rotation::SecretsRotated;
pub use service::{Database, Service, Settings};
pub use sharing::share::{IncomingShares, ShareOffer};
pub use sharing::view::{ShareImage, ShareView, SharedView};
pub use storages::{
    DownloadRoute, DownloadSource, DownloadView, ObjectChange, ObjectImage, ObjectList, ObjectSelection,
    ObjectView, ReconcileEntry, ReconcileRefusal, ReconcileReport, ReconcileRequest, ScanMetrics, ScanTask,
    ScanView, StorageBindingView, StorageImagesView, StorageMetrics, StoragePatch, StorageView,
};
pub use tasks::capture_failure::CaptureMetrics;
pub use tasks::reconcile::Reconciled;
pub use tasks::task::{SupportView, TaskErrorView, TaskList, TaskView};
pub use webhooks::{
    WebhookAndSecret, WebhookCreate, WebhookPatch, WebhookView,
    deliver::{WebhookAttempt, WebhookContent, WebhookMessage},
};

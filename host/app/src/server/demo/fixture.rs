//! What `--demo` creates: a customer account, a stock image, and an instance that runs. Everything
//! is found by its name and created if it is missing, by the service's public use cases.

use std::time::Duration;

use imprint_domain::{
    Code, Error,
    id::{AccountId, ImageId, InstanceId},
    image::{
        ImageEdit, ImageFormat, ImageStatus,
        catalogue::{CatalogueEdit, GuestSystem, OsType},
    },
    instance::{InstanceStatus, Power},
    metadata::{KnownKey, MetadataEdit},
    name::Name,
    size::ByteSize,
    time::Timestamp,
};
use imprint_service::{
    InstanceCreate, InstanceList, InstanceView, LocalSetup, Op, PageRequest, Service, StockImageCreate,
};
use tokio::time::Instant;

/// The interval at which a condition that the demo waits for is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A stock image's file.
#[derive(Clone, Debug)]
pub(in crate::server) struct StockImageFile {
    /// The image's name.
    pub(in crate::server) name: Name,
    /// Human-readable text.
    pub(in crate::server) description: String,
    /// The file's key in the stock storage.
    pub(in crate::server) key: String,
    /// The format of the file.
    pub(in crate::server) format: ImageFormat,
    /// The user whom its system gives the SSH keys of an instance.
    pub(in crate::server) ssh_user: String,
}

/// What the demo adds to the machine's own set-up.
#[derive(Clone)]
pub(in crate::server) struct DemoRequest {
    /// The stock image, if there is one to offer.
    pub(in crate::server) stock_image: Option<StockImageFile>,
    /// The customer account's name.
    pub(in crate::server) account: Name,
    /// Its password, also set when the account exists. `None` generates one for a new account.
    pub(in crate::server) password: Option<String>,
    /// The first instance's name.
    pub(in crate::server) instance: Name,
    /// The size of its memory.
    pub(in crate::server) memory: ByteSize,
}

/// What was created or found.
#[derive(Clone)]
pub(in crate::server) struct Demo {
    local: LocalSetup,
    account_id: AccountId,
    image_id: Option<ImageId>,
}

/// Creates what is missing of the customer account and the stock image.
pub(in crate::server) async fn ensure(
    service: &Service,
    local: LocalSetup,
    request: &DemoRequest,
) -> Result<Demo, Error> {
    let (account_id, _) = service.ensure_customer(&request.account, request.password.clone()).await?;
    let image_id = match &request.stock_image {
        Some(file) => Some(ensure_image(service, local, file).await?),
        None => None,
    };
    Ok(Demo { local, account_id, image_id })
}

/// The registration of a stock image that failed is retried, as the file may exist by now.
async fn ensure_image(service: &Service, local: LocalSetup, file: &StockImageFile) -> Result<ImageId, Error> {
    let op = service.admin_op().await?;
    let Some(found) = service.stock_image_find(&op, local.stock_storage_id, &file.key).await? else {
        let create = StockImageCreate {
            name: file.name.clone(),
            description: file.description.clone(),
            storage_id: local.stock_storage_id,
            key: file.key.clone(),
            format: file.format,
            location_id: local.location_id,
            guest: GuestSystem { os_type: OsType::Linux, cloud_init: true },
            catalogue: CatalogueEdit::default(),
        };
        let id = service.stock_image_create(&op, create).await?.image.id;
        let key = KnownKey::SshUser.as_str().parse().map_err(Error::internal)?;
        let user = (key, Some(file.ssh_user.clone()));
        let metadata = MetadataEdit { clear: false, keys: [user].into() };
        service.image_update(&op, id, ImageEdit { metadata, ..ImageEdit::default() }, None).await?;
        return Ok(id);
    };
    if let (ImageStatus::Error, Some(task_id)) = (found.status, found.task_id) {
        service.task_retry(&op, task_id).await?;
    }
    Ok(found.id)
}

/// Deploys the first instance, or starts the one of an earlier run. Needs the stock image to be
/// available and the agent to be online, and waits for both, at most `wait`. Returns `None` without
/// a stock image, and when the owner has deleted the instance. Cancel-safe.
pub(in crate::server) async fn ensure_instance(
    service: &Service,
    demo: &Demo,
    request: &DemoRequest,
    wait: Duration,
) -> Result<Option<InstanceId>, Error> {
    let Some(image_id) = demo.image_id else { return Ok(None) };
    let op = service.system_op(demo.account_id).await?;
    let until = Instant::now() + wait;
    let instances = instances(service, &op).await?;
    if instances.is_empty() {
        let create = InstanceCreate {
            declared_os: None,
            ssh_key_ids: Vec::new(),
            user_script_id: None,
            image_id,
            name: request.instance.clone(),
            hypervisor_id: Some(demo.local.hypervisor_id),
            vcpus: None,
            memory: Some(request.memory),
            disk_size: None,
            ssh_keys: Vec::new(),
            user_data: None,
            start: true,
        };
        return deploy(service, &op, create, until).await.map(Some);
    }
    let Some(found) = instances.into_iter().find(|instance| instance.name == request.instance) else {
        return Ok(None);
    };
    ensure_running(service, &op, found.id, until).await?;
    Ok(Some(found.id))
}

async fn instances(service: &Service, op: &Op) -> Result<Vec<InstanceView>, Error> {
    let mut instances = Vec::new();
    let mut page_token = None;
    loop {
        let page = PageRequest { limit: None, page_token };
        let page = service.instance_list(op, &InstanceList { ids: None, page }).await?;
        instances.extend(page.items);
        page_token = page.next_page_token;
        if page_token.is_none() {
            return Ok(instances);
        }
    }
}

async fn deploy(
    service: &Service,
    op: &Op,
    create: InstanceCreate,
    until: Instant,
) -> Result<InstanceId, Error> {
    loop {
        let error = match service.instance_create(op, create.clone()).await {
            Ok(created) => return Ok(created.instance.id),
            Err(error) => error,
        };
        let can_pass =
            matches!(error.code, Code::ImageNotAvailable | Code::HypervisorOffline | Code::Unavailable);
        let failed = service.image_show(op, create.image_id).await?.status == ImageStatus::Error;
        if failed || !can_pass || Instant::now() >= until {
            return Err(error);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Starts the instance if it is off, and deploys it again if its deployment failed. The power state
/// of the row is current after the second call of the agent since this start: the first one may be
/// its registration, which reports no instances.
async fn ensure_running(service: &Service, op: &Op, id: InstanceId, until: Instant) -> Result<(), Error> {
    let admin = service.admin_op().await?;
    let mut first_call: Option<Timestamp> = None;
    loop {
        let found = service.instance_show(op, id).await?;
        let hypervisor = service.admin_hypervisor_show(&admin, found.hypervisor_id).await?;
        let last_call = hypervisor.last_seen_at.filter(|at| *at >= service.opened_at());
        let is_current = first_call.is_some() && first_call < last_call;
        match (found.status, found.power, found.task_id) {
            (InstanceStatus::Error, _, Some(task_id)) => {
                return service.task_retry(op, task_id).await.map(|_| ());
            }
            (InstanceStatus::Ready, Power::Off, _) if is_current => {
                return service.instance_start(op, id, imprint_service::Busy::Refuse).await.map(|_| ());
            }
            (InstanceStatus::Ready, Power::Running | Power::Paused, _) if is_current => return Ok(()),
            (InstanceStatus::Error, _, None) | (InstanceStatus::Deleting, _, _) => return Ok(()),
            (InstanceStatus::Ready | InstanceStatus::Deploying, _, _) => {}
        }
        if Instant::now() >= until {
            return Ok(());
        }
        first_call = first_call.or(last_call);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests;

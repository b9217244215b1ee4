//! Reinstalling: the primary disk of an instance is written anew from an image (S11).

use imprint_domain::{
    Error,
    id::{DiskId, ImageId, InstanceId, SshKeyId, UserScriptId},
    rules,
    size::ByteSize,
    task::TaskKind,
    windows::DeclaredOs,
};
use imprint_store::instance::{self, InstanceRecord};

use crate::{
    Busy, InstanceCreate, InstanceTask, Op, Service,
    change::Change,
    db_result::DbResult,
    idempotency,
    images::image::visible as visible_image,
    instances::{
        deploy::{check, choose},
        instance::{Work, make_way, queue_work, visible},
        seed,
    },
    sharing::permission::Permission,
    storages::bring::bring,
    tasks::payload::{NewDisk, TaskPayload},
};

/// A request to write the primary disk of an instance anew. The instance keeps its id, name,
/// processors, memory and network card.
#[derive(Clone, Debug)]
pub struct InstanceReinstall {
    /// The image to write.
    pub image_id: ImageId,
    /// The size of the new disk; `None` takes the present one's, or the image's if that is larger.
    pub disk_size: Option<ByteSize>,
    /// Saved keys of the account, in addition to `ssh_keys`; at most 32 of both together.
    pub ssh_key_ids: Vec<SshKeyId>,
    /// A saved script of the account, instead of `user_data`.
    pub user_script_id: Option<UserScriptId>,
    /// The lines of `authorized_keys`, at most 32.
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config, at most 64 KiB.
    pub user_data: Option<String>,
    /// What the owner says that the new system is.
    pub declared_os: Option<DeclaredOs>,
    /// Whether it is started at the end.
    pub start: bool,
}

impl InstanceReinstall {
    /// Returns the request for a new instance that is like the one that is reinstalled.
    fn as_create(&self, record: &InstanceRecord) -> InstanceCreate {
        InstanceCreate {
            image_id: self.image_id,
            name: record.instance.name.clone(),
            hypervisor_id: Some(record.instance.hypervisor_id),
            vcpus: None,
            memory: None,
            disk_size: self.disk_size,
            ssh_key_ids: self.ssh_key_ids.clone(),
            user_script_id: self.user_script_id,
            ssh_keys: self.ssh_keys.clone(),
            user_data: self.user_data.clone(),
            declared_os: self.declared_os,
            start: self.start,
        }
    }
}

impl Service {
    /// Writes the primary disk of an instance anew from an image. Everything on the present disk is
    /// lost; it is in use until the new one is complete.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] without the scope; [`imprint_domain::Code::NotFound`]
    /// for what does not exist or is not visible; [`imprint_domain::Code::InvalidRequest`];
    /// [`imprint_domain::Code::InstanceBusy`] while another task works on the instance; the codes
    /// of [`imprint_domain::rules`]; an error of the database.
    pub async fn instance_reinstall(
        &self,
        op: &Op,
        id: InstanceId,
        request: InstanceReinstall,
        busy: Busy,
    ) -> Result<InstanceTask, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(InstanceTask { replayed: true, ..stored });
        }
        let record = visible(&change.conn(), op, id).await?;
        record.instance.require_ready()?;
        let create = request.as_create(&record);
        check(&create)?;
        let (image, permission) = visible_image(&change.conn(), op, request.image_id, change.now)
            .await
            .map_err(|error| error.at("/image_id"))?;
        seed::require_cloud_init(&create, &image.image)?;
        make_way(&mut change, op, id, busy).await?;
        let (host, reaches) = choose(&change, &create, &image.image).await?;
        let host = host.hypervisor;
        // An admin may give an instance what its owner may.
        let owner = crate::auth::account::get(&change.conn(), record.instance.account_id).await?.account;
        let disk = NewDisk {
            id: DiskId::new(self.new_uuid()),
            size: rules::deploy(&rules::DeployFacts {
                account: &owner,
                image: &image.image,
                shared: permission.as_ref().map(Permission::facts),
                hypervisor: &host,
                disk_size: Some(new_size(&change, &request, &image.image, id).await?),
                now: change.now,
            })?,
            declared_os: request.declared_os,
        };
        if !reaches {
            bring(&mut change, &image, host.id).await.map_err(|error| error.at("/image_id"))?;
        }
        let mut seed = seed::make(&change, op, &create, &image.image.metadata).await?;
        // Otherwise cloud-init would take the system of an image of this very instance for one that
        // it has configured.
        seed.instance_id = Some(disk.id.to_string());
        let payload = TaskPayload::Deploy { seed, start: request.start, disk: Some(disk) };
        let work = Work { kind: TaskKind::InstanceReinstall, image_id: Some(image.image.id), payload };
        let answer = queue_work(&mut change, op, record, work).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }
}

/// Returns the requested size, or that of the present disk, or of the image if that is larger.
async fn new_size(
    change: &Change<'_>,
    request: &InstanceReinstall,
    image: &imprint_domain::image::Image,
    id: InstanceId,
) -> Result<ByteSize, Error> {
    if let Some(size) = request.disk_size {
        return Ok(size);
    }
    let disks = instance::disks(&change.conn(), id).await.db()?;
    let present = disks.into_iter().find(|disk| disk.primary).map(|disk| disk.virtual_size);
    let least = image.require_available()?.virtual_size;
    Ok(present.map_or(least, |present| present.max(least)))
}

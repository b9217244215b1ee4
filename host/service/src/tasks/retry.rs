//! What trying a failed task again needs of its image and its instance.

use imprint_domain::{
    Error,
    coalesce::require_mergeable,
    image::{ImageKind, ImageStatus},
    instance::InstanceStatus,
    size::ByteSize,
    task::TaskKind,
};
use imprint_store::{
    image::{self, ImageRecord},
    instance::{self, InstanceRecord},
    iso, storage,
    task::TaskRecord,
};

use crate::{
    change::Change,
    db_result::DbResult,
    sharing::permission::require_use,
    storages::{bring::bring, retry::reserve_again},
    tasks::lifecycle::{self, invalid_transition},
    validate::require_idle,
};

/// Brings the image or instance of a task back to where the task begins, or refuses.
pub(super) async fn prepare(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    match record.task.kind {
        TaskKind::ImageCapture => {
            let instance = its_instance(change, record).await?;
            let mut found = its_image(change, record).await?;
            let reserved = reserve_again(change, record, &instance, &mut found).await?;
            retry_image(change, found, reserved).await
        }
        TaskKind::ImageImport => {
            Err(invalid_transition("the file of an import is removed with its end; import it again"))
        }
        TaskKind::ImageRegister => {
            let found = its_image(change, record).await?;
            retry_image(change, found, ByteSize::ZERO).await
        }
        TaskKind::ImageMove => Err(invalid_transition("draining moves the images again by itself")),
        TaskKind::ImageExport => Err(invalid_transition("ask for the export again")),
        TaskKind::ObjectDelete | TaskKind::StorageClean => Ok(()),
        TaskKind::ImageVerify => its_image(change, record).await.map(|_| ()),
        TaskKind::StorageScan => Err(invalid_transition("start a new scan of the storage")),
        TaskKind::ImageDelete => match its_image(change, record).await?.image.status {
            ImageStatus::Deleting => Ok(()),
            ImageStatus::Creating | ImageStatus::Available | ImageStatus::Error => {
                Err(invalid_transition("the image is not being deleted"))
            }
        },
        TaskKind::InstanceReinstall => {
            may_deploy(change, record).await?;
            let instance = its_instance(change, record).await?;
            instance.instance.require_ready()?;
            require_idle(&change.conn(), instance.instance.id).await
        }
        TaskKind::InstanceDeploy => {
            // One with an empty disk has no image.
            if record.task.image_id.is_some() {
                may_deploy(change, record).await?;
            }
            deploy_again(change, record).await
        }
        TaskKind::InstanceMountIso
        | TaskKind::InstanceEjectIso
        | TaskKind::InstanceAttachDisk
        | TaskKind::InstanceDetachDisk => {
            Err(invalid_transition("the devices may be others by now; make the request again"))
        }
        TaskKind::IsoRegister => match iso::of_task(&change.conn(), record.task.id).await.db()? {
            Some(_) => Ok(()),
            None => Err(invalid_transition("the ISO has been removed; register it again")),
        },
        TaskKind::InstanceStart | TaskKind::InstanceStop => {
            let instance = its_instance(change, record).await?;
            instance.instance.require_ready()?;
            require_idle(&change.conn(), instance.instance.id).await
        }
        TaskKind::InstanceCoalesce => {
            let instance = its_instance(change, record).await?;
            require_mergeable(&instance.instance)?;
            require_idle(&change.conn(), instance.instance.id).await
        }
        TaskKind::StorageTest => {
            Err(invalid_transition("the secrets of the test are removed with its end; start a new test"))
        }
        TaskKind::InstanceDelete => match its_instance(change, record).await?.instance.status {
            InstanceStatus::Deleting => Ok(()),
            InstanceStatus::Deploying | InstanceStatus::Ready | InstanceStatus::Error => {
                Err(invalid_transition("the instance is not being deleted"))
            }
        },
    }
}

/// Applies the rules of a new request: the image may be shared no longer.
async fn may_deploy(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let image = its_image(change, record).await?;
    require_use(&change.conn(), &image.image, record.task.account_id, change.now).await?;
    image.image.require_available()?;
    let reaching = storage::bound_hypervisors(&change.conn(), image.image.storage_id).await.db()?;
    if image.image.kind == ImageKind::Custom && !reaching.contains(&record.task.hypervisor_id) {
        bring(change, &image, record.task.hypervisor_id).await?;
    }
    Ok(())
}

/// Starts the deployment of a failed instance anew.
async fn deploy_again(change: &mut Change<'_>, record: &TaskRecord) -> Result<(), Error> {
    let mut instance = its_instance(change, record).await?;
    instance.instance.retry()?;
    instance::update(&change.tx, &instance).await.db()?;
    change.instance_changed(&instance).await
}

async fn its_image(change: &Change<'_>, record: &TaskRecord) -> Result<ImageRecord, Error> {
    let found = lifecycle::image_of(change, record).await?;
    found.ok_or_else(|| invalid_transition("the image has been removed; create a new one"))
}

async fn its_instance(change: &Change<'_>, record: &TaskRecord) -> Result<InstanceRecord, Error> {
    let found = lifecycle::instance_of(change, record).await?;
    found.ok_or_else(|| invalid_transition("the instance has been removed; create a new one"))
}

async fn retry_image(
    change: &mut Change<'_>,
    mut found: ImageRecord,
    reserved: ByteSize,
) -> Result<(), Error> {
    found.image.retry(reserved)?;
    image::update(&change.tx, &found).await.db()?;
    change.image_changed(&found).await
}

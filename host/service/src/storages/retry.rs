//! Another attempt at a capture, by request.

use imprint_domain::{Error, capture_format::CaptureFormat, rules::Asked, size::ByteSize};
use imprint_store::{image::ImageRecord, instance::InstanceRecord, task::TaskRecord};

use crate::{
    change::Change,
    instances::capture_facts::{Facts, Shared},
    storages::reservation,
};

/// Applies the rules of a new capture to one that is tried again, the limits and the switch of the
/// location included, and reserves room for its image: on its storage, or on another one where that
/// takes no images any more or is full. The image's row is changed, not written. Returns the bytes
/// that are reserved.
pub(crate) async fn reserve_again(
    change: &Change<'_>,
    record: &TaskRecord,
    instance: &InstanceRecord,
    image: &mut ImageRecord,
) -> Result<ByteSize, Error> {
    let facts = Facts::read(&change.conn(), &instance.instance, &mut Shared::default()).await?;
    let earlier = image.image.storage_id;
    let asked = Asked {
        storage: Some(earlier),
        format: CaptureFormat::of(image.image.format),
        domain_controller: None,
    };
    let choice = match facts.decide(&instance.instance, asked, change.now) {
        Ok(choice) => choice,
        Err(_) => facts.decide(&instance.instance, Asked { storage: None, ..asked }, change.now)?,
    };
    let id = choice.storage.id;
    if id != earlier {
        let key = image.image.storage_key.clone();
        image.image.relocate(id, key)?;
        reservation::release(change, record.task.id).await?;
    }
    reservation::reserve(change, record.task.id, id, choice.reserve).await?;
    Ok(choice.reserve)
}

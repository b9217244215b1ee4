//! Exports of images (S78, S90, S91, S135).

use std::collections::BTreeMap;

use imprint_agent_protocol::{
    Assignment, AssignmentKind, ExportImageAssignment, ExportResult, Fingerprint, HeldLease, ObjectServer,
    Outcome, ProtocolError, SecretsRequest, StorageKindReport,
};
use imprint_domain::{
    Code, Error,
    export::{DiskVariant, ExportForm, ExportStatus, StoredExport},
    id::{ExportId, ImageId},
    image::{Compression, ImageFormat},
    secret::{SecretText, Secrets},
    storage_scan::ObjectClass,
    task::TaskState,
    time::Environment,
};
use imprint_service::{
    DestinationCreate, ExportCreate, ExportTask, ExportView, LocationPatch, Op, PageRequest, ShareOffer,
    Subject,
};
use imprint_store::{Store, audit, secret::of_task, storage_use};

use crate::{
    events::{follow, next},
    support::{World, digest, failure, local_kind, name, size},
};

/// Two days more than a file is kept for.
const LONG_S: i64 = 5 * 24 * 3600;

fn vhd() -> ExportCreate {
    ExportCreate { form: ExportForm::new(ImageFormat::Vhd, None, None).unwrap(), destination: None }
}

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

pub(crate) fn exported() -> Outcome {
    Outcome::Exported(ExportResult {
        stored: StoredExport {
            size: size(7 << 20),
            digest: digest("4").parse().unwrap(),
            sha256: "5".repeat(64).parse().unwrap(),
        },
        logical_digest: digest("1").parse().unwrap(),
    })
}

fn order(work: &Assignment) -> &ExportImageAssignment {
    let AssignmentKind::ExportImage(order) = &work.kind else { panic!("{work:?}") };
    order
}

impl World {
    async fn ask(&self, op: &Op, image: ImageId) -> Result<ExportTask, Error> {
        self.service.export_create(op, image, vhd()).await
    }

    async fn exports(&self, op: &Op, image: ImageId) -> Vec<ExportView> {
        self.service.export_list(op, image, &PageRequest::default()).await.unwrap().items
    }

    async fn exported(&self, image: ImageId) -> ExportId {
        let made = self.ask(&self.customer, image).await.unwrap();
        let work = self.agent.claim_one().await;
        self.agent.finish(&work, exported()).await.unwrap();
        made.export.id
    }

    async fn switch_export(&self, on: bool) {
        let patch = LocationPatch { export_enabled: Some(on), ..LocationPatch::default() };
        let changed = self.service.location_update(&self.admin, self.location.id, patch).await.unwrap();
        assert_eq!(changed.export_enabled, on);
    }

    async fn serve(&self) {
        let server = ObjectServer {
            address: "hv1.example:8444".to_owned(),
            fingerprint: Fingerprint::new([5; 32]),
            internal: true,
        };
        self.agent.register_serving(server).await;
    }
}

pub(crate) async fn an_image_is_exported_once_and_downloaded(world: World) {
    let image = world.image("web").await;
    let mut events = follow(&world, &world.customer, None).await;
    let made = world.ask(&world.customer, image).await.unwrap();
    assert_eq!((made.export.status, made.found), (ExportStatus::Creating, false));
    assert_eq!(made.export.file_name, "web.vhd");
    assert!(
        matches!(next(&mut events).await.subject, Subject::Export(export) if export.id == made.export.id)
    );
    // Asked for again while it is made, it is made once.
    let again = world.ask(&world.customer, image).await.unwrap();
    assert_eq!((again.export.id, again.task.id, again.found), (made.export.id, made.task.id, true));

    let work = world.agent.claim_one().await;
    let asked = order(&work);
    assert_eq!(asked.form.variant, Some(DiskVariant::Dynamic));
    assert_eq!((asked.to.id, asked.key.clone()), (world.images, format!("{}.vhd", made.export.id)));
    assert_eq!((asked.logical_digest.to_string(), asked.is_destination), (digest("1"), false));
    let store = Store::open(&world.target).await.unwrap();
    let reserved = storage_use::of_task(&store.read(), work.task_id).await.unwrap();
    assert!(reserved[0].bytes >= size(64 << 20), "room for all of the disk: {reserved:?}");
    let early = world.service.export_content(&world.customer, image, made.export.id).await;
    assert_eq!(code(early), Some(Code::ExportNotAvailable));
    world.agent.finish(&work, exported()).await.unwrap();

    let shown = world.service.export_show(&world.customer, image, made.export.id).await.unwrap();
    assert_eq!((shown.status, shown.size_bytes), (ExportStatus::Available, Some(size(7 << 20))));
    assert_eq!(shown.sha256.unwrap().as_str(), "5".repeat(64));
    world.pass(3600, &[]).await;
    let again = world.ask(&world.customer, image).await.unwrap();
    assert_eq!((again.export.id, again.found), (made.export.id, true));
    assert_eq!((again.export.expires_at - shown.expires_at).num_seconds(), 3600, "kept longer");
    let fixed = ExportForm::new(ImageFormat::Vhd, Some(DiskVariant::Fixed), None).unwrap();
    let fixed = ExportCreate { form: fixed, destination: None };
    let other = world.service.export_create(&world.customer, image, fixed).await.unwrap();
    assert_ne!(other.export.id, made.export.id, "another form is another file");
    world.service.task_cancel(&world.customer, other.task.id).await.unwrap();

    let unserved = world.service.export_content(&world.customer, image, made.export.id).await;
    assert_eq!(code(unserved), Some(Code::ObjectsNotServed));
    world.serve().await;
    let content = world.service.export_content(&world.customer, image, made.export.id).await.unwrap();
    assert_eq!(
        (content.source.storage_id, content.source.key),
        (world.images, format!("{}.vhd", made.export.id))
    );
    assert_eq!((content.file_name.as_str(), content.media_type), ("web.vhd", "application/x-vhd-disk"));
    world.service.export_downloaded(&world.customer, made.export.id).await.unwrap();
    let rows = audit::of_resource(&store.read(), &made.export.id.to_string(), 10).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["export.create", "export.download"]);
}

pub(crate) async fn what_forbids_an_export_says_so(world: World) {
    let image = world.image("web").await;
    world.switch_export(false).await;
    assert_eq!(code(world.ask(&world.customer, image).await), Some(Code::ExportDisabled));
    assert_eq!(code(world.ask(&world.admin, image).await), Some(Code::ExportDisabled));
    // The switch is about customers' images: a stock image is the operator's own.
    let stock = world.ask(&world.admin, world.stock_image).await.unwrap();
    assert_eq!(stock.task.account_id, world.admin.account_id());
    world.agent.finish(&world.agent.claim_one().await, exported()).await.unwrap();
    assert_eq!(world.exports(&world.admin, world.stock_image).await.len(), 1);
    world.switch_export(true).await;
    assert_eq!(code(world.ask(&world.customer, world.stock_image).await), Some(Code::Forbidden));
    assert_eq!(code(world.ask(&world.other, image).await), Some(Code::NotFound));
    let offer = ShareOffer { image_id: image, account: name("other"), expires_at: None };
    let share = world.service.share_offer(&world.customer, offer).await.unwrap();
    world.service.share_accept(&world.other, share.id).await.unwrap();
    assert_eq!(code(world.ask(&world.other, image).await), Some(Code::Forbidden), "shared to be deployed");
    let page = PageRequest::default();
    assert_eq!(code(world.service.export_list(&world.other, image, &page).await), Some(Code::Forbidden));
    let capturing = world.capture("next").await;
    assert_eq!(code(world.ask(&world.customer, capturing.image.id).await), Some(Code::ImageNotAvailable));
    world.agent.work_all().await;

    // As many at once as the settings say; a cancelled one leaves nothing.
    let formats = [ImageFormat::Raw, ImageFormat::Vhdx, ImageFormat::Vdi, ImageFormat::Ova];
    let mut queued = Vec::new();
    for format in formats {
        let request = ExportCreate { form: ExportForm::new(format, None, None).unwrap(), destination: None };
        queued.push(world.service.export_create(&world.customer, image, request).await);
    }
    let refused = queued.pop().unwrap().unwrap_err();
    assert_eq!((refused.code, refused.context["limit"].as_str()), (Code::ExportLimitReached, "3"));
    let delete = world.service.export_delete(&world.customer, image, queued[0].as_ref().unwrap().export.id);
    assert_eq!(code(delete.await), Some(Code::InvalidTransition), "its task is cancelled instead");
    // An export in progress keeps its image.
    let kept = world.service.image_delete(&world.customer, image, None).await;
    assert_eq!(code(kept), Some(Code::ImageInUse));
    for made in queued {
        world.service.task_cancel(&world.customer, made.unwrap().task.id).await.unwrap();
    }
    assert!(world.exports(&world.customer, image).await.is_empty());

    let failing = world.ask(&world.customer, image).await.unwrap();
    world.agent.finish(&world.agent.claim_one().await, failure(false)).await.unwrap();
    let shown = world.service.export_show(&world.customer, image, failing.export.id).await.unwrap();
    assert_eq!(shown.status, ExportStatus::Error);
    assert_eq!(
        code(world.service.task_retry(&world.customer, failing.task.id).await),
        Some(Code::InvalidTransition)
    );
    let again = world.ask(&world.customer, image).await.unwrap();
    assert_ne!(again.export.id, failing.export.id);
}

pub(crate) async fn exports_are_removed_on_request_in_time_and_with_their_image(world: World) {
    let image = world.image("web").await;
    let first = world.exported(image).await;
    world.service.export_delete(&world.customer, image, first).await.unwrap();
    world.service.export_delete(&world.customer, image, first).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::DeleteImage(removal) = &work.kind else { panic!("{work:?}") };
    assert_eq!(removal.image.key, format!("{first}.vhd"));
    assert_eq!(world.exports(&world.customer, image).await[0].status, ExportStatus::Deleting);
    world.agent.finish(&work, Outcome::Done).await.unwrap();
    assert!(world.exports(&world.customer, image).await.is_empty());

    // Its time ends.
    let second = world.exported(image).await;
    assert_eq!(world.service.reconcile_once().await.unwrap().exports, 0);
    world.environment.advance(LONG_S);
    world.agent.heartbeat(&[]).await.unwrap();
    world.serve().await;
    let over = world.service.export_content(&world.customer, image, second).await;
    assert_eq!(code(over), Some(Code::ExportNotAvailable));
    assert_eq!(world.service.reconcile_once().await.unwrap().exports, 1);
    // A file that cannot be removed yet is removed later.
    world.agent.finish(&world.agent.claim_one().await, failure(false)).await.unwrap();
    assert_eq!(world.exports(&world.customer, image).await[0].status, ExportStatus::Deleting);
    world.pass(700, &[]).await;
    assert_eq!(world.service.reconcile_once().await.unwrap().deletions, 1);
    world.agent.work_all().await;
    assert!(world.exports(&world.customer, image).await.is_empty());

    // The image goes, and its exports with it.
    let third = world.exported(image).await;
    world.service.image_delete(&world.customer, image, None).await.unwrap();
    assert_eq!(world.service.reconcile_once().await.unwrap().exports, 1);
    world.agent.work_all().await;
    let store = Store::open(&world.target).await.unwrap();
    assert_eq!(imprint_store::export::get(&store.read(), third).await.unwrap(), None);
    let metrics = world.service.export_metrics().await.unwrap();
    assert!(metrics.iter().all(|figures| figures.count == 0), "{metrics:?}");
}

pub(crate) async fn a_scan_knows_exports_and_a_storage_with_some_stays(world: World) {
    let image = world.image("web").await;
    let export = world.exported(image).await;
    let key = format!("{export}.vhd");
    let orphan = format!("{}.vhd", ExportId::new(uuid::Uuid::from_u128(9)));
    world.environment.advance(1);
    let image_key = world.service.image_show(&world.admin, image).await.unwrap().storage.unwrap().key;
    let found = [(image_key.as_str(), 5 << 20), (key.as_str(), 7 << 20), (orphan.as_str(), 1)];
    let objects = found.map(|(key, bytes)| crate::scan::object(&world, key, bytes)).to_vec();
    crate::scan::scan(&world, objects).await;
    assert_eq!(crate::scan::class(&world, &key).await, Some(ObjectClass::InProgress), "never an orphan");
    assert_eq!(crate::scan::class(&world, &orphan).await, Some(ObjectClass::Orphan));
    world.service.image_delete(&world.customer, image, None).await.unwrap();
    world.agent.work_all().await;
    let refused = world.service.storage_delete(&world.admin, world.images, None).await.unwrap_err();
    assert_eq!((refused.code, refused.context["exports"].as_str()), (Code::ResourceInUse, "1"));
}

/// The kind of an object storage.
pub(crate) fn s3_kind() -> StorageKindReport {
    let schema = include_str!("../../../../plugins/storage-s3/config.schema.json");
    StorageKindReport {
        kind: "s3".parse().unwrap(),
        plugin: "storage-s3".into(),
        version: "0.1.0".into(),
        summary: "Objects".into(),
        schema: Some(schema.into()),
    }
}

const SECRET: &str = "the-owners-secret";

fn to_bucket(more: &[(&str, &str)]) -> ExportCreate {
    let settings = [("bucket", "backups"), ("access-key", "AKIA"), ("endpoint", "https://s3.example.com")];
    let settings: BTreeMap<_, _> =
        settings.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let secrets = Secrets::from([("secret-key".to_owned(), SecretText::new(SECRET.to_owned()))]);
    let form = ExportForm::new(ImageFormat::Qcow2, None, Some(Compression::Zstd)).unwrap();
    let kind = "s3".parse().unwrap();
    let destination = DestinationCreate { kind, settings, secrets, key: Some("2026/web.qcow2".to_owned()) };
    ExportCreate { form, destination: Some(destination) }
}

pub(crate) async fn a_destination_has_its_secrets_until_the_task_ends(world: World) {
    let image = world.image("web").await;
    world.agent.register_with(vec![local_kind(), s3_kind()]).await.unwrap();
    let ask = async |request| world.service.export_create(&world.customer, image, request).await;
    let local = DestinationCreate {
        kind: "local".parse().unwrap(),
        settings: BTreeMap::from([("path".to_owned(), "/etc".to_owned())]),
        secrets: Secrets::new(),
        key: None,
    };
    let refused = ask(ExportCreate { destination: Some(local), ..vhd() }).await.unwrap_err();
    assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some("/destination/kind")));
    let refused = ask(to_bucket(&[("private-networks", "true")])).await.unwrap_err();
    assert_eq!(refused.pointer.as_deref(), Some("/destination/settings/private-networks"));
    let refused = ask(to_bucket(&[("bucket", "no bucket")])).await.unwrap_err();
    assert_eq!(refused.pointer.as_deref(), Some("/destination/settings/bucket"));

    let made = ask(to_bucket(&[])).await.unwrap();
    let shown = serde_json::to_string(&made).unwrap();
    assert!(!shown.contains(SECRET) && !shown.contains("s3.example.com"), "{shown}");
    assert_eq!(made.export.destination_key.as_deref(), Some("2026/web.qcow2"));
    let work = world.agent.claim_one().await;
    let asked = order(&work);
    assert!(asked.is_destination && !serde_json::to_string(&work).unwrap().contains(SECRET));
    assert_eq!((asked.to.kind.as_str(), asked.key.as_str()), ("s3", "2026/web.qcow2"));
    let lease = HeldLease { task_id: work.task_id, fence: work.fence };
    let fetch = async || world.agent.control.secrets(SecretsRequest::Task { lease }).await;
    assert_eq!(fetch().await.unwrap().secrets["secret-key"].expose(), SECRET);
    let store = Store::open(&world.target).await.unwrap();
    assert!(storage_use::of_task(&store.read(), work.task_id).await.unwrap().is_empty(), "no room of ours");
    world.agent.finish(&work, exported()).await.unwrap();
    assert_eq!(fetch().await.unwrap_err(), ProtocolError::LeaseLost);
    assert!(of_task::list(&store.read(), work.task_id).await.unwrap().is_empty(), "removed with the end");
    let content = world.service.export_content(&world.customer, image, made.export.id).await;
    assert_eq!(code(content), Some(Code::ExportNotAvailable), "its owner has it");
    // Its row goes without a task: the object is its owner's.
    world.service.export_delete(&world.customer, image, made.export.id).await.unwrap();
    assert!(world.exports(&world.customer, image).await.is_empty());
    assert!(world.agent.claim(1, 0).await.is_empty());

    let again = ask(to_bucket(&[])).await.unwrap();
    world.service.task_cancel(&world.customer, again.task.id).await.unwrap();
    assert!(of_task::list(&store.read(), again.task.id).await.unwrap().is_empty());
    let ended = world.task(again.task.id).await;
    assert_eq!(ended.state, TaskState::Cancelled);
    assert!(world.environment.now() < ended.deadline);
}

//! Imports: slots and room, the switch, secrets, uploads and who may send them.

use std::collections::BTreeMap;

use imprint_agent_protocol::{
    Assignment, AssignmentKind, Fingerprint, ImportResult, ImportSource, ObjectServer, Outcome,
    ProtocolError, ReserveRequest, ReserveResponse, SecretsRequest,
};
use imprint_domain::{
    Code, Error,
    findings::{DiskFindings, ImageNoticeCode},
    id::ImageId,
    image::{ImageFormat, ImageKind, ImageStatus, catalogue::OsType},
    import::{ImportKind, ImportProfile},
    secret::{SecretText, Secrets},
    tag::Tags,
    task::TaskState,
    task_error::{TaskError, TaskErrorCode},
};
use imprint_service::{AccountPatch, ImportCreate, ImportFrom, LocationPatch, SourceStorage};
use imprint_store::{Store, secret::of_task};

use crate::{
    exports::s3_kind,
    support::{World, lease, local_kind, name, size, stored},
};

const URL: &str = "https://user:pass@images.example/disk.qcow2?signature=secret";

impl World {
    pub(crate) fn upload(&self, text: &str, bytes: u64) -> ImportCreate {
        ImportCreate {
            name: name(text),
            description: String::new(),
            tags: Tags::default(),
            location_id: self.location.id,
            source: ImportFrom::Upload { file_name: format!("{text}.qcow2") },
            format: None,
            size: Some(size(bytes)),
            digest: None,
            stock: false,
        }
    }

    fn url_import(&self, text: &str) -> ImportCreate {
        let headers = vec![("Authorization".to_owned(), SecretText::new("Bearer token".to_owned()))];
        ImportCreate {
            source: ImportFrom::Url { url: SecretText::new(URL.to_owned()), headers },
            size: None,
            ..self.upload(text, 1)
        }
    }

    pub(crate) async fn serves_objects(&self) {
        let server = ObjectServer {
            address: "127.0.0.1:9".to_owned(),
            fingerprint: Fingerprint::new([7; 32]),
            internal: true,
        };
        self.agent.register_serving(server).await;
    }

    async fn imports(&self, patch: LocationPatch) {
        self.service.location_update(&self.admin, self.location.id, patch).await.unwrap();
    }

    async fn status(&self, id: ImageId) -> ImageStatus {
        self.service.image_show(&self.customer, id).await.unwrap().status
    }
}

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

pub(crate) fn imported() -> Outcome {
    Outcome::Imported(ImportResult {
        image: imprint_domain::image::StoredImage { consistency: None, ..stored() },
        file_size: size(7 << 20),
        format: ImageFormat::Vmdk,
        packing: None,
        findings: None,
    })
}

/// Returns a disk with FreeBSD that starts by UEFI only, and has no cloud-init.
fn findings() -> DiskFindings {
    serde_json::from_value(serde_json::json!({
        "inspector": "inspector-disk 0.1.0",
        "size": 1 << 30,
        "medium": "disk",
        "partition_scheme": "gpt",
        "partitions": [],
        "file_systems": [],
        "system": {"family": "bsd", "name": "FreeBSD 14.1"},
        "cloud_init": "absent",
        "guest_agent": "unknown",
        "ssh_server": "present",
        "domain_controller": "unknown",
        "boot_loaders": ["other"],
        "firmware": "uefi",
        "used_until": 512,
        "used_bytes": 512,
        "unread": [],
    }))
    .unwrap()
}

fn source_of(work: &Assignment) -> &ImportSource {
    let AssignmentKind::Import(order) = &work.kind else { panic!("{work:?}") };
    &order.source
}

pub(crate) async fn an_upload_is_an_image_from_the_request_on(world: World) {
    world.serves_objects().await;
    let made = world.service.image_import(&world.customer, world.upload("web", 7 << 20)).await.unwrap();
    assert_eq!((made.image.kind, made.image.status), (ImageKind::Custom, ImageStatus::Creating));
    let waiting = world.service.image_upload(&world.customer, made.image.id).await.unwrap();
    assert!(waiting.target.is_none() && !waiting.complete, "no agent has taken it: {waiting:?}");
    let work = world.agent.claim_one().await;
    assert!(matches!(source_of(&work), ImportSource::Upload { .. }));
    let ready = world.service.image_upload(&world.customer, made.image.id).await.unwrap();
    let target = ready.target.unwrap();
    assert_eq!((ready.size, target.task_id), (size(7 << 20), made.task.id));
    // Nobody else sends to it, or learns that there is one.
    for other in [&world.other] {
        assert_eq!(code(world.service.image_upload(other, made.image.id).await), Some(Code::NotFound));
    }
    assert!(world.service.image_upload(&world.admin, made.image.id).await.is_ok());
    world.agent.finish(&work, imported()).await.unwrap();
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!((image.status, image.size_bytes), (ImageStatus::Available, Some(size(5 << 20))));
    let import = image.import.unwrap();
    assert_eq!((import.source, import.origin.as_str()), (ImportKind::Upload, "web.qcow2"));
    let file = import.file.unwrap();
    assert_eq!((file.size, file.format), (size(7 << 20), ImageFormat::Vmdk));
    let late = world.service.image_upload(&world.customer, made.image.id).await.unwrap();
    assert!(late.complete);
}

pub(crate) async fn what_is_found_inside_is_kept_and_shown_on(world: World) {
    world.serves_objects().await;
    let made = world.service.image_import(&world.customer, world.upload("web", 7 << 20)).await.unwrap();
    let before = world.service.image_findings(&world.customer, made.image.id).await.unwrap();
    assert_eq!((before.inspected_at, before.findings), (None, None));
    let work = world.agent.claim_one().await;
    let Outcome::Imported(result) = imported() else { panic!("it is an import") };
    let found = findings();
    let outcome = Outcome::Imported(ImportResult { findings: Some(found.clone()), ..result });
    world.agent.finish(&work, outcome).await.unwrap();
    let view = world.service.image_findings(&world.customer, made.image.id).await.unwrap();
    assert_eq!((view.inspected_at, view.findings), (Some(world.service.now()), Some(found)));
    let codes: Vec<_> = view.notices.iter().map(|notice| notice.code).collect();
    assert_eq!(codes, [ImageNoticeCode::UefiOnly, ImageNoticeCode::NoCloudInit]);
    let hidden = world.service.image_findings(&world.other, made.image.id).await;
    assert_eq!(code(hidden), Some(Code::NotFound));
    // Nothing else said what its system is, and a deployment is not asked for what it ignores.
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!((image.guest.os_type, image.guest.cloud_init), (OsType::Bsd, false));
}

pub(crate) async fn an_import_takes_a_slot_and_gives_it_back(world: World) {
    world.serves_objects().await;
    let account = world.customer.account_id();
    let limit = AccountPatch { image_limit: Some(Some(1)), ..AccountPatch::default() };
    world.service.account_update(&world.admin, account, limit).await.unwrap();
    let first = world.service.image_import(&world.customer, world.upload("one", 1 << 20)).await.unwrap();
    let second = world.service.image_import(&world.customer, world.upload("two", 1 << 20)).await;
    assert_eq!(code(second), Some(Code::ImageLimitReached));
    world.service.task_cancel(&world.customer, first.task.id).await.unwrap();
    let gone = world.service.image_show(&world.customer, first.image.id).await;
    assert_eq!(code(gone), Some(Code::NotFound), "a cancelled import leaves no image");
    let third = world.service.image_import(&world.customer, world.upload("three", 1 << 20)).await.unwrap();
    let work = world.agent.claim_one().await;
    let refused = TaskError::new(TaskErrorCode::ImportRefused, "broken rules");
    world.agent.finish(&work, Outcome::Failed(refused)).await.unwrap();
    assert_eq!(world.status(third.image.id).await, ImageStatus::Error);
    let again = world.service.task_retry(&world.customer, third.task.id).await;
    assert_eq!(code(again), Some(Code::InvalidTransition), "its file is gone");
    world.service.image_import(&world.customer, world.upload("four", 1 << 20)).await.unwrap();
}

pub(crate) async fn an_agent_reserves_what_an_image_takes(world: World) {
    let account = world.customer.account_id();
    let limit = AccountPatch { image_bytes_limit: Some(Some(size(1 << 30))), ..AccountPatch::default() };
    world.service.account_update(&world.admin, account, limit).await.unwrap();
    let made = world.service.image_import(&world.customer, world.url_import("large")).await.unwrap();
    let work = world.agent.claim_one().await;
    let reserve = async |bytes| {
        let request = ReserveRequest { lease: lease(&work), bytes: size(bytes) };
        world.agent.control.reserve(request).await
    };
    assert_eq!(reserve(900 << 20).await.unwrap(), ReserveResponse::Granted);
    // It replaces what was reserved before, and does not add to it.
    assert_eq!(reserve(1 << 30).await.unwrap(), ReserveResponse::Granted);
    let refused = reserve((1 << 30) + 1).await.unwrap();
    let ReserveResponse::Refused { error } = refused else { panic!("{refused:?}") };
    assert!(error.is(TaskErrorCode::ImageBytesLimitReached), "{error:?}");
    let other = world.service.image_import(&world.customer, world.url_import("other")).await;
    assert_eq!(code(other), Some(Code::ImageBytesLimitReached), "all of it is reserved");
    world.agent.finish(&work, imported()).await.unwrap();
    assert!(matches!(reserve(1).await, Err(ProtocolError::LeaseLost)));
    assert_eq!(world.status(made.image.id).await, ImageStatus::Available);
    world.service.image_import(&world.customer, world.url_import("other")).await.unwrap();
}

pub(crate) async fn the_address_of_an_import_is_sealed_until_its_end(world: World) {
    let made = world.service.image_import(&world.customer, world.url_import("web")).await.unwrap();
    let import = made.image.import.clone().unwrap();
    assert_eq!(
        (import.source, import.origin.as_str()),
        (ImportKind::Url, "https://images.example/disk.qcow2")
    );
    let store = Store::open(&world.target).await.unwrap();
    let sealed = of_task::list(&store.read(), made.task.id).await.unwrap();
    assert_eq!(sealed.len(), 2);
    let readable =
        |needle: &[u8]| sealed.iter().any(|one| one.sealed.windows(needle.len()).any(|part| part == needle));
    assert!(!readable(b"signature=secret") && !readable(b"Bearer token"));
    let work = world.agent.claim_one().await;
    assert_eq!(source_of(&work), &ImportSource::Url);
    let assignment = serde_json::to_string(&work.kind).unwrap();
    assert!(!assignment.contains("signature") && !assignment.contains("Bearer"), "{assignment}");
    let asked = SecretsRequest::Task { lease: lease(&work) };
    let answer = world.agent.control.secrets(asked).await.unwrap();
    assert_eq!(answer.secrets["url"].expose(), URL);
    assert_eq!(answer.secrets["header.Authorization"].expose(), "Bearer token");
    world.agent.finish(&work, imported()).await.unwrap();
    assert_eq!(of_task::list(&store.read(), made.task.id).await.unwrap().len(), 0);
    assert!(world.agent.control.secrets(asked).await.is_err());
}

pub(crate) async fn imports_obey_the_location(world: World) {
    let off = LocationPatch { import_enabled: Some(false), ..LocationPatch::default() };
    world.imports(off).await;
    let refused = world.service.image_import(&world.customer, world.url_import("web")).await;
    assert_eq!(code(refused), Some(Code::ImportDisabled));
    let policy = LocationPatch {
        import_enabled: Some(true),
        import_profile: Some(ImportProfile::StrictVhd),
        import_limit: Some(size(20 << 30)),
        import_windows: Some(true),
        ..LocationPatch::default()
    };
    world.imports(policy).await;
    let large = world.service.image_import(&world.customer, world.upload("large", 30 << 30)).await;
    assert_eq!(code(large), Some(Code::InvalidRequest), "no disk of 20 GiB has such a file");
    world.service.image_import(&world.customer, world.url_import("web")).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::Import(order) = &work.kind else { panic!("{work:?}") };
    assert_eq!((order.policy.profile, order.policy.largest_disk), (ImportProfile::StrictVhd, size(20 << 30)));
    assert!(order.policy.windows);
    // An upload needs an agent that takes it.
    let upload = world.service.image_import(&world.customer, world.upload("web", 1 << 20)).await;
    assert_eq!(code(upload), Some(Code::ObjectsNotServed));
    for wrong in ["ftp://h/x", "disk.qcow2", "https://"] {
        let source = ImportFrom::Url { url: SecretText::new(wrong.to_owned()), headers: Vec::new() };
        let request = ImportCreate { source, ..world.url_import("wrong") };
        assert_eq!(
            code(world.service.image_import(&world.customer, request).await),
            Some(Code::InvalidRequest)
        );
    }
}

pub(crate) async fn admins_import_stock_images(world: World) {
    let request = ImportCreate { stock: true, ..world.url_import("debian-12") };
    let refused = world.service.image_import(&world.customer, request.clone()).await;
    assert_eq!(code(refused), Some(Code::Forbidden));
    let made = world.service.image_import(&world.admin, request).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::Import(order) = &work.kind else { panic!("{work:?}") };
    assert_eq!(order.image.storage.id, world.stock);
    world.agent.finish(&work, imported()).await.unwrap();
    let image = world.service.image_show(&world.customer, made.image.id).await.unwrap();
    assert_eq!((image.kind, image.status), (ImageKind::Stock, ImageStatus::Available));
    let task = world.service.task_show(&world.admin, made.task.id).await.unwrap();
    assert_eq!(task.state, TaskState::Succeeded);
}

const SECRET: &str = "the-owners-secret";

impl World {
    fn object_import(&self, kind: &str, bucket: &str, key: &str) -> ImportCreate {
        let settings = [("bucket", bucket), ("access-key", "AKIA"), ("prefix", "old")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let storage = SourceStorage {
            kind: kind.parse().unwrap(),
            settings: BTreeMap::from(settings),
            secrets: Secrets::from([("secret-key".to_owned(), SecretText::new(SECRET.to_owned()))]),
        };
        let source = ImportFrom::StorageObject { storage, key: key.to_owned() };
        ImportCreate { source, ..self.url_import("object") }
    }
}

/// S76, S135: what is wrong with the storage is said before anything is queued.
pub(crate) async fn an_object_has_its_secrets_until_the_import_ends(world: World) {
    let ask = async |request| world.service.image_import(&world.customer, request).await;
    let unknown = ask(world.object_import("s3", "disks", "web.qcow2")).await.unwrap_err();
    assert_eq!(unknown.pointer.as_deref(), Some("/source/kind"), "no agent has its plugin");
    world.agent.register_with(vec![local_kind(), s3_kind()]).await.unwrap();
    for (kind, bucket, key, pointer) in [
        ("local", "disks", "web.qcow2", "/source/kind"),
        ("s3", "no bucket", "web.qcow2", "/source/settings/bucket"),
        ("s3", "disks", "../web.qcow2", "/source/key"),
    ] {
        let refused = ask(world.object_import(kind, bucket, key)).await.unwrap_err();
        assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some(pointer)));
    }

    let made = ask(world.object_import("s3", "disks", "2026/web.qcow2")).await.unwrap();
    assert!(!serde_json::to_string(&made).unwrap().contains(SECRET));
    let import = made.image.import.clone().unwrap();
    let origin = "s3://disks/old/2026/web.qcow2";
    assert_eq!((import.source, import.origin.as_str()), (ImportKind::StorageObject, origin));
    let work = world.agent.claim_one().await;
    let ImportSource::StorageObject { storage, key } = source_of(&work) else { panic!("{work:?}") };
    assert_eq!((storage.kind.as_str(), key.as_str()), ("s3", "2026/web.qcow2"));
    assert_eq!(storage.settings["bucket"], "disks");
    assert!(!serde_json::to_string(&work).unwrap().contains(SECRET));
    let asked = SecretsRequest::Task { lease: lease(&work) };
    let answer = world.agent.control.secrets(asked).await.unwrap();
    assert_eq!(answer.secrets["secret-key"].expose(), SECRET);
    world.agent.finish(&work, imported()).await.unwrap();
    let store = Store::open(&world.target).await.unwrap();
    assert_eq!(of_task::list(&store.read(), made.task.id).await.unwrap().len(), 0);
    assert_eq!(world.status(made.image.id).await, ImageStatus::Available);
}

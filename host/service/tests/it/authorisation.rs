//! Who may do what: what an account may not know of is not found.

use std::{collections::BTreeMap, time::Duration};

use imprint_domain::{
    Code, Error,
    account::Role,
    account::Scope,
    coalesce::CoalescePolicy,
    id::TokenId,
    image::{
        ImageEdit, ImageFormat,
        catalogue::{CatalogueEdit, GuestSystem},
    },
    location::FreezeLimit,
    media_group::MediaGroupEdit,
    plugin_kind::StorageKind,
    storage::StorageRole,
};
use imprint_service::{
    AccountCreate, AccountPatch, Busy, CaptureCreate, EventFilter, HypervisorCreate, ImageList, ImageScope,
    InstanceCreate, InstanceList, LocationCreate, LocationPatch, Op, PageRequest, StockImageCreate,
    StorageCreate, StorageList, StoragePatch, TaskList,
};
use imprint_store::Store;
use uuid::Uuid;

use crate::support::{World, name, with_scopes};

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

/// Everything that can be asked of one image, instance and task.
async fn ask_all(world: &World, op: &Op, image: imprint_domain::id::ImageId) -> Vec<Option<Code>> {
    let service = &world.service;
    let task = service.image_show(&world.customer, image).await.unwrap().task_id.unwrap();
    let deployment = InstanceCreate { image_id: image, ..world.deployment("mine") };
    let reinstall = crate::reinstall::request(image);
    let of_task = EventFilter { topics: Vec::new(), task_id: Some(task) };
    vec![
        code(service.image_show(op, image).await),
        code(service.image_update(op, image, ImageEdit::default(), None).await),
        code(service.image_delete(op, image, None).await),
        code(service.image_capture(op, world.capture_request("mine")).await),
        code(service.instance_create(op, deployment).await),
        code(service.instance_show(op, world.instance).await),
        code(service.instance_start(op, world.instance, Busy::Refuse).await),
        code(service.instance_stop(op, world.instance, Busy::Refuse).await),
        code(service.instance_reinstall(op, world.instance, reinstall, Busy::Refuse).await),
        code(service.instance_delete(op, world.instance, Busy::Refuse).await),
        code(service.task_show(op, task).await),
        code(service.task_wait(op, task, Duration::from_secs(5)).await),
        code(service.task_cancel(op, task).await),
        code(service.task_retry(op, task).await),
        code(service.event_follow(op, of_task, None).await),
    ]
}

pub(crate) async fn a_foreign_account_sees_nothing(world: World) {
    let image = world.image("secret").await;
    for answer in ask_all(&world, &world.other, image).await {
        assert_eq!(answer, Some(Code::NotFound));
    }
    for scope in [ImageScope::Own, ImageScope::All] {
        let list = ImageList { scope, ..ImageList::default() };
        let seen = world.service.image_list(&world.other, &list).await.unwrap().items;
        assert!(seen.iter().all(|seen| seen.id != image));
    }
    let instances = world.service.instance_list(&world.other, &InstanceList::default()).await.unwrap();
    assert!(instances.items.is_empty());
    let tasks = world.service.task_list(&world.other, &TaskList::default()).await.unwrap();
    assert!(tasks.items.is_empty());
    // An admin sees it, and what it captures belongs to the instance's owner.
    let made =
        world.service.image_capture(&world.admin, world.capture_request("by the provider")).await.unwrap();
    assert_eq!(made.image.account_id, world.customer.account_id());
    assert!(world.service.image_show(&world.admin, image).await.is_ok());
    // Without its admin scope it is an account like others.
    let narrow = with_scopes(&world.admin, &[Scope::ImagesRead, Scope::ImagesWrite]);
    assert_eq!(code(world.service.image_show(&narrow, image).await), Some(Code::NotFound));
}

/// Everything that can be asked of image storages.
async fn ask_of_storages(world: &World, op: &Op) -> [Option<Code>; 9] {
    let service = &world.service;
    let settings = BTreeMap::from([("path".to_owned(), "/etc".to_owned())]);
    let storage = StorageCreate::new(name("x"), StorageRole::Stock, StorageKind::local(), settings);
    let asked = CaptureCreate { storage_id: Some(world.images), ..world.capture_request("x") };
    let images = ImageList { storage_id: Some(world.images), ..ImageList::default() };
    [
        code(service.storage_list(op, &StorageList::default()).await),
        code(service.storage_show(op, world.images).await),
        code(service.storage_create(op, storage).await),
        code(service.storage_update(op, world.images, StoragePatch::default(), None).await),
        code(service.storage_bind(op, world.images, world.hypervisor).await),
        code(service.storage_unbind(op, world.images, world.hypervisor, true).await),
        code(service.storage_delete(op, world.images, None).await),
        code(service.image_capture(op, asked).await),
        code(service.image_list(op, &images).await),
    ]
}

pub(crate) async fn a_customer_is_no_admin(world: World) {
    let page = PageRequest::default();
    for op in [&world.customer, &with_scopes(&world.admin, &[Scope::ImagesRead, Scope::ImagesWrite])] {
        let service = &world.service;
        let account = AccountCreate {
            name: name("x"),
            password: "12345678".into(),
            role: Role::Admin,
            image_limit: None,
            image_bytes_limit: None,
        };
        let hypervisor = HypervisorCreate {
            name: name("x"),
            location_id: world.location.id,
            driver: "qemu".parse().unwrap(),
            driver_settings: BTreeMap::new(),
            max_work: None,
            max_captures: None,
        };
        let stock_image = StockImageCreate {
            name: name("x"),
            description: String::new(),
            storage_id: world.stock,
            key: "shadow".into(),
            format: ImageFormat::Raw,
            location_id: world.location.id,
            guest: GuestSystem::default(),
            catalogue: CatalogueEdit::default(),
        };
        let group = imprint_domain::id::MediaGroupId::new(Uuid::nil());
        let id = op.account_id();
        let limits = AccountPatch { image_limit: Some(None), ..AccountPatch::default() };
        let answers = [
            code(service.instance_coalesce(op, world.instance).await),
            code(service.account_list(op, &page).await),
            code(service.account_create(op, account).await),
            code(service.account_update(op, id, limits).await),
            code(service.location_create(op, location("x")).await),
            code(service.location_update(op, world.location.id, LocationPatch::default()).await),
            code(service.admin_hypervisor_list(op, &page).await),
            code(service.admin_hypervisor_show(op, world.hypervisor).await),
            code(service.hypervisor_create(op, hypervisor).await),
            code(service.agent_token_create(op, world.hypervisor).await),
            code(service.hypervisor_delete(op, world.hypervisor).await),
            code(service.location_delete(op, world.location.id).await),
            code(service.agent_token_list(op, world.hypervisor, &page).await),
            code(service.agent_token_delete(op, world.hypervisor, TokenId::new(Uuid::nil())).await),
            code(service.stock_image_create(op, stock_image).await),
            code(service.stock_image_update(op, world.stock_image, ImageEdit::default(), None).await),
            code(service.media_group_create(op, crate::catalogue::group("x")).await),
            code(service.media_group_update(op, group, MediaGroupEdit::default(), None).await),
            code(service.media_group_delete(op, group, None).await),
        ];
        for answer in answers.into_iter().chain(ask_of_storages(&world, op).await) {
            assert_eq!(answer, Some(Code::Forbidden));
        }
    }
    let taken = world.service.location_create(&world.admin, location("Here"));
    assert_eq!(code(taken.await), Some(Code::NameTaken));
}

fn location(text: &str) -> LocationCreate {
    LocationCreate {
        name: name(text),
        images_enabled: true,
        sharing_enabled: true,
        iso_enabled: true,
        import_enabled: true,
        export_enabled: true,
        default_image_limit: None,
        default_image_bytes_limit: None,
        coalesce: CoalescePolicy::default(),
        freeze_limit: FreezeLimit::default(),
    }
}

pub(crate) async fn a_reading_token_changes_nothing(world: World) {
    let image = world.image("golden").await;
    let reader = with_scopes(&world.customer, &[Scope::ImagesRead]);
    let answers = ask_all(&world, &reader, image).await;
    let forbidden = Some(Code::Forbidden);
    let expected = [
        None, forbidden, forbidden, forbidden, forbidden, None, forbidden, forbidden, forbidden, forbidden,
        None, None, forbidden, forbidden, None,
    ];
    assert_eq!(answers, expected);
    let agent = with_scopes(&world.customer, &[Scope::Agent]);
    for answer in ask_all(&world, &agent, image).await {
        assert_eq!(answer, forbidden);
    }
}

pub(crate) async fn stock_images_are_for_all_to_use_and_for_admins_to_change(world: World) {
    let id = world.stock_image;
    let shown = world.service.image_show(&world.other, id).await.unwrap();
    assert_eq!(shown.kind, imprint_domain::image::ImageKind::Stock);
    let patch = || ImageEdit { name: Some(name("Renamed")), ..ImageEdit::default() };
    assert_eq!(
        code(world.service.image_update(&world.other, id, patch(), None).await),
        Some(Code::Forbidden)
    );
    assert_eq!(code(world.service.image_delete(&world.other, id, None).await), Some(Code::Forbidden));
    let renamed = world.service.image_update(&world.admin, id, patch(), Some(shown.version)).await.unwrap();
    assert_eq!((renamed.name, renamed.version), (name("Renamed"), shown.version + 1));
    let stale = world.service.image_update(&world.admin, id, patch(), Some(shown.version)).await;
    assert_eq!(code(stale), Some(Code::PreconditionFailed));
    // The entry goes, the operator's file stays: no agent is asked.
    let deleted = world.service.image_delete(&world.admin, id, None).await.unwrap();
    assert_eq!(deleted.task.state, imprint_domain::task::TaskState::Succeeded);
    assert!(world.agent.claim(8, 0).await.is_empty());
    assert_eq!(code(world.service.image_show(&world.admin, id).await), Some(Code::NotFound));
    for key in ["", "/etc/passwd", "../x", "a//b", "a/./b"] {
        let request = StockImageCreate {
            name: name("x"),
            description: String::new(),
            storage_id: world.stock,
            key: key.into(),
            format: ImageFormat::Raw,
            location_id: world.location.id,
            guest: GuestSystem::default(),
            catalogue: CatalogueEdit::default(),
        };
        let refused = world.service.stock_image_create(&world.admin, request).await;
        assert_eq!(code(refused), Some(Code::InvalidRequest), "{key}");
    }
}

pub(crate) async fn every_change_has_its_audit_row(world: World) {
    let made = world.capture("golden").await;
    world.agent.work_all().await;
    let patch = ImageEdit { description: Some("notes".into()), ..ImageEdit::default() };
    world.service.image_update(&world.customer, made.image.id, patch, None).await.unwrap();
    world.service.image_delete(&world.customer, made.image.id, None).await.unwrap();
    let store = Store::open(&world.target).await.unwrap();
    let rows =
        imprint_store::audit::of_resource(&store.read(), &made.image.id.to_string(), 10).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["image.capture", "image.update", "image.delete"]);
    assert!(rows.iter().all(|row| row.request_id == world.customer.request_id));
    assert!(rows.iter().all(|row| row.actor.starts_with("ses_")));
}

//! The catalogue of stock images: media groups, families, notices, hidden images, cloud-init.

use imprint_domain::{
    Code, Error,
    id::{ImageId, MediaGroupId},
    image::{
        ImageEdit, ImageFormat,
        catalogue::{CatalogueEdit, Deprecation, GuestSystem, ImageFamily, OsType},
    },
    media_group::MediaGroupEdit,
};
use imprint_service::{
    CatalogueView, EventFilter, EventTopic, FamilyChoice, ImageList, ImageScope, InstanceCreate,
    InstanceTask, MediaGroupCreate, Op, StockImageCreate, Subject,
};
use imprint_store::Store;

use crate::{
    events::next,
    support::{World, failure, name},
};

pub(crate) fn group(label: &str) -> MediaGroupCreate {
    MediaGroupCreate { label: name(label), description: String::new(), position: None, hidden: false }
}

fn family() -> ImageFamily {
    "debian-12".parse().unwrap()
}

fn of_family(version: &str) -> CatalogueEdit {
    CatalogueEdit {
        family: Some(Some(family())),
        version: Some(version.parse().unwrap()),
        ..CatalogueEdit::default()
    }
}

fn hide(hidden: bool) -> CatalogueEdit {
    CatalogueEdit { hidden: Some(hidden), ..CatalogueEdit::default() }
}

fn deprecate(notice: &str, replacement: Option<ImageId>) -> CatalogueEdit {
    let deprecation = Some(Some(Deprecation::new(notice, replacement).unwrap()));
    CatalogueEdit { deprecation, ..CatalogueEdit::default() }
}

/// How the world is changed and asked here.
impl World {
    async fn group_id(&self, label: &str) -> MediaGroupId {
        self.service.media_group_create(&self.admin, group(label)).await.unwrap().id
    }

    async fn groups(&self, op: &Op) -> Vec<String> {
        let groups = self.service.media_group_list(op).await.unwrap();
        groups.iter().map(|group| group.label.to_string()).collect()
    }

    async fn edit_group(&self, id: MediaGroupId, edit: MediaGroupEdit) -> Result<u32, Code> {
        let done = self.service.media_group_update(&self.admin, id, edit, None).await;
        done.map(|group| group.version).map_err(|error| error.code)
    }

    async fn add(&self, text: &str, catalogue: CatalogueEdit) -> Result<ImageId, Error> {
        let request = StockImageCreate {
            name: name(text),
            description: String::new(),
            storage_id: self.stock,
            key: format!("{text}.qcow2"),
            format: ImageFormat::Qcow2,
            location_id: self.location.id,
            guest: GuestSystem { os_type: OsType::Linux, cloud_init: true },
            catalogue,
        };
        let id = self.service.stock_image_create(&self.admin, request).await?.image.id;
        self.agent.work_all().await;
        Ok(id)
    }

    async fn set_entry(&self, id: ImageId, catalogue: CatalogueEdit) -> Result<CatalogueView, Error> {
        let edit = ImageEdit { catalogue, ..ImageEdit::default() };
        let image = self.service.stock_image_update(&self.admin, id, edit, None).await?;
        Ok(image.catalogue.unwrap())
    }

    async fn entry(&self, op: &Op, id: ImageId) -> CatalogueView {
        self.service.image_show(op, id).await.unwrap().catalogue.unwrap()
    }

    async fn listed(&self, op: &Op, scope: ImageScope) -> Vec<ImageId> {
        let list = ImageList { scope, ..ImageList::default() };
        let page = self.service.image_list(op, &list).await.unwrap();
        page.items.iter().map(|image| image.id).collect()
    }

    async fn deploy_image(&self, op: &Op, image_id: ImageId) -> Result<InstanceTask, Code> {
        let request = InstanceCreate { image_id, ..self.deployment("from the catalogue") };
        self.service.instance_create(op, request).await.map_err(|error| error.code)
    }

    async fn deploy_family(&self, op: &Op) -> Result<ImageId, Code> {
        let choice = FamilyChoice { family: family(), location_id: None, hypervisor_id: None };
        let request = |image_id| InstanceCreate { image_id, ..self.deployment("of a family") };
        let made = self.service.instance_create_of_family(op, &choice, request).await;
        self.agent.work_all().await;
        made.map(|made| made.instance.image.unwrap().id).map_err(|error| error.code)
    }
}

pub(crate) async fn media_groups_are_added_moved_hidden_and_deleted(world: World) {
    let filter = EventFilter { topics: vec![EventTopic::MediaGroup], task_id: None };
    let mut follower = world.service.event_follow(&world.admin, filter, None).await.unwrap();
    let (linux, windows) = (world.group_id("Linux").await, world.group_id("Windows").await);
    let first = MediaGroupCreate { position: Some(0), ..group("BSD") };
    let bsd = world.service.media_group_create(&world.admin, first).await.unwrap();
    assert_eq!((bsd.position, bsd.version), (0, 1));
    assert_eq!(world.groups(&world.customer).await, ["BSD", "Linux", "Windows"]);
    let Subject::MediaGroup(seen) = next(&mut follower).await.subject else { panic!("not the group") };
    assert_eq!(seen.id, linux);

    let taken = world.service.media_group_create(&world.admin, group("Linux")).await.unwrap_err();
    assert_eq!((taken.code, taken.pointer.as_deref()), (Code::NameTaken, Some("/label")));
    let label = MediaGroupEdit { label: Some(name("BSD")), ..MediaGroupEdit::default() };
    assert_eq!(world.edit_group(windows, label).await, Err(Code::NameTaken));
    let to = |position| MediaGroupEdit { position: Some(position), ..MediaGroupEdit::default() };
    world.edit_group(windows, to(0)).await.unwrap();
    assert_eq!(world.groups(&world.customer).await, ["Windows", "BSD", "Linux"]);

    let hidden = MediaGroupEdit { hidden: Some(true), ..MediaGroupEdit::default() };
    world.edit_group(bsd.id, hidden).await.unwrap();
    assert_eq!(world.groups(&world.customer).await, ["Windows", "Linux"]);
    assert_eq!(world.groups(&world.admin).await, ["Windows", "BSD", "Linux"]);
    assert!(world.service.media_group_show(&world.admin, bsd.id).await.unwrap().hidden);
    let unseen = world.service.media_group_show(&world.customer, bsd.id).await.unwrap_err();
    assert_eq!(unseen.code, Code::NotFound);

    let stale = MediaGroupEdit { description: Some("Unix".into()), ..MediaGroupEdit::default() };
    let refused = world.service.media_group_update(&world.admin, bsd.id, stale, Some(1)).await.unwrap_err();
    assert_eq!(refused.code, Code::PreconditionFailed);
    let into = CatalogueEdit { media_group_id: Some(Some(windows)), ..CatalogueEdit::default() };
    world.set_entry(world.stock_image, into).await.unwrap();
    let used = world.service.media_group_delete(&world.admin, windows, None).await.unwrap_err();
    assert_eq!((used.code, used.context["images"].as_str()), (Code::ResourceInUse, "1"));
    let out = CatalogueEdit { media_group_id: Some(None), ..CatalogueEdit::default() };
    world.set_entry(world.stock_image, out).await.unwrap();
    world.service.media_group_delete(&world.admin, windows, None).await.unwrap();
    assert_eq!(world.groups(&world.admin).await, ["BSD", "Linux"]);
    let places: Vec<_> = world.service.media_group_list(&world.admin).await.unwrap();
    assert_eq!(places.iter().map(|group| group.position).collect::<Vec<_>>(), [0, 1]);

    let mut last = next(&mut follower).await.subject;
    while !matches!(last, Subject::MediaGroupRemoved(id) if id == windows) {
        last = next(&mut follower).await.subject;
    }
    let store = Store::open(&world.target).await.unwrap();
    let rows = imprint_store::audit::of_resource(&store.read(), &windows.to_string(), 10).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["media_group.create", "media_group.update", "media_group.delete"]);
}

pub(crate) async fn what_is_hidden_does_not_exist_for_customers(world: World) {
    let (admin, customer) = (&world.admin, &world.customer);
    let linux = world.group_id("Linux").await;
    let into = CatalogueEdit { media_group_id: Some(Some(linux)), ..CatalogueEdit::default() };
    let grouped = world.add("grouped", into).await.unwrap();
    let own = world.add("alone", CatalogueEdit::default()).await.unwrap();
    world.deploy_image(customer, own).await.unwrap();
    let made = world.deploy_image(customer, grouped).await.unwrap().instance;
    world.agent.work_all().await;
    assert_eq!(made.image.unwrap().id, grouped);
    assert_eq!((made.guest.os_type, made.guest.cloud_init), (OsType::Linux, true));

    // By itself, and with its group.
    world.set_entry(own, hide(true)).await.unwrap();
    let hidden = MediaGroupEdit { hidden: Some(true), ..MediaGroupEdit::default() };
    world.edit_group(linux, hidden).await.unwrap();
    for id in [own, grouped] {
        assert_eq!(world.service.image_show(customer, id).await.unwrap_err().code, Code::NotFound);
        assert_eq!(world.deploy_image(customer, id).await.unwrap_err(), Code::NotFound);
        assert_eq!(world.service.image_show(admin, id).await.unwrap().id, id);
        for scope in [ImageScope::Stock, ImageScope::All] {
            assert!(!world.listed(customer, scope).await.contains(&id));
            assert!(world.listed(admin, scope).await.contains(&id));
        }
        world.deploy_image(admin, id).await.unwrap();
        world.agent.work_all().await;
    }
    assert_eq!(world.listed(customer, ImageScope::Stock).await, [world.stock_image]);
    // An instance stays, and does not name what its owner may not see.
    assert_eq!(world.service.instance_show(customer, made.id).await.unwrap().image, None);

    let shown = MediaGroupEdit { hidden: Some(false), ..MediaGroupEdit::default() };
    world.edit_group(linux, shown).await.unwrap();
    world.set_entry(own, hide(false)).await.unwrap();
    for id in [own, grouped] {
        assert!(world.listed(customer, ImageScope::All).await.contains(&id));
        world.deploy_image(customer, id).await.unwrap();
    }
}

pub(crate) async fn a_family_is_deployed_by_its_latest_version(world: World) {
    let (admin, customer) = (&world.admin, &world.customer);
    assert_eq!(world.deploy_family(customer).await, Err(Code::NotFound));
    let old = world.add("debian 12.9", of_family("12.9")).await.unwrap();
    assert_eq!(world.deploy_family(customer).await, Ok(old));
    let new = world.add("debian 12.10", of_family("12.10")).await.unwrap();
    assert_eq!(world.deploy_family(customer).await, Ok(new));
    assert!(world.entry(customer, new).await.latest && !world.entry(customer, old).await.latest);
    let taken = world.add("again", of_family("12.10")).await.unwrap_err();
    assert_eq!((taken.code, taken.pointer.as_deref()), (Code::NameTaken, Some("/family_version")));
    let moved = world.set_entry(old, of_family("12.10")).await.unwrap_err();
    assert_eq!(moved.code, Code::NameTaken);

    // Deprecated: it is deployed by its id only.
    let view = world.set_entry(new, deprecate("Use the one before.", Some(old))).await.unwrap();
    assert!(!view.latest);
    assert_eq!(world.deploy_family(customer).await, Ok(old));
    world.deploy_image(customer, new).await.unwrap();
    world.agent.work_all().await;
    let notice = world.entry(customer, new).await.deprecation.unwrap();
    assert_eq!((notice.notice.as_str(), notice.replacement_id), ("Use the one before.", Some(old)));

    // Hidden: customers do not learn of it by the notice either.
    world.set_entry(old, hide(true)).await.unwrap();
    assert_eq!(world.deploy_family(customer).await, Err(Code::NotFound));
    assert_eq!(world.deploy_family(admin).await, Err(Code::NotFound));
    assert_eq!(world.entry(customer, new).await.deprecation.unwrap().replacement_id, None);
    assert_eq!(world.entry(admin, new).await.deprecation.unwrap().replacement_id, Some(old));
    let removed = CatalogueEdit { deprecation: Some(None), ..CatalogueEdit::default() };
    assert!(world.set_entry(new, removed).await.unwrap().latest);
    assert_eq!(world.deploy_family(customer).await, Ok(new));

    // A version of a deleted image is free again.
    world.service.image_delete(admin, new, None).await.unwrap();
    let again = world.add("once more", of_family("12.10")).await.unwrap();
    assert_eq!(world.deploy_family(customer).await, Ok(again));
}

pub(crate) async fn an_entry_of_the_catalogue_refers_to_what_there_is(world: World) {
    let (service, admin) = (&world.service, &world.admin);
    let custom = world.image("captured").await;
    let refused = async |catalogue| {
        let error = world.set_entry(world.stock_image, catalogue).await.unwrap_err();
        (error.code, error.pointer.unwrap_or_default())
    };
    let missing = MediaGroupId::new(uuid::Uuid::nil());
    let into = CatalogueEdit { media_group_id: Some(Some(missing)), ..CatalogueEdit::default() };
    assert_eq!(refused(into).await, (Code::NotFound, "/media_group_id".into()));
    let at = || "/deprecation/replacement_id".to_owned();
    let gone = ImageId::new(uuid::Uuid::nil());
    assert_eq!(refused(deprecate("old", Some(gone))).await, (Code::NotFound, at()));
    assert_eq!(refused(deprecate("old", Some(custom))).await, (Code::InvalidRequest, at()));
    assert_eq!(refused(deprecate("old", Some(world.stock_image))).await, (Code::InvalidRequest, at()));
    let alone = CatalogueEdit { family: Some(Some(family())), ..CatalogueEdit::default() };
    assert_eq!(refused(alone).await, (Code::InvalidRequest, "/family_version".into()));

    // Captured images have no entry, for admins either.
    let edit = || ImageEdit { catalogue: hide(true), ..ImageEdit::default() };
    let error = service.stock_image_update(admin, custom, edit(), None).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    assert_eq!(service.image_show(&world.customer, custom).await.unwrap().catalogue, None);

    // With the replacement goes what refers to it.
    let replacement = world.add("replacement", CatalogueEdit::default()).await.unwrap();
    let version = service.image_show(admin, world.stock_image).await.unwrap().version;
    world.set_entry(world.stock_image, deprecate("old", Some(replacement))).await.unwrap();
    let stale = service.stock_image_update(admin, world.stock_image, edit(), Some(version)).await;
    assert_eq!(stale.unwrap_err().code, Code::PreconditionFailed);
    service.image_delete(admin, replacement, None).await.unwrap();
    let left = world.entry(admin, world.stock_image).await.deprecation.unwrap();
    assert_eq!((left.notice.as_str(), left.replacement_id), ("old", None));
}

pub(crate) async fn keys_and_scripts_need_cloud_init(world: World) {
    let (service, customer) = (&world.service, &world.customer);
    let without = ImageEdit { cloud_init: Some(false), ..ImageEdit::default() };
    service.stock_image_update(&world.admin, world.stock_image, without, None).await.unwrap();
    let bare = || InstanceCreate { ssh_keys: Vec::new(), user_data: None, ..world.deployment("bare") };
    let deployment = world.deployment("x");
    for (request, pointer) in [
        (InstanceCreate { ssh_keys: deployment.ssh_keys.clone(), ..bare() }, "/ssh_keys"),
        (InstanceCreate { user_data: deployment.user_data.clone(), ..bare() }, "/user_data"),
    ] {
        let refused = service.instance_create(customer, request).await.unwrap_err();
        assert_eq!((refused.code, refused.pointer.as_deref()), (Code::CloudInitNotSupported, Some(pointer)));
    }
    let made = service.instance_create(customer, bare()).await.unwrap().instance;
    world.agent.work_all().await;
    assert!(!made.guest.cloud_init);

    // An image has what its instance has; its owner knows better.
    let request = imprint_service::CaptureCreate {
        instance_id: made.id,
        ..world.capture_request("of a bare instance")
    };
    let image = service.image_capture(customer, request).await.unwrap().image;
    world.agent.work_all().await;
    assert!(!image.guest.cloud_init);
    let from = |image_id| InstanceCreate { image_id, ..world.deployment("from it") };
    let refused = service.instance_create(customer, from(image.id)).await.unwrap_err();
    assert_eq!(refused.code, Code::CloudInitNotSupported);
    let with = || ImageEdit { cloud_init: Some(true), os_type: Some(OsType::Bsd), ..ImageEdit::default() };
    let foreign = service.image_update(&world.other, image.id, with(), None).await.unwrap_err();
    assert_eq!(foreign.code, Code::NotFound);
    let edited = service.image_update(customer, image.id, with(), None).await.unwrap();
    assert_eq!(edited.guest, GuestSystem { os_type: OsType::Bsd, cloud_init: true });
    let made = service.instance_create(customer, from(image.id)).await.unwrap();
    assert_eq!(made.instance.guest, edited.guest);
}

/// A deployment that has failed is repeated only while its image is offered.
pub(crate) async fn a_retry_asks_whether_the_image_is_offered(world: World) {
    let id = world.add("retried", CatalogueEdit::default()).await.unwrap();
    let made = world.deploy_image(&world.customer, id).await.unwrap();
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    world.set_entry(id, hide(true)).await.unwrap();
    let refused = world.service.task_retry(&world.customer, made.task.id).await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    world.set_entry(id, hide(false)).await.unwrap();
    world.service.task_retry(&world.customer, made.task.id).await.unwrap();
}

/// A reinstalled instance has the system of its new image.
pub(crate) async fn a_reinstalled_instance_has_the_system_of_its_image(world: World) {
    let id = world.add("without cloud-init", CatalogueEdit::default()).await.unwrap();
    let without = ImageEdit { cloud_init: Some(false), os_type: Some(OsType::Bsd), ..ImageEdit::default() };
    world.service.stock_image_update(&world.admin, id, without, None).await.unwrap();
    let (instance, customer) = (world.instance, &world.customer);
    let request = || crate::reinstall::request(id);
    let busy = imprint_service::Busy::Refuse;
    let refused = world.service.instance_reinstall(customer, instance, request(), busy).await.unwrap_err();
    assert_eq!((refused.code, refused.pointer.as_deref()), (Code::CloudInitNotSupported, Some("/user_data")));
    let bare = imprint_service::InstanceReinstall { user_data: None, ..request() };
    world.service.instance_reinstall(customer, instance, bare, busy).await.unwrap();
    world.agent.work_all().await;
    let shown = world.service.instance_show(customer, instance).await.unwrap();
    assert_eq!(shown.guest, GuestSystem { os_type: OsType::Bsd, cloud_init: false });
}

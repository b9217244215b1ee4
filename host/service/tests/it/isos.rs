//! ISOs, the drive and the disks of an instance.

use imprint_agent_protocol::{Assignment, AssignmentKind, Devices, IsoResult, Outcome};
use imprint_domain::{
    Code, Error,
    id::{DiskId, InstanceId, IsoId, StorageId},
    instance::InstanceStatus,
    iso::{IsoStatus, StoredIso},
    storage::StorageRole,
    task::TaskState,
    task_error::{TaskError, TaskErrorCode},
};
use imprint_service::{
    InstanceInstall, InstanceTask, InstanceView, IsoCreate, IsoPatch, IsoTask, IsoView, LocationPatch,
    PageRequest,
};
use imprint_store::Store;

use crate::support::{World, digest, name, size, storage};

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

impl World {
    async fn library(&self) -> StorageId {
        storage(&self.service, &self.admin, self.hypervisor, "isos", StorageRole::Iso).await
    }

    fn registration(&self, storage_id: StorageId, text: &str) -> IsoCreate {
        IsoCreate {
            name: name(text),
            description: String::new(),
            os_type: None,
            hidden: false,
            location_id: self.location.id,
            storage_id,
            key: format!("{text}.iso"),
        }
    }

    /// An ISO whose file was read.
    async fn iso(&self, storage_id: StorageId, text: &str) -> IsoId {
        let request = self.registration(storage_id, text);
        let made = self.service.iso_create(&self.admin, request).await.unwrap();
        let work = self.agent.claim_one().await;
        assert!(matches!(work.kind, AssignmentKind::RegisterIso(_)));
        self.agent.finish(&work, registered()).await.unwrap();
        made.iso.id
    }

    async fn all_isos(&self) -> Vec<IsoView> {
        self.service.admin_iso_list(&self.admin, &PageRequest::default()).await.unwrap().items
    }

    async fn offered_isos(&self) -> Vec<IsoView> {
        let page = PageRequest::default();
        self.service.iso_list(&self.customer, Some(self.location.id), &page).await.unwrap().items
    }

    async fn shown(&self) -> InstanceView {
        self.service.instance_show(&self.customer, self.instance).await.unwrap()
    }

    async fn mount(&self, iso: IsoId) -> Result<InstanceTask, Error> {
        self.service.instance_mount_iso(&self.customer, self.instance, iso, true).await
    }

    pub(crate) async fn attach(&self, bytes: u64) -> Result<InstanceTask, Error> {
        self.service.instance_attach_disk(&self.customer, self.instance, size(bytes)).await
    }

    pub(crate) async fn detach(&self, disk: DiskId) -> Result<InstanceTask, Error> {
        self.service.instance_detach_disk(&self.customer, self.instance, disk).await
    }

    /// The next work, which changes devices, and the devices that it asks for.
    async fn devices(&self) -> (Assignment, Devices) {
        let work = self.agent.claim_one().await;
        let AssignmentKind::ChangeDevices(order) = &work.kind else { panic!("{work:?}") };
        let devices = order.devices.clone();
        (work, devices)
    }
}

fn registered() -> Outcome {
    let stored =
        StoredIso { size: size(64 * 2048), digest: digest("3").parse().unwrap(), label: "SETUP".to_owned() };
    Outcome::IsoRegistered(IsoResult { stored })
}

pub(crate) async fn an_iso_is_registered_edited_and_removed(world: World) {
    let library = world.library().await;
    let wrong = world.registration(world.stock, "setup");
    let error = world.service.iso_create(&world.admin, wrong).await.unwrap_err();
    assert_eq!((error.code, error.pointer.as_deref()), (Code::InvalidRequest, Some("/storage_id")));
    let climbing = IsoCreate { key: "../x".to_owned(), ..world.registration(library, "setup") };
    assert_eq!(code(world.service.iso_create(&world.admin, climbing).await), Some(Code::InvalidRequest));
    let by_customer = world.service.iso_create(&world.customer, world.registration(library, "setup")).await;
    assert_eq!(code(by_customer), Some(Code::Forbidden));

    let IsoTask { iso, task, .. } =
        world.service.iso_create(&world.admin, world.registration(library, "setup")).await.unwrap();
    assert_eq!((iso.status, iso.size_bytes), (IsoStatus::Registering, None));
    assert!(world.offered_isos().await.is_empty());
    let again = world.service.iso_create(&world.admin, world.registration(library, "setup")).await;
    assert_eq!(code(again), Some(Code::NameTaken));
    assert_eq!(code(world.service.iso_delete(&world.admin, iso.id).await), Some(Code::ResourceInUse));
    assert_eq!(code(world.mount(iso.id).await), Some(Code::NotFound), "customers do not see it yet");

    let work = world.agent.claim_one().await;
    let error = TaskError::new(TaskErrorCode::IsoInvalid, "it is cut short");
    world.agent.finish(&work, Outcome::Failed(error)).await.unwrap();
    assert_eq!(world.all_isos().await[0].status, IsoStatus::Error);
    world.service.task_retry(&world.admin, task.id).await.unwrap();
    assert_eq!(world.all_isos().await[0].status, IsoStatus::Registering);
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, registered()).await.unwrap();
    let seen = &world.all_isos().await[0];
    assert_eq!((seen.status, seen.label.as_deref()), (IsoStatus::Available, Some("SETUP")));
    assert_eq!(world.offered_isos().await.len(), 1);

    let patch = IsoPatch { name: Some(name("Setup 2")), hidden: Some(true), ..IsoPatch::default() };
    assert_eq!(
        code(world.service.iso_update(&world.customer, iso.id, patch.clone()).await),
        Some(Code::Forbidden)
    );
    let edited = world.service.iso_update(&world.admin, iso.id, patch).await.unwrap();
    assert_eq!((edited.name, edited.hidden), (name("Setup 2"), true));
    assert!(world.offered_isos().await.is_empty(), "a hidden ISO is not offered");
    assert_eq!(
        code(world.service.location_delete(&world.admin, world.location.id).await),
        Some(Code::ResourceInUse)
    );
    assert_eq!(
        code(world.service.storage_delete(&world.admin, library, None).await),
        Some(Code::ResourceInUse)
    );
    world.service.iso_delete(&world.admin, iso.id).await.unwrap();
    assert!(world.all_isos().await.is_empty());

    let store = Store::open(&world.target).await.unwrap();
    let rows = imprint_store::audit::of_resource(&store.read(), &iso.id.to_string(), 10).await.unwrap();
    let mut actions: Vec<_> = rows.into_iter().map(|row| row.action).collect();
    actions.sort();
    assert_eq!(actions, ["iso.delete", "iso.register", "iso.update"]);
}

pub(crate) async fn an_iso_is_mounted_and_ejected(world: World) {
    let library = world.library().await;
    let (setup, rescue) = (world.iso(library, "setup").await, world.iso(library, "rescue").await);
    let switch = async |on| {
        let patch = LocationPatch { iso_enabled: Some(on), ..LocationPatch::default() };
        world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    };
    switch(false).await;
    assert_eq!(code(world.mount(setup).await), Some(Code::IsoDisabled));
    switch(true).await;
    let foreign = world.service.instance_mount_iso(&world.other, world.instance, setup, false).await;
    assert_eq!(code(foreign), Some(Code::NotFound));
    assert_eq!(
        code(world.service.instance_eject_iso(&world.customer, world.instance).await),
        Some(Code::InvalidTransition)
    );

    let made = world.mount(setup).await.unwrap();
    assert_eq!(made.instance.iso, None, "it is mounted once the agent says so");
    assert_eq!(code(world.service.iso_delete(&world.admin, setup).await), Some(Code::ResourceInUse));
    assert_eq!(code(world.mount(rescue).await), Some(Code::InstanceBusy));
    let (work, devices) = world.devices().await;
    let medium = devices.medium.unwrap();
    assert_eq!((medium.iso.id, medium.boot, medium.iso.key.as_str()), (setup, true, "setup.iso"));
    world.agent.finish(&work, Outcome::Done).await.unwrap();
    let iso = world.shown().await.iso.unwrap();
    assert_eq!((iso.id, iso.name, iso.boot_from_cd), (setup, name("setup"), true));
    assert_eq!(code(world.service.iso_delete(&world.admin, setup).await), Some(Code::ResourceInUse));

    // A change that fails leaves what was there.
    world.mount(rescue).await.unwrap();
    let (work, _) = world.devices().await;
    let error = TaskError::reported("qemu.refused", false, "no");
    world.agent.finish(&work, Outcome::Failed(error)).await.unwrap();
    assert_eq!(world.shown().await.iso.unwrap().id, setup);

    let made = world.service.instance_eject_iso(&world.customer, world.instance).await.unwrap();
    let (work, devices) = world.devices().await;
    assert_eq!(devices, Devices::default());
    world.agent.finish(&work, Outcome::Done).await.unwrap();
    assert_eq!(world.shown().await.iso, None);
    let task = world.service.task_show(&world.customer, made.task.id).await.unwrap();
    assert_eq!(task.state, TaskState::Succeeded);
    world.service.iso_delete(&world.admin, setup).await.unwrap();
}

pub(crate) async fn disks_are_attached_up_to_a_limit_and_detached(world: World) {
    assert_eq!(code(world.attach(1000).await), Some(Code::InvalidRequest));
    let primary = world.shown().await.disks[0].id;
    assert_eq!(code(world.detach(primary).await), Some(Code::InvalidRequest));
    for number in 1..8 {
        world.attach(16 << 20).await.unwrap();
        let (work, devices) = world.devices().await;
        assert_eq!(devices.disks.len(), number);
        world.agent.finish(&work, Outcome::Done).await.unwrap();
    }
    assert_eq!(code(world.attach(16 << 20).await), Some(Code::DiskLimitReached));
    let disks = world.shown().await.disks;
    assert_eq!((disks.len(), disks[0].id), (8, primary));
    world.detach(disks[1].id).await.unwrap();
    let (work, devices) = world.devices().await;
    assert!(devices.disks.iter().all(|disk| disk.id != disks[1].id));
    world.agent.finish(&work, Outcome::Done).await.unwrap();
    assert_eq!(world.shown().await.disks.len(), 7);
    assert_eq!(code(world.detach(disks[1].id).await), Some(Code::NotFound));
}

pub(crate) async fn a_system_is_installed_on_an_empty_disk(world: World) {
    let library = world.library().await;
    let setup = world.iso(library, "setup").await;
    let request = InstanceInstall {
        name: name("fresh"),
        location_id: None,
        hypervisor_id: None,
        iso_id: Some(setup),
        vcpus: None,
        memory: None,
        declared_os: None,
        disk_size: size(1 << 30),
        start: true,
    };
    let nowhere = InstanceInstall { iso_id: None, ..request.clone() };
    assert_eq!(
        code(world.service.instance_install(&world.customer, nowhere).await),
        Some(Code::InvalidRequest)
    );
    let made = world.service.instance_install(&world.customer, request).await.unwrap();
    assert_eq!((made.instance.image, made.instance.iso.unwrap().id), (None, setup));
    let work = world.agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("{work:?}") };
    assert!(deploy.image.is_none() && deploy.devices.medium.as_ref().is_some_and(|medium| medium.boot));
    // It failed, and is tried again with all that it had.
    world.agent.finish(&work, Outcome::Failed(TaskError::reported("qemu.x", false, "no"))).await.unwrap();
    let failed = world.service.instance_show(&world.customer, made.instance.id).await.unwrap();
    assert_eq!(failed.status, InstanceStatus::Error);
    assert_eq!(code(world.service.iso_delete(&world.admin, setup).await), Some(Code::ResourceInUse));
    world.service.task_retry(&world.customer, made.task.id).await.unwrap();
    world.agent.work_all().await;
    let id: InstanceId = made.instance.id;
    assert_eq!(world.service.instance_show(&world.customer, id).await.unwrap().status, InstanceStatus::Ready);
    world.service.instance_delete(&world.customer, id, imprint_service::Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
    world.service.iso_delete(&world.admin, setup).await.unwrap();
}

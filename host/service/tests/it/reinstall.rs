//! Instances whose disk is written anew from an image (S11).

use std::collections::BTreeMap;

use imprint_agent_protocol::{AssignmentKind, DeployAssignment, InstanceReport};
use imprint_domain::{
    Code,
    id::ImageId,
    image::ImageEdit,
    instance::{InstanceStatus, Power},
    metadata::MetadataEdit,
    network::{MacAddress, Network, NetworkKind},
    task::{TaskKind, TaskState},
};
use imprint_service::{Busy, InstanceReinstall, InstanceView};

use crate::support::{World, failure, size, success};

pub(crate) fn request(image_id: ImageId) -> InstanceReinstall {
    InstanceReinstall {
        image_id,
        disk_size: None,
        ssh_key_ids: Vec::new(),
        user_script_id: None,
        ssh_keys: Vec::new(),
        user_data: Some("#!/bin/sh\n".to_owned()),
        declared_os: None,
        start: true,
    }
}

async fn shown(world: &World) -> InstanceView {
    world.service.instance_show(&world.customer, world.instance).await.unwrap()
}

/// An own image that names its user.
async fn image(world: &World) -> ImageId {
    let id = world.image("known good").await;
    let keys = BTreeMap::from([("ssh_user".parse().unwrap(), Some("debian".to_owned()))]);
    let edit = ImageEdit { metadata: MetadataEdit { clear: false, keys }, ..ImageEdit::default() };
    world.service.image_update(&world.customer, id, edit, None).await.unwrap();
    id
}

fn order(kind: &AssignmentKind) -> &DeployAssignment {
    let AssignmentKind::Deploy(order) = kind else { panic!("{kind:?}") };
    order
}

pub(crate) async fn a_disk_is_written_anew_and_the_instance_stays_what_it_is(world: World) {
    let service = &world.service;
    let known_good = image(&world).await;
    let card = Network { kind: NetworkKind::Bridge, mac: MacAddress::of(world.instance), ssh: None };
    let report = InstanceReport {
        id: world.instance,
        power: Power::Running,
        disk_allocated: Some(size(9 << 20)),
        network: Some(card.clone()),
    };
    world.agent.report_instances(vec![report]).await;
    let before = shown(&world).await;
    assert_eq!(before.network, Some(card));

    let wanted = InstanceReinstall { disk_size: Some(size(128 << 20)), ..request(known_good) };
    let made =
        service.instance_reinstall(&world.customer, world.instance, wanted, Busy::Refuse).await.unwrap();
    assert_eq!((made.task.kind, made.task.image_id), (TaskKind::InstanceReinstall, Some(known_good)));
    let work = world.agent.claim_one().await;
    let deploy = order(&work.kind);
    assert!(
        deploy.replace && deploy.start && deploy.image.as_ref().is_some_and(|image| image.id == known_good)
    );
    assert_eq!((deploy.instance.id, deploy.instance.disk_size), (world.instance, size(128 << 20)));
    assert_eq!(deploy.seed.user.as_deref(), Some("debian"));
    assert_eq!(deploy.seed.hostname, "web-1");
    // Of an image of this very instance cloud-init would say that it has configured it.
    assert_eq!(deploy.seed.instance_id, Some(deploy.instance.disk_id.to_string()));

    // Until the new disk is complete the instance is the old one, and no other task gets near it.
    let meanwhile = shown(&world).await;
    assert_eq!((meanwhile.status, meanwhile.power), (InstanceStatus::Ready, Power::Running));
    assert_eq!((&meanwhile.disks, &meanwhile.image), (&before.disks, &before.image));
    let stop = service.instance_stop(&world.customer, world.instance, Busy::Cancel).await.unwrap_err();
    assert_eq!(stop.code, Code::InstanceBusy);

    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let after = shown(&world).await;
    assert_eq!(after.image.as_ref().map(|image| image.id), Some(known_good));
    assert_eq!(after.metadata.ssh_user(), Some("debian"));
    assert_eq!((after.disks[0].id, after.disks.len()), (deploy.instance.disk_id, 1));
    assert_ne!(after.disks[0].id, before.disks[0].id);
    assert_eq!(after.disks[0].virtual_size_bytes, size(128 << 20));
    let kept =
        |view: &InstanceView| (view.id, view.name.clone(), view.vcpus, view.memory_bytes, view.created_at);
    assert_eq!(kept(&after), kept(&before));
    // A smaller image leaves the size of the disk as it is.
    service
        .instance_reinstall(&world.customer, world.instance, request(world.stock_image), Busy::Refuse)
        .await
        .unwrap();
    world.agent.work_all().await;
    let again = shown(&world).await;
    assert_eq!(again.disks[0].virtual_size_bytes, size(128 << 20));
    assert_eq!(again.image.map(|image| image.id), Some(world.stock_image));
    assert_eq!(again.metadata.ssh_user(), None);
}

pub(crate) async fn a_reinstallation_that_fails_changes_nothing(world: World) {
    let service = &world.service;
    let known_good = image(&world).await;
    let before = shown(&world).await;
    let ask = async |request| {
        service.instance_reinstall(&world.customer, world.instance, request, Busy::Refuse).await
    };
    let made = ask(request(known_good)).await.unwrap();
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    let after = shown(&world).await;
    assert_eq!(InstanceView { task_id: before.task_id, ..after.clone() }, before);
    assert_eq!(world.task(made.task.id).await.state, TaskState::Failed);

    service.task_retry(&world.customer, made.task.id).await.unwrap();
    let work = world.agent.claim_one().await;
    assert!(order(&work.kind).replace, "the same work again");
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(shown(&world).await.image.map(|image| image.id), Some(known_good));
}

pub(crate) async fn what_forbids_a_reinstallation_says_so(world: World) {
    let service = &world.service;
    let known_good = image(&world).await;
    let ask = async |op, request, busy| service.instance_reinstall(op, world.instance, request, busy).await;
    let code = async |op, request| ask(op, request, Busy::Refuse).await.unwrap_err().code;
    assert_eq!(code(&world.other, request(world.stock_image)).await, Code::NotFound);
    let missing = request(ImageId::new(uuid::Uuid::from_u128(7)));
    assert_eq!(code(&world.customer, missing).await, Code::NotFound);
    let small = InstanceReinstall { disk_size: Some(size(1 << 20)), ..request(known_good) };
    assert_eq!(code(&world.customer, small).await, Code::DiskTooSmall);
    let key = InstanceReinstall { ssh_keys: vec!["no key".to_owned()], ..request(known_good) };
    assert_eq!(code(&world.customer, key).await, Code::InvalidRequest);

    // An image that is being created from the instance is cancelled only when that is said.
    let capture = world.capture("in the way").await;
    assert_eq!(code(&world.customer, request(known_good)).await, Code::InstanceBusy);
    ask(&world.customer, request(known_good), Busy::Cancel).await.unwrap();
    assert_eq!(world.task(capture.task.id).await.state, TaskState::Cancelled);
    world.agent.work_all().await;
    assert_eq!(shown(&world).await.image.map(|image| image.id), Some(known_good));

    // An admin repairs it, with what its owner may use.
    ask(&world.admin, request(known_good), Busy::Refuse).await.unwrap();
    world.agent.work_all().await;
    world.environment.advance(imprint_domain::hypervisor::OFFLINE_AFTER_S + 1);
    assert_eq!(code(&world.customer, request(known_good)).await, Code::HypervisorOffline);
}

//! Metadata of images, and what deployments make of it (S70, S84 to S87).

use imprint_agent_protocol::AssignmentKind;
use imprint_domain::{
    Code,
    image::ImageEdit,
    metadata::{Metadata, MetadataEdit, VmMode},
};
use imprint_service::InstanceCreate;

use crate::support::World;

/// Returns the change that sets these keys, or removes them.
fn edit(entries: &[(&str, Option<&str>)]) -> ImageEdit {
    let keys = entries.iter().map(|(key, value)| (key.parse().unwrap(), value.map(str::to_owned))).collect();
    ImageEdit { metadata: MetadataEdit { clear: false, keys }, ..ImageEdit::default() }
}

fn shown(metadata: &Metadata) -> Vec<String> {
    metadata.entries().iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// What an image says of its system is acted upon at the deployment, stays with the instance, and
/// is said of the next image again.
pub(crate) async fn metadata_goes_from_an_image_to_its_instances_and_their_images(world: World) {
    let service = &world.service;
    let id = world.image("imported").await;
    let plain = service.image_show(&world.customer, id).await.unwrap();
    assert!(plain.metadata.entries().is_empty());
    let set = edit(&[
        ("vm_mode", Some("hvm")),
        ("img_config_drive", Some("mandatory")),
        ("ssh_user", Some("debian")),
        ("team", Some("web")),
    ]);
    let changed = service.image_update(&world.customer, id, set, Some(plain.version)).await.unwrap();
    let all = ["img_config_drive=mandatory", "ssh_user=debian", "team=web", "vm_mode=hvm"];
    assert_eq!(
        (shown(&changed.metadata), changed.version),
        (all.map(str::to_owned).to_vec(), plain.version + 1)
    );
    assert_eq!(service.image_show(&world.customer, id).await.unwrap(), changed, "it is stored");

    let request = InstanceCreate { image_id: id, ..world.deployment("web-2") };
    let made = service.instance_create(&world.customer, request).await.unwrap().instance;
    assert_eq!(shown(&made.metadata), all);
    // What is changed later concerns later instances only.
    let later = edit(&[("vm_mode", None), ("ssh_user", Some("admin"))]);
    service.image_update(&world.customer, id, later, None).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("{work:?}") };
    assert_eq!(deploy.instance.vm_mode, Some(VmMode::Hvm));
    assert_eq!((deploy.seed.user.as_deref(), deploy.seed.config_drive), (Some("debian"), true));
    world.agent.finish(&work, crate::support::success(&work.kind)).await.unwrap();

    let capture = imprint_service::CaptureCreate { instance_id: made.id, ..world.capture_request("again") };
    let again = service.image_capture(&world.customer, capture).await.unwrap().image;
    assert_eq!(shown(&again.metadata), all, "a copy needs what its source needed");
    world.agent.work_all().await;
    let stored = service.image_show(&world.customer, again.id).await.unwrap();
    assert_eq!(shown(&stored.metadata), all);
    let capture = stored.capture.unwrap();
    assert_eq!(capture.method, None, "customers are not shown it");
    assert!(service.image_show(&world.admin, again.id).await.unwrap().capture.unwrap().method.is_some());
}

/// An image whose metadata says nothing is deployed as ever, and what it cannot have is refused as
/// a whole.
pub(crate) async fn metadata_that_an_image_cannot_have_changes_nothing(world: World) {
    let service = &world.service;
    let id = world.image("plain").await;
    let before = service.image_show(&world.customer, id).await.unwrap();
    let mut refused = edit(&[("team", Some("web")), ("vm_mode", Some("xen"))]);
    refused.description = Some("changed".to_owned());
    let error = service.image_update(&world.customer, id, refused, None).await.unwrap_err();
    assert_eq!((error.code, error.pointer.as_deref()), (Code::InvalidRequest, Some("/metadata/vm_mode")));
    assert!(error.detail.contains("`hvm` or `virtio`"), "{}", error.detail);
    assert_eq!(service.image_show(&world.customer, id).await.unwrap(), before);
    for op in [&world.other] {
        let error = service.image_update(op, id, edit(&[("team", Some("theirs"))]), None).await.unwrap_err();
        assert_eq!(error.code, Code::NotFound);
    }
    let request = InstanceCreate { image_id: id, ..world.deployment("web-2") };
    service.instance_create(&world.customer, request).await.unwrap();
    let work = world.agent.claim_one().await;
    let AssignmentKind::Deploy(deploy) = &work.kind else { panic!("{work:?}") };
    assert_eq!(deploy.instance.vm_mode, None);
    assert_eq!((deploy.seed.user.as_deref(), deploy.seed.config_drive), (None, false));
}

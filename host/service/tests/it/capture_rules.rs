//! The rules of captures beyond their limits: failures in a row, formats, room, Windows.

use imprint_agent_protocol::{AssignmentKind, InstanceReport, Outcome};
use imprint_domain::{
    Code, Error,
    capture_format::CaptureFormat,
    image::{Compression, ImageFormat},
    instance::Power,
    task::TaskState,
    task_error::{TaskError, TaskErrorCode},
    windows::{CaptureNoticeCode, DeclaredOs},
};
use imprint_service::{CaptureCreate, EstimateRequest, HypervisorPatch, InstanceCreate, LocationPatch};

use crate::support::{World, failure, size, success};

/// S20: the location says in which format captures are stored, and a request may say another one.
pub(crate) async fn the_location_or_the_request_chooses_the_format(world: World) {
    let assigned = async |format, compression| {
        let request = CaptureCreate { format, compression, ..world.capture_request("of a format") };
        let made = world.service.image_capture(&world.customer, request).await?;
        let work = world.agent.claim_one().await;
        let AssignmentKind::Capture(capture) = &work.kind else { panic!("{:?}", work.kind) };
        assert!(capture.image.key.ends_with(&format!(".{}", capture.image.format)), "{}", capture.image.key);
        // One that failed is stored in the same format by its retry.
        world.agent.finish(&work, failure(false)).await.unwrap();
        world.service.task_retry(&world.customer, made.task.id).await.unwrap();
        let again = world.agent.claim_one().await;
        let AssignmentKind::Capture(second) = &again.kind else { panic!("{:?}", again.kind) };
        assert_eq!(second.image, capture.image);
        world.agent.finish(&again, success(&again.kind)).await.unwrap();
        Ok::<_, Error>((capture.image.format, capture.compression))
    };
    assert_eq!(assigned(None, None).await.unwrap(), (ImageFormat::Qcow2, Compression::Zstd));
    let vhd = Some(CaptureFormat::Vhd);
    assert_eq!(assigned(vhd, None).await.unwrap(), (ImageFormat::Vhd, Compression::None));
    let patch = LocationPatch { capture_format: Some(CaptureFormat::Raw), ..LocationPatch::default() };
    let changed = world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    assert_eq!(changed.capture_format, CaptureFormat::Raw);
    assert_eq!(assigned(None, None).await.unwrap(), (ImageFormat::Raw, Compression::None));
    let qcow2 = Some(CaptureFormat::Qcow2);
    assert_eq!(assigned(qcow2, Some(Compression::Zlib)).await.unwrap().1, Compression::Zlib);
    let refused = assigned(None, Some(Compression::Zstd)).await.unwrap_err();
    assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some("/compression")));

    // A raw file is as large as the disk, whatever the disk's file occupies.
    let service = &world.service;
    let raw =
        service.capture_estimate(&world.customer, world.instance, EstimateRequest::default()).await.unwrap();
    let disk = service.instance_show(&world.customer, world.instance).await.unwrap().disks.remove(0);
    assert_eq!(raw.size, disk.virtual_size_bytes);
    let wanted = EstimateRequest { format: qcow2, ..EstimateRequest::default() };
    let small = service.capture_estimate(&world.customer, world.instance, wanted).await.unwrap();
    assert!(small.size < raw.size, "{small:?}");
}

/// S32: a capture without room is tried again half an hour later, unless it is cancelled.
pub(crate) async fn a_capture_without_room_is_tried_again_later(world: World) {
    let full = || Outcome::Failed(TaskError::new(TaskErrorCode::InsufficientStorage, "the disk is full"));
    let made = world.capture("later").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, full()).await.unwrap();
    let waiting = world.task(made.task.id).await;
    assert_eq!((waiting.state, waiting.attempt), (TaskState::Queued, 1));
    let next = world.service.now() + chrono::TimeDelta::minutes(30);
    let at = next.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert_eq!(waiting.waiting_for, Some(format!("the next attempt at {at}")));
    assert_eq!(waiting.error.unwrap().code, "insufficient_storage");
    let pass = async |seconds| {
        world.environment.advance(seconds);
        world.agent.heartbeat(&[]).await.unwrap();
    };
    pass(30 * 60 - 1).await;
    assert!(world.agent.claim(1, 0).await.is_empty(), "not yet");
    pass(1).await;
    let work = world.agent.claim_one().await;
    assert_eq!((work.task_id, work.attempt), (made.task.id, 2));
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(world.task(made.task.id).await.state, TaskState::Succeeded);

    // It ends after the attempts of every task, and one that waits can be cancelled.
    let lasting = world.capture("never").await;
    for _ in 0..3 {
        let work = world.agent.claim_one().await;
        world.agent.finish(&work, full()).await.unwrap();
        pass(30 * 60).await;
    }
    assert_eq!(world.task(lasting.task.id).await.state, TaskState::Failed);
    let unwanted = world.capture("unwanted").await;
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, full()).await.unwrap();
    let cancelled = world.service.task_cancel(&world.customer, unwanted.task.id).await.unwrap();
    assert_eq!(cancelled.state, TaskState::Cancelled);

    // A request that is refused says when to ask again.
    let report = crate::storages::report(world.images, Some(1000));
    world.agent.report(&[], vec![report]).await.unwrap();
    let request = world.capture_request("refused");
    let refused = world.service.image_capture(&world.customer, request).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.context["retry_after_s"].as_str()),
        (Code::InsufficientStorage, "1800")
    );
}

/// S33 to S35, S133: a Windows disk has a bound, now and ever, and a domain controller is refused.
pub(crate) async fn windows_disks_have_a_bound_and_domain_controllers_none(mut world: World) {
    const GIB: u64 = 1 << 30;
    let declared = InstanceCreate {
        declared_os: Some(DeclaredOs::Windows),
        disk_size: Some(size(150 * GIB)),
        ..world.deployment("windows")
    };
    let made = world.service.instance_create(&world.customer, declared).await.unwrap();
    world.agent.work_all().await;
    world.instance = made.instance.id;
    let occupies = async |bytes: u64| {
        let disk_allocated = Some(size(bytes));
        let report =
            InstanceReport { id: made.instance.id, power: Power::Running, disk_allocated, network: None };
        world.agent.report_instances(vec![report]).await;
    };
    let shown = async || world.service.instance_show(&world.customer, world.instance).await.unwrap();
    let codes = async || -> Vec<_> {
        let notices = world.service.capture_notices(&world.customer, world.instance).await.unwrap();
        notices.into_iter().map(|notice| notice.code).collect()
    };
    occupies(30 * GIB).await;
    assert_eq!(codes().await, [CaptureNoticeCode::DomainControllerUnanswered]);
    occupies(145 * GIB).await;
    occupies(20 * GIB).await;
    let near = [CaptureNoticeCode::WindowsDiskNearLimit, CaptureNoticeCode::DomainControllerUnanswered];
    assert_eq!(codes().await, near, "the mark is never lowered");
    let now = shown().await;
    assert_eq!((now.largest_content, now.largest_size), (size(145 * GIB), size(150 * GIB)));

    let capture = async |domain_controller| {
        let request = CaptureCreate { domain_controller, ..world.capture_request("of Windows") };
        world.service.image_capture(&world.customer, request).await
    };
    let refused = capture(Some(true)).await.unwrap_err();
    assert_eq!(refused.code, Code::DomainControllerNotSupported);
    assert!(refused.detail.contains("demote it first"), "{}", refused.detail);
    assert_eq!(capture(Some(false)).await.unwrap().notices.len(), 1);
    assert_eq!(capture(None).await.unwrap().notices.len(), 2);
    world.agent.work_all().await;

    // The bound is a setting of the location; what was larger once is refused ever after.
    let limit = |gib| LocationPatch { windows_limit: Some(size(gib * GIB)), ..LocationPatch::default() };
    let update = async |patch| {
        world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    };
    update(limit(140)).await;
    let refused = capture(None).await.unwrap_err();
    assert_eq!(refused.code, Code::WindowsDiskTooLarge);
    assert_eq!(refused.context["largest_bytes"], (150 * GIB).to_string());
    assert_eq!(shown().await.capture.code.as_deref(), Some("windows_disk_too_large"));
    let other =
        CaptureCreate { instance_id: world.deploy("linux").await, ..world.capture_request("of Linux") };
    assert!(world.service.image_capture(&world.customer, other).await.unwrap().notices.is_empty());
}

/// S30, S47, S51: captures of an instance that fail one after the other say whom to ask.
pub(crate) async fn captures_that_keep_failing_say_whom_to_ask(world: World) {
    let patch = LocationPatch {
        support_text: Some(Some("Call 1234".parse().unwrap())),
        support_url: Some(Some("https://support.example/".parse().unwrap())),
        status_url: Some(Some("https://status.example/".parse().unwrap())),
        ..LocationPatch::default()
    };
    let changed = world.service.location_update(&world.admin, world.location.id, patch).await.unwrap();
    assert_eq!(changed.support_text.unwrap().as_str(), "Call 1234");
    let fail = async |code| {
        let made = world.capture("nightly").await;
        let work = world.agent.claim_one().await;
        let error = TaskError::new(code, "the cause");
        world.agent.finish(&work, Outcome::Failed(error)).await.unwrap();
        let task = world.task(made.task.id).await;
        assert_eq!(task.state, TaskState::Failed);
        task.error.unwrap()
    };
    let first = fail(TaskErrorCode::ScratchFull).await;
    let support = first.support.unwrap();
    assert_eq!((support.text, support.url), (None, None), "it may have been chance");
    assert_eq!(support.status_url.unwrap().as_str(), "https://status.example/");
    let second = fail(TaskErrorCode::ScratchFull).await;
    assert!(second.action.contains("failed 2 times in a row: contact support"), "{second:?}");
    assert_eq!(second.support.unwrap().text.unwrap().as_str(), "Call 1234");
    let full = fail(TaskErrorCode::DiskTooLarge).await;
    assert!(!full.action.contains("in a row"), "a limit was reached: {full:?}");
    assert_eq!(full.support.unwrap().text, None);

    // On older hardware there is a reason, and something to do about it.
    let patch = HypervisorPatch { limited_bandwidth: Some(true), ..HypervisorPatch::default() };
    world.service.hypervisor_update(&world.admin, world.hypervisor, patch, None).await.unwrap();
    let old = fail(TaskErrorCode::CoalesceTimeout).await;
    assert!(old.action.contains("migrate to a newer flavor, or use a file-level backup tool"), "{old:?}");
    assert_eq!(old.support.unwrap().status_url, None);

    // One that succeeds ends the row, also for an attempt that is repeated by itself.
    world.image("works").await;
    let again = fail(TaskErrorCode::ScratchFull).await;
    assert!(!again.action.contains("in a row"), "{again:?}");
}

//! Estimates of what an image will take (S26, S40, S41).

use imprint_agent_protocol::InstanceReport;
use imprint_domain::{
    Code,
    estimate::{EstimateBasis, file_of_file_system},
    image::Compression,
    instance::Power,
};
use imprint_service::{CaptureCreate, EstimateRequest};

use crate::support::{World, size, success};

const MIB: u64 = 1 << 20;

/// The first estimate is the rule of thumb; later ones are what captures took, of the instance
/// first.
pub(crate) async fn estimates_learn_from_what_captures_took(world: World) {
    let service = &world.service;
    let occupies = async |bytes: u64| {
        let report = InstanceReport {
            id: world.instance,
            power: Power::Running,
            disk_allocated: Some(size(bytes)),
            network: None,
        };
        world.agent.report_instances(vec![report]).await;
    };
    occupies(16 * MIB).await;
    let first =
        service.capture_estimate(&world.customer, world.instance, EstimateRequest::default()).await.unwrap();
    assert_eq!((first.content, first.seconds, first.basis), (size(16 * MIB), 2, EstimateBasis::Rule));

    let made = world.capture("first").await;
    let work = world.agent.claim_one().await;
    world.environment.advance(30);
    world.agent.finish(&work, success(&work.kind)).await.unwrap();
    let image = service.image_show(&world.customer, made.image.id).await.unwrap();
    let capture = image.capture.unwrap();
    assert_eq!((capture.estimated_s, capture.estimated_bytes), (Some(2), Some(first.size)));
    assert_eq!(capture.took_ms, Some(30_000));

    // The same again for the same content, and twice as much for twice the content.
    let stored = image.size_bytes.unwrap().bytes();
    let second =
        service.capture_estimate(&world.customer, world.instance, EstimateRequest::default()).await.unwrap();
    assert_eq!((second.size, second.seconds), (size(stored), 30));
    assert_eq!((second.basis, second.captures), (EstimateBasis::Instance, 1));
    occupies(32 * MIB).await;
    let twice =
        service.capture_estimate(&world.customer, world.instance, EstimateRequest::default()).await.unwrap();
    assert_eq!((twice.size, twice.seconds), (size(2 * stored), 60));
    // Without compression nothing was captured yet.
    let plain = EstimateRequest { compression: Some(Compression::None), ..EstimateRequest::default() };
    let plain = service.capture_estimate(&world.customer, world.instance, plain).await.unwrap();
    assert_eq!((plain.size, plain.basis), (size(32 * MIB), EstimateBasis::Rule));

    // What if the file system held 4 MiB, and 8 MiB before: the disk's file bounds it (S40).
    let used = EstimateRequest {
        compression: Some(Compression::None),
        used: Some(size(4 * MIB)),
        largest_used: Some(size(8 * MIB)),
        ..EstimateRequest::default()
    };
    let assumed = service.capture_estimate(&world.customer, world.instance, used).await.unwrap();
    let disk = service.instance_show(&world.customer, world.instance).await.unwrap().disks.remove(0);
    let file = file_of_file_system(size(4 * MIB), size(8 * MIB)).min(disk.virtual_size_bytes);
    assert_eq!((assumed.content, assumed.size), (file, file));

    // Another instance of the hypervisor learns from it, also when the image is gone.
    service.image_delete(&world.customer, made.image.id, None).await.unwrap();
    world.agent.work_all().await;
    let other = world.deploy("web-2").await;
    let learnt = service.capture_estimate(&world.customer, other, EstimateRequest::default()).await.unwrap();
    assert_eq!((learnt.basis, learnt.captures), (EstimateBasis::Hypervisor, 1));
    let capture = CaptureCreate { instance_id: other, ..world.capture_request("of another") };
    service.image_capture(&world.customer, capture).await.unwrap();
    world.agent.work_all().await;
    let own = service.capture_estimate(&world.customer, other, EstimateRequest::default()).await.unwrap();
    assert_eq!((own.basis, own.captures), (EstimateBasis::Instance, 1));

    let foreign =
        service.capture_estimate(&world.other, other, EstimateRequest::default()).await.unwrap_err();
    assert_eq!(foreign.code, Code::NotFound);
}

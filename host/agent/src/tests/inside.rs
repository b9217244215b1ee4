//! What is found inside of a disk decides whether an image of it is created (S33, S35, X5).

use imprint_agent_protocol::{Assignment, AssignmentKind, InstanceRef, Outcome, WindowsLimit};
use imprint_domain::size::ByteSize;
use imprint_ports::findings::{OsFamily, Presence};

use super::{
    fakes::{DISK_SIZE, World},
    jobs::failed,
};

fn with_limit(world: &World, instance: &InstanceRef, limit: u64, largest: u64) -> Assignment {
    let mut work = world.capture(instance);
    let AssignmentKind::Capture(order) = &mut work.kind else { panic!("{work:?}") };
    let size = |bytes| ByteSize::new(bytes).unwrap();
    order.windows = Some(WindowsLimit { limit: size(limit), largest: size(largest) });
    work
}

#[tokio::test(flavor = "multi_thread")]
async fn undeclared_windows_is_found_before_its_disk_is_copied() {
    let world = World::new();
    let instance = world.running_instance();
    let agent = world.start();
    let cases = [
        ((OsFamily::Windows, Presence::Absent), (DISK_SIZE, DISK_SIZE), None),
        ((OsFamily::Windows, Presence::Absent), (DISK_SIZE - 1, 0), Some("windows_disk_too_large")),
        ((OsFamily::Windows, Presence::Unknown), (DISK_SIZE, DISK_SIZE + 1), Some("windows_disk_too_large")),
        ((OsFamily::Linux, Presence::Absent), (1, DISK_SIZE), None),
        ((OsFamily::Windows, Presence::Present), (DISK_SIZE, 0), Some("domain_controller_not_supported")),
    ];
    for (finds, (limit, largest), refused) in cases {
        *world.ports.finds.lock().unwrap() = finds;
        let work = with_limit(&world, &instance, limit, largest);
        let task = work.task_id;
        world.control.give(work);
        match (world.control.outcome(task).await, refused) {
            (Outcome::Captured(result), None) => {
                assert_eq!(result.findings.map(|found| found.system.family), Some(finds.0));
                std::fs::remove_file(world.ports.storage.path("image-1")).unwrap();
            }
            (outcome, Some(code)) => {
                assert_eq!(failed(outcome).code(), code, "{finds:?}");
                assert_eq!(world.ports.storage.names(), Vec::<String>::new(), "nothing was copied");
            }
            (outcome, None) => panic!("{finds:?}: {outcome:?}"),
        }
    }
    agent.stop().await;
    world.assert_nothing_left(&[]);
}

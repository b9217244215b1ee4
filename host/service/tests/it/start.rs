//! The program's start.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use imprint_agent_protocol::{AssignmentKind, InstanceReport};
use imprint_domain::{
    Code,
    image::{ImageFormat, ImageKind},
    instance::Power,
};
use imprint_service::{
    DemoRequest, DemoSetup, ImageList, ImageScope, LocalRequest, LocalSetup, StockImageFile,
};

use crate::support::{Agent, World, name, open, sign_in, size, success};

fn local() -> LocalRequest {
    LocalRequest {
        location: name("Demo"),
        hypervisor: name("this-machine"),
        driver: "qemu".parse().unwrap(),
        driver_settings: BTreeMap::from([("dir".to_owned(), "/var/lib/imprint".to_owned())]),
        customer_path: "/var/lib/imprint/images".into(),
        stock_path: "/var/lib/imprint/stock".into(),
    }
}

fn demo(password: Option<&str>) -> DemoRequest {
    DemoRequest {
        stock_image: Some(StockImageFile {
            name: name("Demo Linux"),
            description: "boots in two seconds".into(),
            key: "demo.qcow2".into(),
            format: ImageFormat::Qcow2,
        }),
        account: name("demo"),
        password: password.map(str::to_owned),
        instance: name("demo-1"),
        memory: size(256 << 20),
    }
}

/// The storages of `World` have the names that the program uses, with other paths: they move.
async fn setup(world: &World, password: Option<&str>) -> (LocalSetup, DemoSetup) {
    let local = world.service.ensure_local(&local()).await.unwrap();
    let demo = world.service.ensure_demo(local, &demo(password)).await.unwrap();
    (local, demo)
}

pub(crate) async fn the_first_start_can_be_repeated(world: World) {
    assert_eq!(world.service.ensure_admin(None).await.unwrap(), None, "there is one");
    let (first, made) = setup(&world, None).await;
    let password = made.generated_password.expect("shown once");
    sign_in(&world.service, "demo", &password).await;
    let (second, found) = setup(&world, None).await;
    assert_eq!(first, second);
    assert_eq!((made.account_id, made.image_id), (found.account_id, found.image_id));
    assert_eq!(found.generated_password, None);
    sign_in(&world.service, "demo", &password).await;
    let (_, changed) = setup(&world, Some("another password")).await;
    assert_eq!(changed.generated_password, None);
    sign_in(&world.service, "demo", "another password").await;
    world.service.ensure_admin(Some("new admin password".into())).await.unwrap();
    sign_in(&world.service, "admin", "new admin password").await;
    let shown = world.service.admin_hypervisor_show(&world.admin, first.hypervisor_id).await.unwrap();
    assert_eq!(shown.storage_ids.len(), 2);
    let mut moved = local();
    moved.driver_settings = BTreeMap::from([("dir".to_owned(), "/elsewhere".to_owned())]);
    moved.customer_path = "/elsewhere/images".into();
    assert_eq!(world.service.ensure_local(&moved).await.unwrap(), first);
    let shown = world.service.admin_hypervisor_show(&world.admin, first.hypervisor_id).await.unwrap();
    assert_eq!(shown.driver_settings["dir"], "/elsewhere");
    let short = world.service.ensure_admin(Some("short".into())).await.unwrap_err();
    assert_eq!((short.code, short.pointer.as_deref()), (Code::InvalidRequest, Some("/password")));
}

pub(crate) async fn a_demo_has_its_instance(world: World) {
    let (local, made) = setup(&world, None).await;
    let agent = Agent::new(&world.service, local.hypervisor_id, &world.environment);
    let waited = world.service.ensure_demo_instance(&made, &demo(None), Duration::ZERO).await.unwrap_err();
    assert_eq!(waited.code, Code::ImageNotAvailable);
    let world = Arc::new(world);
    let waiting = {
        let (world, made) = (Arc::clone(&world), made.clone());
        tokio::spawn(async move {
            world.service.ensure_demo_instance(&made, &demo(None), Duration::from_secs(60)).await.unwrap()
        })
    };
    agent.register().await.unwrap();
    // The hypervisor of `World` reaches the stock storage too, and may be the one that was chosen.
    world.agent.work_all().await;
    agent.work_all().await;
    let instance = waiting.await.unwrap().expect("there is a stock image");
    agent.work_all().await;
    let again = world.service.ensure_demo_instance(&made, &demo(None), Duration::ZERO).await.unwrap();
    assert_eq!(again, Some(instance), "no second one");
    // The program was stopped with its guests, and is started again.
    world.environment.advance(60);
    let service = open(&world.target, &world.environment).await;
    let starting = {
        let (service, made) = (service.clone(), made.clone());
        tokio::spawn(async move {
            service.ensure_demo_instance(&made, &demo(None), Duration::from_secs(60)).await
        })
    };
    let report = || InstanceReport { id: instance, power: Power::Off, disk_allocated: None };
    let work = loop {
        world.environment.advance(1);
        agent.report_instances(vec![report()]).await;
        let mut work = agent.claim(1, 50).await;
        if let Some(work) = work.pop() {
            break work;
        }
    };
    assert!(matches!(&work.kind, AssignmentKind::Start(start) if start.instance.id == instance));
    agent.finish(&work, success(&work.kind)).await.unwrap();
    assert_eq!(starting.await.unwrap().unwrap(), Some(instance));
    let list = ImageList { scope: ImageScope::Stock, ..ImageList::default() };
    let stock = world.service.image_list(&world.customer, &list).await.unwrap().items;
    assert!(stock.iter().all(|image| image.kind == ImageKind::Stock));
    assert_eq!(stock.len(), 2);
}

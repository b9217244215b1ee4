//! The program's start.

use std::collections::BTreeMap;

use imprint_domain::Code;
use imprint_service::LocalRequest;

use crate::support::{World, name, sign_in};

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

/// The storages of `World` have the names that the program uses, with other paths: they are
/// updated.
pub(crate) async fn the_first_start_can_be_repeated(world: World) {
    assert_eq!(world.service.ensure_admin(None).await.unwrap(), None, "there is one");
    let first = world.service.ensure_local(&local()).await.unwrap();
    assert_eq!(world.service.ensure_local(&local()).await.unwrap(), first);
    world.service.ensure_admin(Some("new admin password".into())).await.unwrap();
    sign_in(&world.service, "admin", "new admin password").await;
    let shown = world.service.admin_hypervisor_show(&world.admin, first.hypervisor_id).await.unwrap();
    assert_eq!(shown.storage_ids.len(), 2);
    let mut changed = local();
    changed.driver_settings = BTreeMap::from([("dir".to_owned(), "/elsewhere".to_owned())]);
    changed.customer_path = "/elsewhere/images".into();
    assert_eq!(world.service.ensure_local(&changed).await.unwrap(), first);
    let shown = world.service.admin_hypervisor_show(&world.admin, first.hypervisor_id).await.unwrap();
    assert_eq!(shown.driver_settings["dir"], "/elsewhere");
    let short = world.service.ensure_admin(Some("short".into())).await.unwrap_err();
    assert_eq!((short.code, short.pointer.as_deref()), (Code::InvalidRequest, Some("/password")));
}

pub(crate) async fn a_customer_account_is_created_once(world: World) {
    let account = name("demo");
    let ensure = async |password: Option<&str>| {
        world.service.ensure_customer(&account, password.map(str::to_owned)).await.unwrap()
    };
    let (id, generated) = ensure(None).await;
    let generated = generated.expect("shown once");
    sign_in(&world.service, "demo", &generated).await;
    assert_eq!(ensure(None).await, (id, None));
    sign_in(&world.service, "demo", &generated).await;
    assert_eq!(ensure(Some("another password")).await, (id, None));
    sign_in(&world.service, "demo", "another password").await;
    let op = world.service.system_op(id).await.unwrap();
    assert!(!op.is_admin() && op.account_id() == id);
    assert!(world.service.admin_op().await.unwrap().is_admin());
}

pub(crate) async fn a_stock_image_is_found_by_its_file(world: World) {
    let find = async |key| world.service.stock_image_find(&world.admin, world.stock, key).await.unwrap();
    assert_eq!(find("small.qcow2").await.map(|image| image.id), Some(world.stock_image));
    assert_eq!(find("other.qcow2").await, None);
    let refused = world.service.stock_image_find(&world.customer, world.stock, "small.qcow2").await;
    assert_eq!(refused.unwrap_err().code, Code::Forbidden);
}

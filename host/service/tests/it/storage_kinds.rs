//! Kinds of image storages, and the settings of storages.

use std::collections::BTreeMap;

use imprint_agent_protocol::StorageKindReport;
use imprint_domain::{Code, Error, plugin_kind::StorageKind, storage::StorageRole};
use imprint_service::{HypervisorCreate, StorageCreate, StorageView};

use crate::support::{Agent, World, local_kind, name, vault_kind};

/// A second hypervisor with an agent.
async fn second(world: &World) -> Agent {
    let request = HypervisorCreate {
        name: name("host-2"),
        location_id: world.location.id,
        driver: "qemu".parse().unwrap(),
        driver_settings: BTreeMap::new(),
        max_work: None,
        max_captures: None,
    };
    let id = world.service.hypervisor_create(&world.admin, request).await.unwrap().id;
    Agent::new(&world.service, id, &world.environment)
}

pub(crate) async fn kinds_come_from_the_agents_and_conflicts_are_named(world: World) {
    assert_eq!(world.service.storage_kind_list(&world.customer).await.unwrap_err().code, Code::Forbidden);
    let kinds = world.service.storage_kind_list(&world.admin).await.unwrap();
    let names: Vec<_> = kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(names, ["local", "vault"]);
    assert_eq!((kinds[0].plugin.as_str(), kinds[0].version.as_str()), ("storage-local", "0.1.0"));
    assert_eq!(kinds[0].schema.as_ref().unwrap()["required"][0], "path");
    assert_eq!(kinds[0].hypervisors[0].hypervisor_id, world.hypervisor);
    assert!(kinds.iter().all(|kind| kind.conflict.is_none()), "{kinds:?}");

    // Another machine with a newer plugin and one that no host can use.
    let newer = StorageKindReport { version: "0.10.0".into(), ..local_kind() };
    let broken = StorageKindReport {
        kind: "odd".parse().unwrap(),
        schema: Some("{\"type\":\"array\"}".into()),
        ..vault_kind()
    };
    let agent = second(&world).await;
    agent.register_with(vec![newer, broken]).await.unwrap();
    let kinds = world.service.storage_kind_list(&world.admin).await.unwrap();
    assert_eq!(kinds[0].version, "0.10.0", "the newest by number, not by text");
    assert_eq!(kinds[0].hypervisors.len(), 2);
    let conflict = kinds[0].conflict.as_deref().unwrap();
    assert!(conflict.contains("storage-local 0.1.0, storage-local 0.10.0"), "{conflict}");
    assert!(kinds[1].conflict.as_deref().unwrap().contains("cannot be used"), "{:?}", kinds[1]);
    // An agent that registers again without a plugin does not have its kind any more.
    agent.register_with(vec![local_kind()]).await.unwrap();
    let kinds = world.service.storage_kind_list(&world.admin).await.unwrap();
    assert_eq!((kinds.len(), kinds[0].conflict.as_ref(), kinds[1].kind.as_str()), (2, None, "vault"));
}

async fn create(world: &World, kind: &str, settings: &[(&str, &str)]) -> Result<StorageView, Error> {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let kind = kind.parse::<StorageKind>().unwrap();
    let request = StorageCreate::new(name("new"), StorageRole::Customer, kind, settings.collect());
    world.service.storage_create(&world.admin, request).await
}

pub(crate) async fn settings_are_checked_against_the_schema_of_their_kind(world: World) {
    for (kind, settings, pointer, words) in [
        ("nfs", &[("path", "/srv")][..], "/kind", "they have local, vault"),
        ("local", &[], "/settings/path", "required"),
        ("local", &[("path", "srv")], "/settings/path", "must match ^/"),
        ("local", &[("path", "/srv"), ("colour", "red")], "/settings/colour", "no such setting"),
        ("vault", &[("endpoint", "vault.example")], "/settings/endpoint", "must match"),
        ("vault", &[("endpoint", "https://a"), ("connections", "65")], "/settings/connections", "most is 64"),
        ("vault", &[("endpoint", "https://a"), ("key", "0123456789")], "/settings/key", "`secrets`"),
        ("vault", &[("endpoint", "https://a")], "/secrets/key", "required"),
    ] {
        let refused = create(&world, kind, settings).await.unwrap_err();
        assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some(pointer)));
        assert!(refused.detail.contains(words), "{refused}");
    }
    let made = create(&world, "local", &[("path", "/srv/new")]).await.unwrap();
    assert_eq!(made.settings["path"], "/srv/new");
}

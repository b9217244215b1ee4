//! What accounts save for new instances: SSH keys and user scripts.

use imprint_agent_protocol::AssignmentKind;
use imprint_domain::{
    Code,
    account::Scope,
    id::{SshKeyId, UserScriptId},
};
use imprint_service::{
    InstanceCreate, Op, PageRequest, Service, SshKeyCreate, SshKeyView, UserScriptCreate, UserScriptPatch,
    UserScriptView,
};
use imprint_store::Store;

use crate::support::{SSH_KEY, World, name, with_scopes};

const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP//////////////////////////////////////////";
const SCRIPT: &str = "#!/bin/sh\necho saved\n";

async fn save_key(service: &Service, op: &Op, text: &str, key: &str) -> Result<SshKeyView, Code> {
    let request = SshKeyCreate { name: name(text), public_key: key.to_owned() };
    service.ssh_key_create(op, request).await.map_err(|error| error.code)
}

async fn save_script(service: &Service, op: &Op, text: &str, content: &str) -> Result<UserScriptView, Code> {
    let request = UserScriptCreate { name: name(text), content: content.to_owned() };
    service.user_script_create(op, request).await.map_err(|error| error.code)
}

pub(crate) async fn keys_are_saved_recognised_renamed_and_deleted(world: World) {
    let (service, customer) = (&world.service, &world.customer);
    let key = save_key(service, customer, "laptop", &format!("  {SSH_KEY}\n")).await.unwrap();
    assert_eq!((key.kind.as_str(), key.public_key.as_str()), ("ssh-ed25519", SSH_KEY));
    assert_eq!(key.fingerprint, "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA");
    assert_eq!(save_key(service, customer, "laptop", OTHER_KEY).await, Err(Code::NameTaken));
    assert_eq!(save_key(service, customer, "wrong", "not a key").await, Err(Code::InvalidRequest));
    let second = save_key(service, customer, "desk", OTHER_KEY).await.unwrap();
    // A name is unique in its account only.
    save_key(service, &world.other, "laptop", OTHER_KEY).await.unwrap();

    let taken = service.ssh_key_rename(customer, second.id, name("laptop"), None).await.unwrap_err();
    assert_eq!((taken.code, taken.pointer.as_deref()), (Code::NameTaken, Some("/name")));
    let renamed =
        service.ssh_key_rename(customer, second.id, name("desktop"), Some(second.version)).await.unwrap();
    assert_eq!((renamed.name, renamed.version), (name("desktop"), 2));
    let stale = service.ssh_key_rename(customer, second.id, name("x"), Some(second.version)).await;
    assert_eq!(stale.unwrap_err().code, Code::PreconditionFailed);

    let listed = service.ssh_key_list(customer, &PageRequest::default()).await.unwrap().items;
    let names: Vec<_> = listed.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["laptop", "desktop"]);
    service.ssh_key_delete(customer, key.id).await.unwrap();
    assert_eq!(service.ssh_key_show(customer, key.id).await.unwrap_err().code, Code::NotFound);

    let store = Store::open(&world.target).await.unwrap();
    for (id, wanted) in [
        (key.id, &["ssh_key.create", "ssh_key.delete"][..]),
        (second.id, &["ssh_key.create", "ssh_key.update"][..]),
    ] {
        let rows = imprint_store::audit::of_resource(&store.read(), &id.to_string(), 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(), wanted);
    }
}

pub(crate) async fn scripts_are_saved_changed_and_deleted(world: World) {
    let (service, customer) = (&world.service, &world.customer);
    let script = save_script(service, customer, "web", SCRIPT).await.unwrap();
    assert_eq!((script.size, script.version), (u32::try_from(SCRIPT.len()).unwrap(), 1));
    assert_eq!(save_script(service, customer, "web", SCRIPT).await, Err(Code::NameTaken));
    for wrong in ["", " \n", "#!/bin/sh\0", &"x".repeat((64 << 10) + 1)] {
        assert_eq!(save_script(service, customer, "wrong", wrong).await, Err(Code::InvalidRequest));
    }
    save_script(service, customer, "largest", &"x".repeat(64 << 10)).await.unwrap();
    save_script(service, &world.other, "web", SCRIPT).await.unwrap();

    world.environment.advance(60);
    let content = "#cloud-config\n{}\n";
    let patch = || UserScriptPatch { name: None, content: Some(content.to_owned()) };
    let changed = service.user_script_update(customer, script.id, patch(), Some(1)).await.unwrap();
    assert_eq!((changed.version, changed.name), (2, name("web")));
    assert!(changed.changed_at > changed.created_at);
    assert_eq!(service.user_script_show(customer, script.id).await.unwrap().content, content);
    let stale = service.user_script_update(customer, script.id, patch(), Some(1)).await.unwrap_err();
    assert_eq!(stale.code, Code::PreconditionFailed);
    let empty = UserScriptPatch { name: None, content: Some(String::new()) };
    let refused = service.user_script_update(customer, script.id, empty, None).await.unwrap_err();
    assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some("/content")));
    let renamed = UserScriptPatch { name: Some(name("server")), content: None };
    service.user_script_update(customer, script.id, renamed, None).await.unwrap();
    assert_eq!(service.user_script_show(customer, script.id).await.unwrap().content, content);

    let listed = service.user_script_list(customer, &PageRequest::default()).await.unwrap().items;
    let names: Vec<_> = listed.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(names, ["server", "largest"]);
    service.user_script_delete(customer, script.id).await.unwrap();
    assert_eq!(service.user_script_show(customer, script.id).await.unwrap_err().code, Code::NotFound);
    let store = Store::open(&world.target).await.unwrap();
    let rows = imprint_store::audit::of_resource(&store.read(), &script.id.to_string(), 10).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    let updates = ["user_script.update"; 2];
    assert_eq!(actions, [&["user_script.create"][..], &updates, &["user_script.delete"]].concat());
}

/// What somebody without the right gets from each use case.
async fn ask_all(world: &World, op: &Op, key: SshKeyId, script: UserScriptId) -> Vec<Code> {
    let service = &world.service;
    let with_key = InstanceCreate { ssh_key_ids: vec![key], ..world.deployment("with a key") };
    let with_script =
        InstanceCreate { user_script_id: Some(script), user_data: None, ..world.deployment("with a script") };
    let answers = [
        service.ssh_key_show(op, key).await.err(),
        service.ssh_key_rename(op, key, name("x"), None).await.err(),
        service.ssh_key_delete(op, key).await.err(),
        service.user_script_show(op, script).await.err(),
        service.user_script_update(op, script, UserScriptPatch::default(), None).await.err(),
        service.user_script_delete(op, script).await.err(),
        service.instance_create(op, with_key).await.err(),
        service.instance_create(op, with_script).await.err(),
    ];
    answers.into_iter().map(|error| error.expect("it is refused").code).collect()
}

pub(crate) async fn what_is_saved_belongs_to_its_account_alone(world: World) {
    let (service, customer) = (&world.service, &world.customer);
    let key = save_key(service, customer, "laptop", SSH_KEY).await.unwrap().id;
    let script = save_script(service, customer, "web", SCRIPT).await.unwrap().id;
    for op in [&world.other, &world.admin] {
        assert_eq!(ask_all(&world, op, key, script).await, [Code::NotFound; 8]);
        assert!(service.ssh_key_list(op, &PageRequest::default()).await.unwrap().items.is_empty());
        assert!(service.user_script_list(op, &PageRequest::default()).await.unwrap().items.is_empty());
    }
    let reader = with_scopes(customer, &[Scope::ImagesRead]);
    service.ssh_key_show(&reader, key).await.unwrap();
    service.user_script_show(&reader, script).await.unwrap();
    assert_eq!(save_key(service, &reader, "x", SSH_KEY).await, Err(Code::Forbidden));
    assert_eq!(save_script(service, &reader, "x", SCRIPT).await, Err(Code::Forbidden));
    assert_eq!(service.ssh_key_delete(&reader, key).await.unwrap_err().code, Code::Forbidden);
    assert_eq!(service.user_script_delete(&reader, script).await.unwrap_err().code, Code::Forbidden);
    service.ssh_key_delete(customer, key).await.unwrap();
    service.user_script_delete(customer, script).await.unwrap();
}

pub(crate) async fn of_simultaneous_requests_as_many_are_saved_as_fit(world: World) {
    for number in 0..95 {
        save_key(&world.service, &world.customer, &format!("key {number}"), SSH_KEY).await.unwrap();
    }
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (service, op) = (world.service.clone(), world.customer.clone());
        running.spawn(async move { save_key(&service, &op, &format!("more {number}"), SSH_KEY).await.err() });
    }
    let answers = running.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 5);
    assert_eq!(answers.iter().filter(|answer| **answer == Some(Code::SavedLimitReached)).count(), 15);
    // Scripts are counted on their own, and another account is not affected.
    save_script(&world.service, &world.customer, "web", SCRIPT).await.unwrap();
    save_key(&world.service, &world.other, "laptop", SSH_KEY).await.unwrap();
}

pub(crate) async fn an_instance_gets_copies_of_what_is_saved(world: World) {
    let (service, customer) = (&world.service, &world.customer);
    let key = save_key(service, customer, "laptop", OTHER_KEY).await.unwrap().id;
    let same = save_key(service, customer, "the same", SSH_KEY).await.unwrap().id;
    let script = save_script(service, customer, "web", SCRIPT).await.unwrap().id;
    let request = InstanceCreate {
        ssh_key_ids: vec![key, same],
        user_script_id: Some(script),
        user_data: None,
        ..world.deployment("saved")
    };
    let both = InstanceCreate { user_data: Some("#cloud-config".into()), ..request.clone() };
    let refused = service.instance_create(customer, both).await.unwrap_err();
    assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some("/user_script_id")));
    let many = InstanceCreate { ssh_key_ids: vec![key; 32], ..request.clone() };
    let refused = service.instance_create(customer, many).await.unwrap_err();
    assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some("/ssh_keys")));

    service.instance_create(customer, request).await.unwrap();
    // What is deleted afterwards is in the task already.
    service.ssh_key_delete(customer, key).await.unwrap();
    service.user_script_delete(customer, script).await.unwrap();
    let AssignmentKind::Deploy(order) = world.agent.claim_one().await.kind else { panic!("no deployment") };
    // The key that is typed, too, is there once.
    assert_eq!(order.seed.ssh_keys, [OTHER_KEY, SSH_KEY]);
    assert_eq!(order.seed.user_data.as_deref(), Some(SCRIPT));
}

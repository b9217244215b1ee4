//! Secrets of image storages: sealed in the database, opened for the agents that use them.

use std::collections::BTreeMap;

use imprint_agent_protocol::{AssignmentKind, HeldLease, Outcome, ProtocolError, SecretsRequest};
use imprint_domain::{
    Code,
    id::{HypervisorId, StorageId},
    secret::{SecretText, Secrets},
    storage::StorageRole,
    storage_test::{StorageTest, TestStatus, TestStep, TestStepResult},
    task::{TaskKind, TaskState},
};
use imprint_service::{Idempotency, Service, StorageCreate, StorageView, StoredStorageTest};
use imprint_store::{
    Store, audit,
    idempotency::{self, KeyScope},
    secret::{of_storage, of_task},
};
use uuid::Uuid;

use crate::support::{Agent, World, keys, name, open_with};

const KEY: &str = "the-secret-key-of-the-vault";

fn secrets(pairs: &[(&str, &str)]) -> Secrets {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), SecretText::new((*text).to_owned()))).collect()
}

fn vault(text: &str) -> StorageCreate {
    let settings = BTreeMap::from([("endpoint".to_owned(), "https://vault.example".to_owned())]);
    StorageCreate {
        secrets: secrets(&[("key", KEY)]),
        ..StorageCreate::new(name(text), StorageRole::Customer, "vault".parse().unwrap(), settings)
    }
}

async fn bound(world: &World, text: &str) -> StorageView {
    let made = world.service.storage_create(&world.admin, vault(text)).await.unwrap();
    world.service.storage_bind(&world.admin, made.id, world.hypervisor).await.unwrap()
}

/// What the agent of the world gets from a control plane.
async fn fetched(
    service: &Service,
    world: &World,
    id: StorageId,
) -> Result<Vec<(String, String)>, ProtocolError> {
    let agent = Agent::new(service, world.hypervisor, &world.environment);
    let answer = agent.control.secrets(SecretsRequest::Storage { id }).await?;
    Ok(answer.secrets.iter().map(|(name, text)| (name.clone(), text.expose().to_owned())).collect())
}

fn key_only() -> Vec<(String, String)> {
    vec![("key".to_owned(), KEY.to_owned())]
}

pub(crate) async fn secrets_are_sealed_and_only_named(world: World) {
    let key = Idempotency {
        method: "POST".into(),
        path: "/storages".into(),
        key: "once".into(),
        body_hash: [7; 32],
    };
    let op = world.admin.clone().with_idempotency(Some(key));
    let made = world.service.storage_create(&op, vault("vault")).await.unwrap();
    assert_eq!(made.secrets.len(), 1);
    assert_eq!(made.secrets[0].name, "key");
    assert_eq!(made.settings["connections"], "8", "the defaults are filled in");
    assert_eq!(world.service.storage_create(&op, vault("vault")).await.unwrap(), made, "replayed");

    let store = Store::open(&world.target).await.unwrap();
    let conn = store.read();
    let rows = of_storage::list(&conn, made.id).await.unwrap();
    let clear = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&KEY[..8]);
    assert!(rows.len() == 1 && !clear(&rows[0].sealed), "{rows:?}");
    let scope = KeyScope {
        account_id: world.admin.account_id(),
        method: "POST".into(),
        path: "/storages".into(),
        key: "once".into(),
    };
    let kept = idempotency::get(&conn, &scope).await.unwrap().unwrap();
    assert!(!clear(kept.answer.as_bytes()), "{}", kept.answer);
    assert_ne!(kept.body_hash, [7; 32], "the digest of a request with a secret cannot be guessed");
    let audited = audit::of_resource(&conn, &made.id.to_string(), 10).await.unwrap();
    assert!(audited.iter().all(|row| !clear(format!("{row:?}").as_bytes())));
    for kind in ["local", "vault"] {
        let mut request = vault("refused");
        request.kind = kind.parse().unwrap();
        request.settings.insert("path".into(), "/srv".into());
        request.secrets = secrets(&[("pin", KEY)]);
        let refused = world.service.storage_create(&world.admin, request).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidRequest);
        assert!(!format!("{refused:?}").contains(&KEY[..8]), "{refused:?}");
    }
}

pub(crate) async fn agents_get_the_secrets_of_their_own_storages(world: World) {
    let made = world.service.storage_create(&world.admin, vault("vault")).await.unwrap();
    let refused = fetched(&world.service, &world, made.id).await.unwrap_err();
    assert!(matches!(refused, ProtocolError::Refused { .. }), "it is not bound: {refused}");
    world.service.storage_bind(&world.admin, made.id, world.hypervisor).await.unwrap();
    assert_eq!(fetched(&world.service, &world, made.id).await.unwrap(), key_only());
    let answer = world.agent.heartbeat(&[]).await.unwrap();
    let vault = answer.storages.iter().find(|storage| storage.id == made.id).unwrap();
    assert_eq!(vault.secrets_version, 1);
    let text = serde_json::to_string(&answer).unwrap();
    assert!(!text.contains(KEY), "{text}");
    let folder = answer.storages.iter().find(|storage| storage.id == world.images).unwrap();
    assert_eq!(folder.secrets_version, 0, "nothing to fetch");
    assert_eq!(fetched(&world.service, &world, world.images).await.unwrap(), []);
}

pub(crate) async fn secrets_are_changed_and_removed(world: World) {
    let made = bound(&world, "vault").await;
    let update = async |name: &str, secret: Option<&str>| {
        let secret = secret.map(|text| SecretText::new(text.to_owned()));
        let changes = BTreeMap::from([(name.to_owned(), secret)]);
        world.service.storage_secrets_update(&world.admin, made.id, changes).await
    };
    world.environment.advance(60);
    let changed = update("session-token", Some("token")).await.unwrap();
    let names: Vec<_> = changed.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["key", "session-token"]);
    assert!(changed.secrets[1].changed_at > changed.secrets[0].changed_at);
    let fetched_now = fetched(&world.service, &world, made.id).await.unwrap();
    assert_eq!(fetched_now[1], ("session-token".to_owned(), "token".to_owned()));
    assert_eq!(update("session-token", None).await.unwrap().secrets.len(), 1);
    for (name, secret, pointer) in [
        ("key", None, "/secrets/key"),
        ("key", Some("short"), "/secrets/key"),
        ("pin", Some("x"), "/secrets/pin"),
    ] {
        let refused = update(name, secret).await.unwrap_err();
        assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some(pointer)));
    }
    assert_eq!(
        fetched(&world.service, &world, made.id).await.unwrap(),
        key_only(),
        "a refusal changes nothing"
    );
    let answer = world.agent.heartbeat(&[]).await.unwrap();
    let vault = answer.storages.iter().find(|storage| storage.id == made.id).unwrap();
    assert_eq!(vault.secrets_version, 3, "each change is noticed by the agents");
    let customer = world.service.storage_secrets_update(&world.customer, made.id, BTreeMap::new()).await;
    assert_eq!(customer.unwrap_err().code, Code::Forbidden);
}

pub(crate) async fn a_rotation_seals_everything_again(world: World) {
    let made = bound(&world, "vault").await;
    world.service.secrets_check().await.unwrap();
    let both = open_with(&world.target, &world.environment, keys("21")).await;
    both.secrets_check().await.unwrap();
    assert_eq!(fetched(&both, &world, made.id).await.unwrap(), key_only());
    world.environment.advance(60);
    let done = both.secrets_rotate(&world.admin).await.unwrap();
    assert_eq!(done.resealed, 1);
    assert_eq!(both.secrets_rotate(&world.admin).await.unwrap().resealed, 0, "everything is done");
    let new_only = open_with(&world.target, &world.environment, keys("2")).await;
    new_only.secrets_check().await.unwrap();
    assert_eq!(fetched(&new_only, &world, made.id).await.unwrap(), key_only());
    let shown = new_only.storage_list(&world.admin, &imprint_service::StorageList::default()).await.unwrap();
    let found = shown.items.iter().find(|storage| storage.id == made.id).unwrap();
    assert_eq!(found.secrets, made.secrets, "the secret was not changed by the rotation");
    // Without the key it is an error that says so, at the start and when an agent asks.
    let old_only = open_with(&world.target, &world.environment, keys("13")).await;
    let missing = old_only.secrets_check().await.unwrap_err();
    assert_eq!(missing.code, Code::Unavailable);
    assert!(missing.detail.contains(&done.key_id), "{missing}");
    let refused = fetched(&old_only, &world, made.id).await.unwrap_err();
    assert!(matches!(&refused, ProtocolError::Unavailable { detail } if detail.contains(&done.key_id)));
    let none = open_with(&world.target, &world.environment, imprint_service::SecretKeys::default()).await;
    let refused = none.storage_create(&world.admin, vault("other")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert!(refused.detail.contains("key_file"), "{refused}");
    assert_eq!(world.service.secrets_rotate(&world.customer).await.unwrap_err().code, Code::Forbidden);
}

pub(crate) async fn a_sealed_secret_opens_in_its_own_place_only(world: World) {
    let (first, second) = (bound(&world, "first").await, bound(&world, "second").await);
    let store = Store::open(&world.target).await.unwrap();
    let row = of_storage::list(&store.read(), first.id).await.unwrap().remove(0);
    let tx = store.write_tx().await.unwrap();
    of_storage::put(&tx, second.id, &row).await.unwrap();
    let mut renamed = row.clone();
    renamed.name = "session-token".into();
    of_storage::put(&tx, first.id, &renamed).await.unwrap();
    tx.commit().await.unwrap();
    for id in [first.id, second.id] {
        let refused = fetched(&world.service, &world, id).await.unwrap_err();
        assert!(matches!(refused, ProtocolError::Unavailable { .. }), "{refused}");
        assert!(!refused.to_string().contains(KEY), "{refused}");
    }
}

pub(crate) async fn a_connection_test_has_its_own_secrets_until_it_ends(world: World) {
    let made = bound(&world, "vault").await;
    let request =
        |secrets: Secrets| StoredStorageTest { hypervisor_id: world.hypervisor, settings: None, secrets };
    let given = secrets(&[("session-token", "token-of-the-test")]);
    let queued = world.service.stored_storage_test(&world.admin, made.id, request(given)).await.unwrap();
    assert_eq!(queued.task.kind, TaskKind::StorageTest);
    let work = world.agent.claim_one().await;
    let AssignmentKind::TestStorage(test) = &work.kind else { panic!("{:?}", work.kind) };
    assert_eq!((test.storage.id, test.has_secrets), (made.id, true));
    assert_eq!(test.storage.settings, made.settings);
    let ask = async |fence: u64| {
        let lease = HeldLease { task_id: work.task_id, fence };
        world.agent.control.secrets(SecretsRequest::Task { lease }).await
    };
    let names: Vec<_> = ask(work.fence).await.unwrap().secrets.into_keys().collect();
    assert_eq!(names, ["key", "session-token"], "those of the test, and those that are stored");
    assert_eq!(ask(work.fence + 1).await.unwrap_err(), ProtocolError::LeaseLost);
    let other = Agent::new(&world.service, HypervisorId::new(Uuid::from_u128(5)), &world.environment);
    let lease = HeldLease { task_id: work.task_id, fence: work.fence };
    assert_eq!(
        other.control.secrets(SecretsRequest::Task { lease }).await.unwrap_err(),
        ProtocolError::LeaseLost
    );
    let store = Store::open(&world.target).await.unwrap();
    assert_eq!(of_task::list(&store.read(), work.task_id).await.unwrap().len(), 1);
    let step = TestStepResult {
        step: TestStep::Open,
        status: TestStatus::Failed,
        duration_ms: 7,
        detail: Some("closed".into()),
        code: Some("vault.closed".into()),
        setting: Some("key".into()),
    };
    let found = StorageTest { steps: vec![step] };
    world.agent.finish(&work, Outcome::StorageTested(found.clone())).await.unwrap();
    let shown = world.service.task_show(&world.admin, work.task_id).await.unwrap();
    assert_eq!((shown.state, shown.storage_test), (TaskState::Succeeded, Some(found)));
    assert_eq!(ask(work.fence).await.unwrap_err(), ProtocolError::LeaseLost);
    assert!(of_task::list(&store.read(), work.task_id).await.unwrap().is_empty(), "removed with the end");

    // A cancelled one loses its secrets as well, and is not repeated without them.
    let given = secrets(&[("session-token", "token-of-the-test")]);
    let queued = world.service.stored_storage_test(&world.admin, made.id, request(given)).await.unwrap();
    world.service.task_cancel(&world.admin, queued.task.id).await.unwrap();
    assert!(of_task::list(&store.read(), queued.task.id).await.unwrap().is_empty());
    let again = world.service.task_retry(&world.admin, queued.task.id).await.unwrap_err();
    assert_eq!(again.code, Code::InvalidTransition);
    // Only an agent that is there can test anything.
    world.environment.advance(600);
    let offline = world.service.stored_storage_test(&world.admin, made.id, request(Secrets::new())).await;
    assert_eq!(offline.unwrap_err().code, Code::HypervisorOffline);
}

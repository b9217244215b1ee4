//! Links to objects: what they permit, for how long, and what is written down about them.

use imprint_agent_protocol::{Fingerprint, ObjectGrant, ObjectKey, ObjectServer};
use imprint_domain::{Code, id::RequestId};
use imprint_service::{DownloadRoute, DownloadSource};
use imprint_store::{Store, audit};
use uuid::Uuid;

use crate::support::World;

const KEY: &str = "folder/disk 1.raw";

/// Returns what the agent's own key says about a source.
fn granted(key: &ObjectKey, source: &DownloadSource, world: &World) -> ObjectGrant {
    use imprint_domain::time::Environment as _;
    key.open(&source.source.token, world.environment.now()).unwrap()
}

pub(crate) async fn a_link_says_for_how_long_a_storage_may_send_the_bytes_itself(world: World) {
    let server = ObjectServer {
        address: "hv1.example:8444".to_owned(),
        fingerprint: Fingerprint::new([5; 32]),
        internal: true,
    };
    let key = world.agent.register_serving(server).await.object_key.unwrap();
    let made = async |route| world.service.storage_download(&world.admin, world.images, KEY, route).await;
    let passed = made(DownloadRoute::Server).await.unwrap();
    let source = world.service.storage_download_source(&passed.token).await.unwrap();
    assert_eq!(granted(&key, &source, &world).direct_s, None, "all bytes come through the server");

    let link = made(DownloadRoute::Any).await.unwrap();
    for (seconds, expected) in [(0, 900), (300, 600), (580, 60), (15, 60)] {
        world.environment.advance(seconds);
        world.agent.heartbeat(&[]).await.unwrap();
        let source = world.service.storage_download_source(&link.token).await.unwrap();
        let grant = granted(&key, &source, &world);
        assert_eq!(grant.direct_s, Some(expected), "after {seconds} s more");
        assert_eq!((grant.storage, grant.key.as_str()), (world.images, KEY));
    }
    world.environment.advance(10);
    world.agent.heartbeat(&[]).await.unwrap();
    let over = world.service.storage_download_source(&link.token).await.unwrap_err();
    assert_eq!(over.code, Code::Forbidden);
}

pub(crate) async fn who_is_sent_to_the_storage_is_in_the_audit_log_and_the_address_is_not(world: World) {
    let server = ObjectServer {
        address: "hv1.example:8444".to_owned(),
        fingerprint: Fingerprint::new([5; 32]),
        internal: true,
    };
    world.agent.register_serving(server).await;
    let made = world.service.storage_download(&world.admin, world.images, KEY, DownloadRoute::Any).await;
    let source = world.service.storage_download_source(&made.unwrap().token).await.unwrap();
    let request = RequestId::new(Uuid::from_u128(77));
    world.service.storage_download_redirected(request, &source).await.unwrap();
    let store = Store::open(&world.target).await.unwrap();
    let rows = audit::of_resource(&store.read(), &format!("{}/{KEY}", world.images), 10).await.unwrap();
    let [link, direct] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((link.action.as_str(), link.account_id), ("storage.download", Some(world.admin.account_id())));
    assert_eq!((direct.action.as_str(), direct.account_id), ("storage.download.direct", None));
    assert_eq!(direct.actor, format!("link {}", link.request_id), "the row says which link it was");
    assert_eq!(direct.request_id, request);
}

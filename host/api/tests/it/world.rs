//! A provider with everything in place, and an agent that does its work at once.

use imprint_agent_protocol::PROTOCOL_VERSION;
use imprint_domain::id::AgentId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{Answer, Client, TestApp};

/// What every test of images needs: an operator, two customers, a stock image, and a running
/// instance of the first customer.
pub(crate) struct World {
    pub(crate) app: TestApp,
    pub(crate) admin: Client,
    pub(crate) customer: Client,
    pub(crate) other: Client,
    pub(crate) agent: FakeAgent,
    pub(crate) location: String,
    pub(crate) hypervisor: String,
    pub(crate) storage: String,
    pub(crate) stock_storage: String,
    pub(crate) stock_image: String,
    pub(crate) instance: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(TestApp::start().await).await
    }

    /// The same, with that server.
    pub(crate) async fn of(app: TestApp) -> Self {
        let admin = app.token("admin").await;
        let customer = app.customer(&admin, "customer").await;
        let other = app.customer(&admin, "other").await;
        let make = async |path: &str, body: Value| {
            admin.post(path, body).await.expect(StatusCode::CREATED).text("/id").to_owned()
        };
        let location = make(
            "/admin/locations",
            json!({"name": "north", "images_enabled": true, "sharing_enabled": true}),
        )
        .await;
        let hypervisor = make("/admin/hypervisors", json!({"name": "host-1", "location_id": location})).await;
        let mut storages = Vec::new();
        for (name, role) in [("images", "customer"), ("stock", "stock")] {
            let settings = json!({"path": format!("/srv/{name}")});
            // The tests bind them to several hypervisors.
            let body = json!({"name": name, "role": role, "kind": "local", "settings": settings,
                "shared_path": true});
            let id = make("/admin/image-storages", body).await;
            let path = format!("/admin/image-storages/{id}/hypervisors/{hypervisor}");
            admin.send(admin.request(reqwest::Method::PUT, &path)).await.expect(StatusCode::OK);
            storages.push(id);
        }
        let [storage, stock_storage] = storages.try_into().unwrap();
        let token = admin.act(&format!("/admin/hypervisors/{hypervisor}/tokens")).await;
        let token = token.expect(StatusCode::CREATED);
        let agent = FakeAgent::new(admin.with_token(token.text("/token")));
        agent.register().await.expect(StatusCode::OK);
        agent.heartbeat(&[&storage, &stock_storage]).await.expect(StatusCode::OK);

        let mut world = Self {
            app,
            admin,
            customer,
            other,
            agent,
            location,
            hypervisor,
            storage,
            stock_storage,
            stock_image: String::new(),
            instance: String::new(),
        };
        world.stock_image = world.adopt().await;
        world.instance = world.deploy("web-1").await;
        world
    }

    async fn adopt(&self) -> String {
        let body = json!({"name": "Debian", "storage_id": self.stock_storage, "key": "debian.qcow2",
            "format": "qcow2", "location_id": self.location});
        let made = self.admin.post("/admin/stock-images", body).await.expect(StatusCode::ACCEPTED);
        self.agent.work(json!({"outcome": "image_registered", "image": stored()})).await;
        made.text("/image/id").to_owned()
    }

    /// Makes a ready instance of the customer.
    pub(crate) async fn deploy(&self, name: &str) -> String {
        let body = json!({"image_id": self.stock_image, "name": name});
        let made = self.customer.post("/instances", body).await.expect(StatusCode::ACCEPTED);
        self.agent.work(json!({"outcome": "deployed", "power": "running", "disk_allocated": 4096})).await;
        made.text("/instance/id").to_owned()
    }

    /// Saves a key and a script of the customer, and returns their ids.
    pub(crate) async fn saved(&self) -> (String, String) {
        let key = json!({"name": "laptop", "public_key": SSH_KEY});
        let key = self.customer.post("/ssh-keys", key).await.expect(StatusCode::CREATED);
        let script = json!({"name": "hello", "content": "#!/bin/sh\necho hello\n"});
        let script = self.customer.post("/user-scripts", script).await.expect(StatusCode::CREATED);
        (key.text("/id").to_owned(), script.text("/id").to_owned())
    }

    /// The body of a capture of the customer's instance.
    pub(crate) fn capture(&self, name: &str) -> Value {
        json!({"source": {"type": "instance", "id": self.instance}, "name": name})
    }

    /// Makes an available image of the customer's instance.
    pub(crate) async fn captured(&self, name: &str) -> String {
        let made = self.customer.post("/images", self.capture(name)).await.expect(StatusCode::ACCEPTED);
        self.agent.work(captured()).await;
        made.text("/image/id").to_owned()
    }
}

/// A public key that is well formed.
pub(crate) const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me";

/// A stored image, as agents report it.
pub(crate) fn stored() -> Value {
    json!({"size": 1_048_576, "virtual_size": 10_485_760, "format": "qcow2",
        "logical_digest": format!("imprint1:{}", "1".repeat(64)), "stored_digest": format!("sha256:{}", "2".repeat(64)),
        "consistency": null})
}

/// The end of a capture, as agents report it.
pub(crate) fn captured() -> Value {
    json!({"outcome": "captured", "image": stored(), "consistency": "filesystem", "downgraded_because": null,
        "method": "cbw-snapshot-access", "frozen_ms": 12, "stopped_ms": 0})
}

/// An agent without a hypervisor.
pub(crate) struct FakeAgent {
    pub(crate) client: Client,
    pub(crate) agent_id: AgentId,
}

impl FakeAgent {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests hold no clock of their own, and run what they test in the background"
    )]
    pub(crate) fn new(client: Client) -> Self {
        Self { client, agent_id: AgentId::new(Uuid::now_v7()) }
    }

    pub(crate) async fn register(&self) -> Answer {
        self.client.post("/agent/register", self.registration()).await
    }

    /// Registers an agent that serves the objects of its storages.
    pub(crate) async fn register_serving(&self) -> Answer {
        let mut body = self.registration();
        body["objects"] = json!({"address": "hv1.test:8444", "fingerprint": "05".repeat(32)});
        self.client.post("/agent/register", body).await
    }

    /// Registers an agent whose driver changes devices.
    pub(crate) async fn register_changing(&self) -> Answer {
        let mut body = self.registration();
        body["drivers_with_devices"] = json!(["qemu"]);
        self.client.post("/agent/register", body).await
    }

    fn registration(&self) -> Value {
        json!({"agent_id": self.agent_id, "protocol": PROTOCOL_VERSION,
            "version": "0.1.0", "plugins": {"storage-local": "0.1.0"}, "findings": [],
            "storage_kinds": [kind("local", &local()), kind("vault", &vault())]})
    }

    pub(crate) async fn heartbeat(&self, storages: &[&str]) -> Answer {
        let storages: Vec<_> = storages
            .iter()
            .map(|id| json!({"id": id, "total": 1_u64 << 40, "available": 1_u64 << 39, "problem": null}))
            .collect();
        let body = json!({"agent_id": self.agent_id, "leases": [], "instances": [], "storages": storages});
        self.client.post("/agent/heartbeat", body).await
    }

    /// Takes the next piece of work.
    pub(crate) async fn claim(&self) -> Value {
        let body = json!({"agent_id": self.agent_id, "max": 1, "max_captures": 1, "wait_ms": 10_000});
        let answer = self.client.post("/agent/claim", body).await.expect(StatusCode::OK);
        answer.body.pointer("/assignments/0").unwrap_or_else(|| panic!("no work: {}", answer.body)).clone()
    }

    pub(crate) async fn progress(&self, assignment: &Value, done: u64, total: u64) -> Answer {
        let body = json!({"agent_id": self.agent_id, "lease": lease(assignment), "phase": "copying",
            "bytes_done": done, "bytes_total": total});
        self.client.post("/agent/progress", body).await
    }

    pub(crate) async fn finish(&self, assignment: &Value, outcome: Value) -> Answer {
        let body = json!({"agent_id": self.agent_id, "lease": lease(assignment), "outcome": outcome});
        self.client.post("/agent/finish", body).await
    }

    /// Takes the next piece of work and ends it.
    pub(crate) async fn work(&self, outcome: Value) {
        let assignment = self.claim().await;
        self.finish(&assignment, outcome).await.expect(StatusCode::NO_CONTENT);
    }
}

fn lease(assignment: &Value) -> Value {
    json!({"task_id": assignment["task_id"], "fence": assignment["fence"]})
}

fn kind(name: &str, schema: &Value) -> Value {
    json!({"kind": name, "plugin": format!("storage-{name}"), "version": "0.1.0", "summary": name,
        "schema": schema.to_string()})
}

fn local() -> Value {
    json!({"type": "object", "properties": {"path": {"type": "string", "pattern": "^/"}}, "required": ["path"]})
}

/// A kind of storage with secrets.
fn vault() -> Value {
    json!({
        "type": "object",
        "properties": {
            "endpoint": {"type": "string"},
            "key": {"type": "string", "writeOnly": true, "minLength": 8},
            "session-token": {"type": "string", "writeOnly": true}
        },
        "required": ["endpoint", "key"]
    })
}

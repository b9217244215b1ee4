//! Image storages as the tests make them: bound to the only hypervisor of a demo, and tested.

use anyhow::{Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::{Client, id},
    eventually,
};

async fn only_hypervisor(admin: &Client) -> Result<String> {
    Ok(id(&admin.get("/admin/hypervisors").await?["items"][0]).to_owned())
}

async fn change(admin: &Client, method: Method, storage: &str, hypervisor: &str) -> Result<()> {
    let path = format!("/admin/image-storages/{storage}/hypervisors/{hypervisor}");
    let answer = admin.send(method, &path, None, &[]).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    Ok(())
}

/// Makes a storage, binds it to the only hypervisor, and waits until the agent has seen it.
pub async fn bound(admin: &Client, body: &Value) -> Result<Value> {
    let hypervisor = only_hypervisor(admin).await?;
    let storage = admin.post("/admin/image-storages", body).await?;
    change(admin, Method::PUT, id(&storage), &hypervisor).await?;
    eventually("the agent to have seen the storage", async || {
        let seen = admin.get(&format!("/admin/image-storages/{}", id(&storage))).await?;
        Ok((!seen["seen_at"].is_null()).then_some(seen))
    })
    .await
}

/// Makes a storage as [`bound`] does, and the only one for customers' images.
pub async fn bound_only(admin: &Client, body: &Value) -> Result<Value> {
    let storage = bound(admin, body).await?;
    let hypervisor = only_hypervisor(admin).await?;
    let all = admin.get("/admin/image-storages").await?;
    for other in all["items"].as_array().into_iter().flatten() {
        if other["role"] == "customer" && id(other) != id(&storage) {
            change(admin, Method::DELETE, id(other), &hypervisor).await?;
        }
    }
    Ok(storage)
}

/// Tests a connection from the only hypervisor and returns its failed step, if there is one.
pub async fn failed_step(admin: &Client, mut body: Value) -> Result<Option<Value>> {
    body["hypervisor_id"] = json!(only_hypervisor(admin).await?);
    let task = admin.post("/admin/image-storages/actions/test", &body).await?;
    let task = admin.succeeded(&task).await?;
    match task["storage_test"]["steps"].as_array() {
        Some(steps) if !steps.is_empty() => Ok(steps.iter().find(|step| step["status"] == "failed").cloned()),
        _ => bail!("a connection test has no steps: {task}"),
    }
}

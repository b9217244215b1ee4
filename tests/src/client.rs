//! A client of the HTTP API, as a customer's program would be one.

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::eventually;

/// A client that is signed in to one account, or to none.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// The parts of an answer that tests use.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header `ETag`.
    pub etag: Option<String>,
    /// The JSON body; `null` when there is none.
    pub body: Value,
}

impl Client {
    /// Returns a client without an account.
    pub fn anonymous(base: &str) -> Result<Self> {
        // A connection that waits for its next request may be closed by the server just when that
        // one is sent.
        let http = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(60))
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { http, base: format!("{base}/api/v1"), token: None })
    }

    /// Signs in and creates an API token for the client.
    pub async fn sign_in(base: &str, account: &str, password: &str) -> Result<Self> {
        let mut client = Self::anonymous(base)?;
        let request = client.http.post(format!("{}/sessions", client.base));
        let answer = request.json(&json!({"account": account, "password": password})).send().await?;
        let cookie =
            answer.headers().get(header::SET_COOKIE).context("no session cookie")?.to_str()?.to_owned();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let scopes = if account == "admin" {
            json!(["images:read", "images:write", "admin"])
        } else {
            json!(["images:read", "images:write"])
        };
        let request = client.http.post(format!("{}/api-tokens", client.base)).header(header::COOKIE, cookie);
        let answer = request
            .header("X-Imprint-Csrf", "1")
            .json(&json!({"name": "test", "scopes": scopes}))
            .send()
            .await?;
        let body: Value = answer.json().await?;
        client.token =
            Some(body["token"].as_str().with_context(|| format!("no token in {body}"))?.to_owned());
        Ok(client)
    }

    /// Returns the API token, for the command line.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Sends a request and returns its answer, whatever its status is.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let etag =
            response.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = response.text().await?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok(Answer { status, etag, body })
    }

    /// Sends a GET request that must succeed, and returns its body.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.expect(Method::GET, path, None).await
    }

    /// Sends a POST request that must succeed, and returns its body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.expect(Method::POST, path, Some(body)).await
    }

    /// Sends a PATCH request that must succeed, and returns its body.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.expect(Method::PATCH, path, Some(body)).await
    }

    /// Sends a DELETE request that must succeed, and returns its body.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.expect(Method::DELETE, path, None).await
    }

    async fn expect(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.send(method.clone(), path, body, &[]).await?;
        if !answer.status.is_success() {
            bail!("{method} {path}: {} {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    /// Waits until a task has ended, and returns it.
    pub async fn finished(&self, task: &Value) -> Result<Value> {
        let id = task["id"].as_str().context("a task has an id")?;
        eventually("the task to end", async || {
            let task = self.get(&format!("/tasks/{id}?wait=10")).await?;
            let over = matches!(task["state"].as_str(), Some("succeeded" | "failed" | "cancelled"));
            Ok(over.then_some(task))
        })
        .await
    }

    /// Waits until a task has ended; it must have succeeded.
    pub async fn succeeded(&self, task: &Value) -> Result<Value> {
        let task = self.finished(task).await?;
        if task["state"] != "succeeded" {
            bail!("the task did not succeed: {task}");
        }
        Ok(task)
    }

    /// Waits until the instance of that name is ready and running, and returns it.
    pub async fn running_instance(&self, name: &str) -> Result<Value> {
        eventually("the instance to run", async || {
            let list = self.get("/instances").await?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            Ok(items
                .into_iter()
                .find(|i| i["name"] == name && i["status"] == "ready" && i["power"] == "running"))
        })
        .await
    }

    /// Captures an instance, and returns the image and the task when both are complete.
    pub async fn capture(&self, instance: &str, name: &str, more: Value) -> Result<(Value, Value)> {
        let mut body = json!({"source": {"type": "instance", "id": instance}, "name": name});
        merge(&mut body, more);
        let accepted = self.post("/images", &body).await?;
        let task = self.succeeded(&accepted["task"]).await?;
        let id = accepted["image"]["id"].as_str().context("an image has an id")?;
        Ok((self.get(&format!("/images/{id}")).await?, task))
    }

    /// Deploys an instance, and returns it when it is ready.
    pub async fn deploy(&self, image: &str, name: &str, more: Value) -> Result<Value> {
        let mut body = json!({"image_id": image, "name": name});
        merge(&mut body, more);
        let accepted = self.post("/instances", &body).await?;
        self.succeeded(&accepted["task"]).await?;
        let id = accepted["instance"]["id"].as_str().context("an instance has an id")?;
        self.get(&format!("/instances/{id}")).await
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// Returns the id of a resource.
pub fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap_or_default()
}

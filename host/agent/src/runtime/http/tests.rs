#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::IntoResponse,
    routing::post,
};
use imprint_agent_protocol::Outcome;
use imprint_domain::id::{AgentId, TaskId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

/// What the server was asked, and what it answers next.
#[derive(Default)]
struct Server {
    asked: Mutex<Vec<(String, String, Value)>>,
    answer: Mutex<Option<(u16, String)>>,
}

async fn answer(
    State(server): State<Arc<Server>>,
    Path(call): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> impl IntoResponse {
    let token = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
    server.asked.lock().unwrap().push((call, token, body));
    let (status, text) = server.answer.lock().unwrap().clone().unwrap_or((204, String::new()));
    (axum::http::StatusCode::from_u16(status).unwrap(), text)
}

async fn serve() -> (Arc<Server>, HttpControlPlane) {
    let server = Arc::<Server>::default();
    let router = Router::new().route("/base/api/v1/agent/{call}", post(answer)).with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/base/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, HttpControlPlane::new(&address, "imp_secret").unwrap())
}

fn claim() -> ClaimRequest {
    ClaimRequest {
        agent_id: AgentId::new(Uuid::from_u128(1)),
        max: 2,
        max_captures: 1,
        known_captures: None,
        wait_ms: 0,
    }
}

fn finish() -> Finish {
    let lease = imprint_agent_protocol::HeldLease { task_id: TaskId::new(Uuid::from_u128(2)), fence: 7 };
    Finish { agent_id: AgentId::new(Uuid::from_u128(1)), lease, outcome: Outcome::Done }
}

#[tokio::test]
async fn calls_carry_the_token_and_the_messages_of_the_protocol() {
    let (server, client) = serve().await;
    client.finish(finish()).await.unwrap();
    *server.answer.lock().unwrap() = Some((200, json!({ "assignments": [] }).to_string()));
    assert!(client.claim(claim()).await.unwrap().assignments.is_empty());
    let asked = server.asked.lock().unwrap();
    let [(first, token, body), (second, _, _)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((first.as_str(), second.as_str(), token.as_str()), ("finish", "claim", "Bearer imp_secret"));
    assert_eq!(*body, serde_json::to_value(finish()).unwrap());
}

#[tokio::test]
async fn a_refusal_is_read_from_its_body_or_else_from_its_status() {
    let (server, client) = serve().await;
    let lost = json!({ "title": "x", "protocol_error": { "code": "lease_lost" } }).to_string();
    let unavailable = |detail: &str| ProtocolError::Unavailable { detail: detail.to_owned() };
    for (status, body, expected) in [
        (409, lost.as_str(), ProtocolError::LeaseLost),
        (401, "", ProtocolError::Unauthenticated),
        (403, "{}", ProtocolError::Unauthenticated),
        (422, r#"{"detail":"no"}"#, ProtocolError::Refused { detail: "HTTP 422: no".to_owned() }),
        (503, "<html>", unavailable("HTTP 503: ")),
        (302, "", unavailable("HTTP 302: ")),
        (404, r#"{"detail":"old"}"#, unavailable("HTTP 404: old")),
    ] {
        *server.answer.lock().unwrap() = Some((status, body.to_owned()));
        assert_eq!(client.finish(finish()).await, Err(expected), "{status}");
    }
    for body in ["nonsense".to_owned(), "x".repeat(MAX_BODY + 1)] {
        *server.answer.lock().unwrap() = Some((200, body));
        assert!(matches!(client.claim(claim()).await, Err(ProtocolError::Unavailable { .. })));
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable_with_the_cause() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = HttpControlPlane::new(&address, "imp_secret").unwrap();
    let Err(ProtocolError::Unavailable { detail }) = client.claim(claim()).await else { panic!("answered") };
    assert!(detail.contains("Connection refused"), "{detail}");
    assert!(!detail.contains("imp_secret"), "{detail}");
}

#[test]
fn an_address_that_cannot_work_is_refused_at_once() {
    for address in ["", "imprint", "ftp://host", "http://", "http://user:pw@host"] {
        assert!(matches!(HttpControlPlane::new(address, "t"), Err(HttpError::Address(_))), "{address}");
    }
    assert!(matches!(HttpControlPlane::new("https://host", "t"), Err(HttpError::Tls)));
    assert!(matches!(HttpControlPlane::new("http://host", "a\nb"), Err(HttpError::Token)));
}

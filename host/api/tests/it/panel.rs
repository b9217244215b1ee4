//! The panel's files and the headers around everything.

use reqwest::{Method, StatusCode};

use crate::app::TestApp;

#[tokio::test]
async fn the_panel_gets_its_pages_and_the_api_keeps_its_paths() {
    let app = TestApp::start().await;
    let anon = app.anon();
    for page in ["/", "/images", "/instances/ins_1?tab=disks"] {
        let answer = anon.send(anon.plain(Method::GET, page)).await.expect(StatusCode::OK);
        assert!(answer.body.to_string().contains("panel"), "{page}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert!(answer.header("content-security-policy").contains("script-src 'self'"), "{answer:?}");
    }
    let script = anon.send(anon.plain(Method::GET, "/assets/index-1a2b.js")).await.expect(StatusCode::OK);
    assert!(script.header("cache-control").contains("immutable"));
    let tag = script.header("etag");
    let again = anon.plain(Method::GET, "/assets/index-1a2b.js").header("If-None-Match", tag);
    assert_eq!(anon.send(again).await.status, StatusCode::NOT_MODIFIED);
    for missing in ["/assets/gone.js", "/favicon.ico", "/api", "/api/v2/images", "/api/v1/nothing"] {
        anon.send(anon.plain(Method::GET, missing))
            .await
            .expect(StatusCode::NOT_FOUND)
            .expect_problem("not_found");
    }
    anon.send(anon.plain(Method::POST, "/images")).await.expect_problem("method_not_allowed");
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let app = TestApp::start_with(true).await;
    let anon = app.anon();
    for path in ["/", "/healthz", "/api/v1/images", "/api/v1/openapi.json", "/nothing.png"] {
        let answer = anon.send(anon.plain(Method::GET, path)).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(answer.header("strict-transport-security").starts_with("max-age="), "{path}");
        assert!(answer.header("x-request-id").starts_with("req_"), "{path}");
    }
    let body = serde_json::json!({"account": "admin", "password": crate::app::PASSWORD});
    let session = anon.post("/sessions", body).await.expect(StatusCode::CREATED);
    let cookie = session.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
}

#[tokio::test]
async fn health_and_figures_are_there_without_signing_in() {
    let app = TestApp::start().await;
    let anon = app.anon();
    for (path, text) in [("/healthz", "ok"), ("/readyz", "ready, findings: 2;")] {
        let answer = anon.send(anon.plain(Method::GET, path)).await.expect(StatusCode::OK);
        assert!(answer.body.to_string().contains(text), "{path}: {}", answer.body);
    }
    anon.get("/images/img_1").await.expect(StatusCode::UNAUTHORIZED);
    let metrics = anon.send(anon.plain(Method::GET, "/metrics")).await.expect(StatusCode::OK);
    let metrics = metrics.body.as_str().unwrap();
    let line = "imprint_http_requests_total{route=\"/api/v1/images/{id}\",method=\"GET\",status=\"401\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert!(!metrics.contains("img_1"), "an id is no label");
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]
async fn stopping_ends_streams_and_waits() {
    let app = TestApp::start().await;
    let admin = app.token("admin").await;
    let mut stream = admin.request(Method::GET, "/events").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    app.stop.cancel();
    while stream.chunk().await.unwrap().is_some() {}
    let mut app = app;
    let server = std::mem::replace(&mut app.server, tokio::spawn(async { Ok(()) }));
    tokio::time::timeout(crate::app::TIMEOUT, server).await.unwrap().unwrap().unwrap();
    assert!(admin.request(Method::GET, "/account").send().await.is_err(), "the listener is closed");
}

//! Things that go wrong at a provider: each has a typed error that says what to do, and nothing is
//! lost or left behind.

use std::{net::TcpListener, path::PathBuf, process::Command};

use anyhow::Result;
use imprint_tests::{
    binary,
    client::id,
    dist, eventually,
    ledger::last_sequence,
    process::is_alive,
    server::Server,
    tools::{self, SmallDisk},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_storage_that_fills_up_in_the_middle_fails_the_task_and_keeps_the_guest() -> Result<()> {
    let dir = Server::folder()?;
    // Declared first: it is unmounted last.
    let small = SmallDisk::mount(&Server::image_storage_in(dir.path()), "12m")?;
    let server = Server::start_in(dir, &["--demo"], &[]).await?;
    let customer = server.customer().await?;
    let first = customer.running_instance("demo-1").await?;
    server.console_says(id(&first), "LEDGER seq=").await?;
    let pid = server.instance_pid(id(&first))?;
    let body =
        json!({"source": {"type": "instance", "id": id(&first)}, "name": "too big", "compression": "none"});
    // What cannot fit is refused before anything starts.
    let refused = customer.send(reqwest::Method::POST, "/images", Some(&body), &[]).await?;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (507, &json!("insufficient_storage")));
    // The room goes away after the check.
    small.resize("256m")?;
    let accepted = eventually("the control plane to see the room", async || {
        let answer = customer.send(reqwest::Method::POST, "/images", Some(&body), &[]).await?;
        Ok(answer.status.is_success().then_some(answer.body))
    })
    .await?;
    small.resize("12m")?;
    let task = customer.finished(&accepted["task"]).await?;
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("insufficient_storage")),
        "{task}"
    );
    let image = customer.get(&format!("/images/{}", id(&accepted["image"]))).await?;
    assert_eq!(image["status"], "error");
    assert_eq!(server.stored_files()?, Vec::<PathBuf>::new(), "nothing is left on the full storage");
    assert_eq!(std::fs::read_dir(server.agent_dir().join("scratch"))?.count(), 0);
    assert!(is_alive(pid));
    let now = last_sequence(&server.console(id(&first)));
    eventually("the guest to write on", async || {
        Ok((last_sequence(&server.console(id(&first))) > now).then_some(()))
    })
    .await?;

    // With room again, the same task is retried.
    small.resize("256m")?;
    let retry = format!("/tasks/{}/actions/retry", id(&task));
    let retried = eventually("the control plane to see the room again", async || {
        let answer = customer.send(reqwest::Method::POST, &retry, Some(&json!({})), &[]).await?;
        Ok(answer.status.is_success().then_some(answer.body))
    })
    .await?;
    customer.succeeded(&retried).await?;
    let image = customer.get(&format!("/images/{}", id(&accepted["image"]))).await?;
    assert_eq!(image["status"], "available");
    Ok(())
}

#[tokio::test]
async fn rules_are_refused_with_the_words_of_the_requirements() -> Result<()> {
    let server = Server::demo().await?;
    let (customer, admin) = (server.customer().await?, server.admin().await?);
    let first = customer.running_instance("demo-1").await?;
    let capture = json!({"source": {"type": "instance", "id": id(&first)}, "name": "x"});
    let locations = admin.get("/admin/locations").await?;
    let location = format!("/admin/locations/{}", id(&locations["items"][0]));

    admin.patch(&location, &json!({"images_enabled": false})).await?;
    let answer = customer.send(Method::POST, "/images", Some(&capture), &[]).await?;
    assert_eq!(
        (answer.status, &answer.body["title"]),
        (StatusCode::FORBIDDEN, &json!("Image feature is not enabled"))
    );
    let seen = customer.get(&format!("/instances/{}", id(&first))).await?;
    assert_eq!(
        (&seen["capture"]["allowed"], &seen["capture"]["code"]),
        (&json!(false), &json!("image_feature_disabled"))
    );
    admin.patch(&location, &json!({"images_enabled": true, "default_image_limit": 1})).await?;

    let (image, _) = customer.capture(id(&first), "the only one", json!({})).await?;
    let answer = customer.send(Method::POST, "/images", Some(&capture), &[]).await?;
    assert_eq!(
        (answer.status, &answer.body["title"]),
        (StatusCode::CONFLICT, &json!("Maximum image limit reached"))
    );
    assert_eq!(answer.body["context"]["limit"], "1", "{}", answer.body);
    let deleted = customer.delete(&format!("/images/{}", id(&image))).await?;
    customer.succeeded(&deleted["task"]).await?;

    let long = json!({"source": {"type": "instance", "id": id(&first)}, "name": "n".repeat(129)});
    let answer = customer.send(Method::POST, "/images", Some(&long), &[]).await?;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_name")),
        "{}",
        answer.body
    );
    assert!(answer.body.to_string().contains("128"), "it says how long a name may be: {}", answer.body);
    let (_, task) = customer.capture(id(&first), "the slot is free again", json!({})).await?;
    assert_eq!(task["state"], "succeeded");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_and_a_missing_file_end_the_server_with_an_explanation() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let dir = tempfile::tempdir()?;
    let address = taken.local_addr()?.to_string();
    let serve = |args: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(binary()?);
        command.args(["serve", "--data-dir"]).arg(dir.path()).args(args);
        let output = command.output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (status, text) = serve(&["--listen", &address])?;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("in use") && text.contains("--listen"), "{text}");
    let (status, text) = serve(&["--listen", "127.0.0.1:0", "--config", "/nonexistent/imprint.toml"])?;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("/nonexistent/imprint.toml"), "{text}");
    Ok(())
}

#[tokio::test]
async fn without_qemu_the_server_runs_and_says_what_to_install() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("imprint.toml");
    std::fs::write(&config, "[agent]\nqemu = \"/nonexistent/qemu-system-x86_64\"\n")?;
    let server = Server::start(&["--demo", "--config", tools::arg(&config)], &[]).await?;
    let customer = server.customer().await?;
    let task = eventually("the first instance's task to fail", async || {
        let tasks = customer.get("/tasks").await?;
        let items = tasks["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().find(|task| task["kind"] == "instance.deploy" && task["state"] == "failed"))
    })
    .await?;
    assert_eq!(task["error"]["code"], "program_missing", "{task}");
    // A customer reads what happened and what to do, and an operator the cause: the path, the
    // setting, the package.
    let text = task["error"].to_string();
    assert!(!text.contains("/nonexistent") && !text.contains("qemu"), "{text}");
    assert_eq!(task["error"]["reference"], task["id"], "{text}");
    let seen = server.admin().await?.get(&format!("/tasks/{}", id(&task))).await?;
    let cause = seen["error"]["operator_detail"].as_str().unwrap_or_default();
    assert!(cause.contains("/nonexistent/qemu-system-x86_64"), "{seen}");
    assert!(cause.contains("install the package qemu-system-x86"), "{seen}");
    let output = Command::new(binary()?)
        .args(["doctor", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(dir.path())
        .output()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("qemu-system-x86"), "{text}");
    assert!(dist()?.is_dir());
    Ok(())
}

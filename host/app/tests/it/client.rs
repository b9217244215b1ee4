//! The client's commands.

use std::os::unix::fs::PermissionsExt;

use imprint_agent_protocol::{CaptureResult, DeployResult, Outcome};
use imprint_domain::{
    consistency::Consistency,
    instance::Power,
    size::ByteSize,
    task_error::{TaskError, TaskErrorCode},
};
use serde_json::{Value, json};

use crate::server::{PASSWORD, Ran, Server, deployed, stored};

fn captured() -> Outcome {
    Outcome::Captured(CaptureResult {
        image: stored(),
        consistency: Consistency::Crash,
        downgraded_because: None,
        method: "cbw-snapshot-access".to_owned(),
        frozen_ms: 0,
        stopped_ms: 0,
        findings: None,
    })
}

#[tokio::test]
async fn an_image_is_created_renamed_and_deleted() {
    let server = Server::start().await;
    server.login().await;
    let create = ["instance", "create", "--image", "Debian", "--name", "web-1", "--memory", "1G", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&create), server.agent.work(deployed()));
    let made = ran.expect(0).json();
    assert_eq!((&made["instance"]["status"], &made["task"]["state"]), (&json!("ready"), &json!("succeeded")));
    assert_eq!(made["instance"]["memory_bytes"], 1 << 30);

    let create = ["image", "create", "--from-instance", "web-1", "--name", "v1", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&create), server.agent.work(captured()));
    let image = ran.expect(0).json();
    assert_eq!(image["image"]["status"], "available");
    let list = server.imprint(&["image", "list"]).await.expect(0).json();
    assert_eq!(list["items"], json!([image["image"]]));
    let table = server.imprint(&["image", "list", "--output", "table"]).await.expect(0).out();
    let mut lines = table.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("NAME  SOURCE INSTANCE")), "{table}");
    assert!(lines.next().is_some_and(|line| line.contains("web-1") && line.contains("1.0 MiB")), "{table}");

    let renamed = server.imprint(&["image", "rename", "v1", "production"]).await.expect(0).json();
    assert_eq!(renamed["name"], "production");
    let shown = server.imprint(&["image", "show", "production"]).await.expect(0).json();
    assert_eq!(shown["id"], image["image"]["id"]);
    let delete = ["image", "delete", "production", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&delete), server.agent.work(Outcome::Done));
    assert_eq!(ran.expect(0).json()["task"]["state"], "succeeded");
    assert_eq!(server.imprint(&["image", "list"]).await.expect(0).json()["items"], json!([]));
    let stock = server.imprint(&["image", "list", "--scope", "stock"]).await.expect(0).json();
    assert_eq!(stock["items"][0]["name"], "Debian");

    let stop = ["instance", "stop", "web-1", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&stop), server.agent.work(Outcome::Done));
    ran.expect(0);
    let delete = ["instance", "delete", "web-1", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&delete), server.agent.work(Outcome::Done));
    assert_eq!(ran.expect(0).json()["task"]["kind"], "instance.delete");
    assert_eq!(server.imprint(&["instance", "list"]).await.expect(0).json()["items"], json!([]));
}

#[tokio::test]
async fn the_exit_status_says_what_kind_of_failure_it_was() {
    let server = Server::start().await;
    let before = server.imprint(&["image", "list"]).await.expect(4);
    assert!(before.err().contains("imprint login"), "{}", before.err());
    let login = ["login", "--server", &server.url, "--account", "demo"];
    let wrong = server.imprint_with(&login, &[("IMPRINT_PASSWORD", "wrong")]).await.expect(3);
    assert!(wrong.err().contains("[sign_in_failed]"), "{}", wrong.err());
    assert!(!server.credentials().exists(), "nothing is kept of a sign-in that failed");
    server.login().await;

    // Wrong usage.
    server.imprint(&["image", "paint"]).await.expect(2);
    server.imprint(&["task", "show", "img_1"]).await.expect(2);
    server.imprint(&["image", "list", "--status", "broken"]).await.expect(2);
    // Refused, or not there: by name and by id the same.
    let unknown = server.imprint(&["image", "show", "nothing"]).await.expect(3);
    assert!(unknown.err().contains("imprint image list"), "{}", unknown.err());
    server.imprint(&["image", "show", "img_00000000-0000-0000-0000-000000000007"]).await.expect(3);
    let long = "a".repeat(129);
    let refused =
        server.imprint(&["instance", "create", "--image", "Debian", "--name", &long]).await.expect(3);
    assert!(refused.err().contains("[invalid_name]") && refused.err().contains("/name"), "{}", refused.err());
    // Failed.
    let create = ["instance", "create", "--image", "Debian", "--name", "web-1", "--wait"];
    let error = TaskError::new(TaskErrorCode::HypervisorStorageFull, "/var/lib/imprint has 1 B free");
    let (ran, ()) = tokio::join!(server.imprint(&create), server.agent.work(Outcome::Failed(error)));
    let failed = ran.expect(1);
    let said = failed.err();
    assert!(said.contains("on the hypervisor's disk. [hypervisor_storage_full]"), "{said}");
    assert!(said.contains("Contact the provider") && said.contains("reference tsk_"), "{said}");
    assert!(!said.contains("/var/lib"), "a customer reads no path: {said}");
    let nowhere = [("IMPRINT_SERVER", "http://127.0.0.1:1"), ("IMPRINT_TOKEN", "imp_x")];
    let unreachable = server.imprint_with(&["image", "list"], &nowhere).await.expect(1);
    assert!(unreachable.err().contains("cannot be reached"), "{}", unreachable.err());
}

#[tokio::test]
async fn a_token_is_kept_for_its_owner_and_its_server_alone() {
    let server = Server::start().await;
    server.login().await;
    let file = std::fs::metadata(server.credentials()).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let elsewhere = server.imprint(&["image", "list", "--server", "http://127.0.0.1:1"]).await.expect(4);
    assert!(elsewhere.err().contains("kept token is for"), "{}", elsewhere.err());
    // Signing in again takes the place of the token before.
    let before = std::fs::read_to_string(server.credentials()).unwrap();
    server.login().await;
    let token =
        serde_json::from_str::<serde_json::Value>(&before).unwrap()["token"].as_str().unwrap().to_owned();
    let old = [("IMPRINT_TOKEN", token.as_str())];
    server.imprint_with(&["image", "list"], &old).await.expect(4);
    let kept = std::fs::read_to_string(server.credentials()).unwrap();
    assert!(!kept.contains(PASSWORD), "a password is never kept");

    server.imprint(&["logout"]).await.expect(0);
    assert!(!server.credentials().exists());
    server.imprint(&["logout"]).await.expect(0);
    let token =
        serde_json::from_str::<serde_json::Value>(&kept).unwrap()["token"].as_str().unwrap().to_owned();
    let revoked = [("IMPRINT_SERVER", server.url.as_str()), ("IMPRINT_TOKEN", token.as_str())];
    let refused = server.imprint_with(&["image", "list"], &revoked).await.expect(4);
    assert!(refused.err().contains("[unauthenticated]"), "{}", refused.err());
}

#[tokio::test]
async fn tasks_are_listed_cancelled_and_tried_again() {
    let server = Server::start().await;
    server.login().await;
    let made =
        server.imprint(&["instance", "create", "--image", "Debian", "--name", "web-1"]).await.expect(0);
    assert!(made.err().contains("imprint task watch"), "{}", made.err());
    let task = made.json()["task"]["id"].as_str().unwrap().to_owned();
    let queued =
        server.imprint(&["task", "list", "--state", "queued", "--instance", "web-1"]).await.expect(0).json();
    assert_eq!(queued["items"][0]["id"], task);
    let cancelled = server.imprint(&["task", "cancel", &task, "--wait"]).await.expect(0).json();
    assert_eq!(cancelled["state"], "cancelled");
    let retry = ["task", "retry", &task, "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&retry), server.agent.work(deployed()));
    assert_eq!(ran.expect(0).json()["state"], "succeeded");
    let watched = server.imprint(&["task", "watch", &task]).await.expect(0).json();
    assert_eq!(watched["checkpoint"], 100);
    let late = server.imprint(&["task", "cancel", &task]).await.expect(3);
    assert!(late.err().contains("[invalid_transition]"), "{}", late.err());
}

#[tokio::test]
async fn an_operator_merges_the_layers_of_a_disk() {
    let server = Server::start().await;
    server.imprint(&["login", "--server", &server.url, "--account", "admin"]).await.expect(0);
    let create = ["instance", "create", "--image", "Debian", "--name", "web-1", "--no-start", "--wait"];
    let off =
        Outcome::Deployed(DeployResult { power: Power::Off, disk_allocated: ByteSize::MIB, network: None });
    let (ran, ()) = tokio::join!(server.imprint(&create), server.agent.work(off));
    ran.expect(0);
    let coalesce = ["admin", "coalesce", "web-1", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&coalesce), server.agent.work(Outcome::Done));
    let task = &ran.expect(0).json()["task"];
    assert_eq!((&task["kind"], &task["state"]), (&json!("instance.coalesce"), &json!("succeeded")));
    let late = Outcome::Failed(TaskError::new(TaskErrorCode::CoalesceTimeout, "it took 61 s"));
    let (ran, ()) = tokio::join!(server.imprint(&coalesce), server.agent.work(late));
    let said = ran.expect(1).err();
    assert!(said.contains("send the request again") && said.contains("coalesce_timeout"), "{said}");
    assert!(said.contains("technical detail: it took 61 s"), "an admin reads the cause: {said}");

    let listed = server.imprint(&["admin", "location", "list"]).await.expect(0).json();
    let location = &listed["items"][0];
    assert_eq!(
        (&location["coalesce_before_capture"], &location["coalesce_timeout_s"]),
        (&json!(true), &json!(7200))
    );
    let name = location["name"].as_str().unwrap();
    let set = [
        "admin",
        "location",
        "set",
        name,
        "--coalesce-before-capture",
        "false",
        "--coalesce-timeout",
        "60",
        "--freeze-limit-ms",
        "500",
    ];
    let changed = server.imprint(&set).await.expect(0).json();
    assert_eq!(
        (&changed["coalesce_before_capture"], &changed["coalesce_timeout_s"]),
        (&json!(false), &json!(60))
    );
    assert_eq!((&location["freeze_limit_ms"], &changed["freeze_limit_ms"]), (&json!(2000), &json!(500)));
    assert_eq!(changed["images_enabled"], location["images_enabled"], "what is not given stays");
}

#[tokio::test]
async fn limits_are_set_by_number_and_by_size_and_removed() {
    let server = Server::start().await;
    server.imprint(&["login", "--server", &server.url, "--account", "admin"]).await.expect(0);
    let set = async |args: &[&str]| {
        let all = [&["admin"], args].concat();
        server.imprint(&all).await.expect(0).json()
    };
    let locations = server.imprint(&["admin", "location", "list"]).await.expect(0).json();
    let location = locations["items"][0]["name"].as_str().unwrap();
    let place =
        set(&["location", "set", location, "--image-limit", "20", "--image-bytes-limit", "500G"]).await;
    assert_eq!(place["default_image_limit"], 20);
    assert_eq!(place["default_image_bytes_limit"], 500_u64 << 30);
    let place = set(&["location", "set", location, "--image-bytes-limit", "none"]).await;
    assert_eq!(
        (&place["default_image_limit"], &place["default_image_bytes_limit"]),
        (&json!(20), &json!(null))
    );

    let made = server.imprint_with_input(
        &["admin", "account", "create", "shop", "--password-stdin", "--image-limit", "3"],
        "a long password\n",
    );
    let made = made.await.expect(0).json();
    assert_eq!((&made["role"], &made["image_limit"]), (&json!("customer"), &json!(3)));
    let changed =
        set(&["account", "set", "shop", "--image-limit", "none", "--image-bytes-limit", "1.5T"]).await;
    assert_eq!((&changed["image_limit"], &changed["image_bytes_limit"]), (&json!(null), &json!(3_u64 << 39)));
    let listed = set(&["account", "list"]).await;
    let shop = listed["items"].as_array().unwrap().iter().find(|account| account["name"] == "shop").unwrap();
    assert_eq!(shop["images_used"], 0);
    let wrong = server.imprint(&["admin", "account", "set", "shop", "--image-limit", "many"]).await;
    assert!(wrong.expect(2).err().contains("--image-limit"));
    let missing =
        server.imprint(&["admin", "account", "set", "nobody", "--image-limit", "1"]).await.expect(3);
    assert!(missing.err().contains("nobody"), "{}", missing.err());
}

#[tokio::test]
async fn errors_are_json_where_answers_are() {
    let server = Server::start().await;
    let error = |ran: &Ran| serde_json::from_str::<Value>(&ran.err()).unwrap()["error"].clone();
    let signed_out = server.imprint(&["image", "list", "-o", "json"]).await.expect(4);
    assert_eq!(error(&signed_out)["code"], "unauthenticated", "{}", signed_out.err());
    server.login().await;
    let missing = server.imprint(&["image", "show", "nothing", "-o", "json"]).await.expect(3);
    assert_eq!(error(&missing)["code"], "not_found");
    assert_eq!(error(&missing)["exit_status"], 3);
    let id = "img_00000000-0000-0000-0000-000000000007";
    let refused = server.imprint(&["image", "show", id, "-o", "json"]).await.expect(3);
    assert_eq!(error(&refused)["problem"]["status"], 404, "{}", refused.err());
    let text = server.imprint(&["image", "show", id]).await.expect(3);
    assert!(text.err().starts_with("error: "), "{}", text.err());
}

#[tokio::test]
async fn an_empty_variable_counts_as_unset() {
    let server = Server::start().await;
    server.login().await;
    let empty = [("IMPRINT_TOKEN", ""), ("IMPRINT_SERVER", "")];
    server.imprint_with(&["image", "list"], &empty).await.expect(0);
}

#[tokio::test]
async fn credentials_that_others_can_read_or_that_are_broken_are_explained() {
    let server = Server::start().await;
    server.login().await;
    std::fs::set_permissions(server.credentials(), PermissionsExt::from_mode(0o644)).unwrap();
    let warned = server.imprint(&["image", "list"]).await.expect(0);
    assert!(warned.err().starts_with("warning: ") && warned.err().contains("chmod 600"), "{}", warned.err());
    std::fs::write(server.credentials(), "{\"version\": 1,").unwrap();
    let broken = server.imprint(&["image", "list"]).await.expect(4);
    assert!(broken.err().contains("imprint login") && !broken.err().contains("EOF"), "{}", broken.err());
}

#[tokio::test]
async fn the_table_of_tasks_names_images_and_instances() {
    let server = Server::start().await;
    server.login().await;
    let create = ["instance", "create", "--image", "Debian", "--name", "web-1", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&create), server.agent.work(deployed()));
    ran.expect(0);
    let table = server.imprint(&["task", "list", "-o", "table"]).await.expect(0).out();
    let mut lines = table.lines();
    let headings = lines.next().unwrap();
    assert!(headings.contains("IMAGE") && headings.contains("INSTANCE"), "{table}");
    let deployed = lines.find(|line| line.starts_with("instance.deploy")).unwrap();
    assert!(deployed.contains("web-1") && deployed.contains(" 100 %"), "{table}");
    let hypervisors = server.imprint(&["hypervisor", "list"]).await.expect(0).json();
    assert_eq!(hypervisors["items"][0]["name"], "this-machine");
    let unknown = ["instance", "create", "--image", "Debian", "--name", "x", "--hypervisor", "nothing"];
    let unknown = server.imprint(&unknown).await.expect(3);
    assert!(unknown.err().contains("`imprint hypervisor list`"), "{}", unknown.err());
}

#[tokio::test]
async fn sizes_are_typed_with_units_and_fractions() {
    let server = Server::start().await;
    server.login().await;
    let create = ["instance", "create", "--image", "Debian", "--name", "web-1", "--memory", "1.5G"];
    let made = server.imprint(&create).await.expect(0).json();
    assert_eq!(made["instance"]["memory_bytes"], 3_u64 << 29);
    let wrong = ["instance", "create", "--image", "Debian", "--name", "web-2", "--memory", "99999999T"];
    let refused = server.imprint(&wrong).await.expect(2);
    assert!(refused.err().contains("`99999999T` is not a size"), "{}", refused.err());
}

#[tokio::test]
async fn images_are_tagged_found_and_protected() {
    let server = Server::start().await;
    server.login().await;
    let create = ["instance", "create", "--image", "Debian", "--name", "web-1", "--wait"];
    let (ran, ()) = tokio::join!(server.imprint(&create), server.agent.work(deployed()));
    ran.expect(0);
    let create =
        ["image", "create", "--from-instance", "web-1", "--name", "v1", "--tag", "web", "--tag", "env=test"];
    let made = server.imprint(&create).await.expect(0).json();
    assert_eq!(made["image"]["tags"], json!(["env=test", "web"]));
    server.agent.work(captured()).await;
    let found = async |args: &[&str]| {
        let list = server.imprint(&[&["image", "list"], args].concat()).await.expect(0).json();
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(found(&["--search", "WEB v1"]).await, 1);
    assert_eq!(found(&["--search", "v2"]).await, 0);
    assert_eq!(
        found(&["--tag", "WEB", "--tag", "env=test", "--status", "available", "--sort", "name"]).await,
        1
    );
    assert_eq!(found(&["--tag", "web", "--tag", "other"]).await, 0);
    assert_eq!(found(&["--source-instance", "web-1"]).await, 1);
    assert_eq!(found(&["--scope", "all", "--kind", "stock"]).await, 1);
    let table = server.imprint(&["image", "list", "-o", "table"]).await.expect(0).out();
    assert!(table.contains("TAGS") && table.contains("env=test, web"), "{table}");

    let update = |args: &[&'static str]| [&["image", "update", "v1"], args].concat();
    let changed = server
        .imprint(&update(&["--tag", "v2", "--description", "text", "--protect"]))
        .await
        .expect(0)
        .json();
    let seen = (&changed["tags"], &changed["description"], &changed["protected"], &changed["name"]);
    assert_eq!(seen, (&json!(["v2"]), &json!("text"), &json!(true), &json!("v1")));
    let refused = server.imprint(&["image", "delete", "v1"]).await.expect(3);
    assert!(refused.err().contains("[image_protected]"), "{}", refused.err());
    let cleared = server.imprint(&update(&["--no-tags", "--unprotect"])).await.expect(0).json();
    assert_eq!((&cleared["tags"], &cleared["protected"]), (&json!([]), &json!(false)));
    server.imprint(&update(&[])).await.expect(2);
    server.imprint(&update(&["--tag", "x", "--no-tags"])).await.expect(2);
    let wrong = server.imprint(&update(&["--tag", "a,b"])).await.expect(3);
    assert!(wrong.err().contains("/tags/0"), "{}", wrong.err());
    server.imprint(&["image", "delete", "v1"]).await.expect(0);
}

#[tokio::test]
async fn a_wrong_ssh_key_is_refused() {
    let server = Server::start().await;
    server.login().await;
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "not a key\n").unwrap();
    let path = keys.path().to_str().unwrap();
    let create = ["instance", "create", "--image", "Debian", "--name", "web-1", "--ssh-keys", path];
    let refused = server.imprint(&create).await.expect(3);
    assert!(refused.err().contains("key 1: `not` is not a type of key"), "{}", refused.err());
}

#[tokio::test]
async fn help_can_be_asked_for_as_a_command() {
    let server = Server::start().await;
    let all = server.imprint(&["help"]).await.expect(0).out();
    assert!(all.contains("Exit status") && all.contains("completions"), "{all}");
    let one = server.imprint(&["help", "disk", "convert"]).await.expect(0).out();
    assert!(one.contains("--from"), "{one}");
    let script = server.imprint(&["completions", "bash"]).await.expect(0).out();
    assert!(script.contains("imprint"), "{script}");
}

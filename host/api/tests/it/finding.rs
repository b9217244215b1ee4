//! Finding images, their tags and their protection, and SSH keys that no server accepts.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

async fn names(world: &World, query: &str) -> Vec<String> {
    let answer = world.customer.get(&format!("/images?sort=name&{query}")).await.expect(StatusCode::OK);
    let items = answer.body["items"].as_array().unwrap().clone();
    items.iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn images_are_found_by_words_tags_and_ids() {
    let world = World::new().await;
    let mut body = world.capture("Größe XL");
    body["tags"] = json!([" env=Production ", "web"]);
    let made = world.customer.post("/images", body).await.expect(StatusCode::ACCEPTED);
    assert_eq!(made.body["image"]["tags"], json!(["env=Production", "web"]));
    world.agent.work(crate::world::captured()).await;
    let plain = world.captured("plain").await;
    assert_eq!(names(&world, "q=GR%C3%96%20xl").await, ["Größe XL"]);
    assert_eq!(names(&world, "q=env%3D").await, ["Größe XL"]);
    assert_eq!(names(&world, "q=%20").await.len(), 2);
    assert_eq!(names(&world, "tag=WEB,env%3Dproduction").await, ["Größe XL"]);
    assert_eq!(names(&world, "tag=web,none").await, [""; 0]);
    assert_eq!(names(&world, &format!("source_instance_id={}&q=plain", world.instance)).await, ["plain"]);
    assert_eq!(names(&world, "scope=all&kind=stock").await, ["Debian"]);
    let ids = format!("scope=all&ids={plain},{}", world.stock_image);
    assert_eq!(names(&world, &ids).await, ["Debian", "plain"]);
    let answer = world.customer.get(&format!("/instances?ids={}", world.instance)).await;
    assert_eq!(answer.expect(StatusCode::OK).body["items"].as_array().unwrap().len(), 1);
    for (query, pointer) in [
        (format!("q={}", "x".repeat(129)), "?q"),
        ("q=a%07b".to_owned(), "?q"),
        ("q=a+b+c+d+e+f+g+h+i".to_owned(), "?q"),
        (format!("tag={}", "x".repeat(65)), "?tag"),
        ("kind=other".to_owned(), "?kind"),
        ("ids=ins_1".to_owned(), "?ids"),
        (format!("ids={}", vec![plain.as_str(); 101].join(",")), "?ids"),
        ("source_instance_id=img_1".to_owned(), "?source_instance_id"),
    ] {
        let refused = world.customer.get(&format!("/images?{query}")).await.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{}", refused.body);
    }
    // A page token belongs to its search.
    let first = world.customer.get("/images?q=e&limit=1").await.expect(StatusCode::OK);
    let token = first.text("/next_page_token");
    let other = format!("/images?q=x&limit=1&page_token={token}");
    world.customer.get(&other).await.expect_problem("page_token_invalid");
}

#[tokio::test]
async fn tags_and_protection_are_patched() {
    let world = World::new().await;
    let path = format!("/images/{}", world.captured("golden").await);
    let patch = async |body: Value| world.customer.patch(&path, body).await;
    let shown = patch(json!({"tags": ["b", "A"], "protected": true})).await.expect(StatusCode::OK);
    assert_eq!((&shown.body["tags"], &shown.body["protected"]), (&json!(["A", "b"]), &json!(true)));
    for (tags, pointer, part) in [
        (json!(["x", ""]), "/tags/1", "at least one visible character"),
        (json!(["a,b"]), "/tags/0", "commas"),
        (json!(["x".repeat(65)]), "/tags/0", "at most 64 characters"),
        (json!(["x", "X"]), "/tags", "given twice"),
        (json!((0..33).map(|number| number.to_string()).collect::<Vec<_>>()), "/tags", "at most 32 tags"),
        (json!([7]), "/tags/0", "expected"),
    ] {
        let refused = patch(json!({"tags": tags})).await.expect_problem("invalid_request");
        let at = refused.text("/errors/0/pointer");
        assert!(at == pointer || at == "/tags", "{}", refused.body);
        assert!(refused.text("/detail").contains(part), "{}", refused.body);
    }
    let refused = world.customer.delete(&path).await.expect_problem("image_protected");
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text("/detail").contains("switch its delete protection off"), "{}", refused.body);
    let cleared = patch(json!({"tags": null, "protected": false})).await.expect(StatusCode::OK);
    assert_eq!((&cleared.body["tags"], &cleared.body["protected"]), (&json!([]), &json!(false)));
    world.customer.delete(&path).await.expect(StatusCode::ACCEPTED);
    // Another account changes nothing.
    world.other.patch(&path, json!({"tags": ["theirs"]})).await.expect_problem("not_found");
}

/// S87: keys are set and removed one by one, and a refusal names the key.
#[tokio::test]
async fn metadata_is_patched_key_by_key() {
    let world = World::new().await;
    let path = format!("/images/{}", world.captured("golden").await);
    let patch = async |metadata: Value| world.customer.patch(&path, json!({ "metadata": metadata })).await;
    let shown = patch(json!({"ssh_user": "debian", "Team.name": "Web & Co"})).await.expect(StatusCode::OK);
    assert_eq!(shown.body["metadata"], json!({"ssh_user": "debian", "Team.name": "Web & Co"}));
    let shown = patch(json!({"ssh_user": null, "vm_mode": "virtio"})).await.expect(StatusCode::OK);
    assert_eq!(shown.body["metadata"], json!({"vm_mode": "virtio", "Team.name": "Web & Co"}));
    for (metadata, pointer, part) in [
        (json!({"vm_mode": "xen"}), "/metadata/vm_mode", "`hvm` or `virtio`"),
        (json!({"img_config_drive": "yes"}), "/metadata/img_config_drive", "`mandatory` or `optional`"),
        (json!({"ssh_user": "a b"}), "/metadata/ssh_user", "such as `debian`"),
        (json!({"a b": "c"}), "/metadata", "a key has 1 to 64"),
        (json!({"note": "v".repeat(256)}), "/metadata/note", "at most 255 characters"),
        (json!({"note": 7}), "/metadata/note", "expected"),
    ] {
        let refused = patch(metadata).await.expect_problem("invalid_request");
        let at = refused.text("/errors/0/pointer");
        assert!(at == pointer || at == "/metadata", "{}", refused.body);
        assert!(refused.text("/detail").contains(part), "{}", refused.body);
    }
    let cleared = world.customer.patch(&path, json!({"metadata": null})).await.expect(StatusCode::OK);
    assert_eq!(cleared.body["metadata"], json!({}));
    world.other.patch(&path, json!({"metadata": {"team": "theirs"}})).await.expect_problem("not_found");
}

#[tokio::test]
async fn a_failed_deletion_is_seen_on_the_image_and_repeated_by_deleting_it_again() {
    let world = World::new().await;
    let path = format!("/images/{}", world.captured("sticky").await);
    world.customer.delete(&path).await.expect(StatusCode::ACCEPTED);
    let failed = json!({"outcome": "failed", "code": "storage.read-only", "detail": "read-only"});
    world.agent.work(failed).await;
    let shown = world.customer.get(&path).await.expect(StatusCode::OK);
    let seen = (shown.text("/status"), &shown.body["removal_failed"]);
    assert_eq!(seen, ("deleting", &json!(true)), "{}", shown.body);
    assert!(shown.text("/status_text").contains("could not be removed"), "{}", shown.body);
    let browser = world.app.browser("customer").await;
    let delete = browser.request(Method::DELETE, &path).header("If-Match", shown.header("etag"));
    let again = browser.send(delete).await.expect(StatusCode::ACCEPTED);
    assert_eq!(
        (again.text("/task/state"), &again.body["image"]["removal_failed"]),
        ("queued", &json!(false))
    );
    world.agent.work(json!({"outcome": "done"})).await;
    world.customer.get(&path).await.expect_problem("not_found");
}

#[tokio::test]
async fn a_wrong_ssh_key_is_named_by_its_line() {
    let world = World::new().await;
    let valid = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me";
    let deploy = async |keys: Value| {
        let body = json!({"image_id": world.stock_image, "name": "web-2", "ssh_keys": keys});
        world.customer.post("/instances", body).await
    };
    for (keys, pointer, part) in [
        (json!([valid, "not a key"]), "/ssh_keys/1", "key 2: `not` is not a type of key"),
        (json!(["ssh-ed25519 ????"]), "/ssh_keys/0", "is not base64"),
        (
            json!(["ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"]),
            "/ssh_keys/0",
            "not a key of this type",
        ),
        (json!(["-----BEGIN OPENSSH PRIVATE KEY-----"]), "/ssh_keys/0", "private key"),
        (json!([format!("{valid}\n{valid}")]), "/ssh_keys/0", "one line"),
        (json!([""]), "/ssh_keys/0", "empty"),
        (json!(vec![valid; 33]), "/ssh_keys", "at most 32 keys"),
    ] {
        let refused = deploy(keys).await.expect_problem("invalid_request");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{}", refused.body);
        assert!(refused.text("/detail").contains(part), "{}", refused.body);
    }
    assert_eq!(world.customer.get("/instances").await.body["items"].as_array().unwrap().len(), 1);
    deploy(json!([valid])).await.expect(StatusCode::ACCEPTED);
}

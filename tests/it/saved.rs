//! A saved key and a saved script reach a real guest, and stay there when they are deleted.

use std::fs;

use anyhow::{Context, Result};
use imprint_tests::{client::id, server::Server};

use crate::command_line::Shell;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me";

#[tokio::test]
async fn a_guest_gets_the_saved_key_and_the_saved_script() -> Result<()> {
    let server = Server::demo().await?;
    let customer = server.customer().await?;
    customer.running_instance("demo-1").await?;
    let shell = Shell { server: &server };
    shell.json(&["login", "--account", "demo", "-o", "json"])?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = server.dir.path().join(name);
        fs::write(&path, text)?;
        Ok(path.to_str().context("a path is text")?.to_owned())
    };
    let key = file("id.pub", &format!("{KEY}\n"))?;
    let script = file("setup.sh", "#!/bin/sh\necho \"SAVED $(cat /root/.ssh/authorized_keys)\"\n")?;
    let key = shell.json(&["ssh-key", "create", "--name", "laptop", &key, "-o", "json"])?;
    assert_eq!(key["fingerprint"], "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA", "{key}");
    shell.json(&["user-script", "create", "--name", "setup", &script, "-o", "json"])?;
    let shown = shell.run(&["user-script", "show", "setup", "-o", "table"])?;
    assert!(String::from_utf8(shown.stdout)?.contains("echo \"SAVED"));
    let image = customer.get("/images?scope=stock").await?;
    let image = id(&image["items"][0]).to_owned();
    let create = ["instance", "create", "--image", &image, "--name", "with-saved"];
    let saved = ["--ssh-key", "laptop", "--user-script", "setup", "-o", "json"];
    let made = shell.json(&[&create[..], &saved].concat())?;
    // What is deleted while the instance is created is in it all the same.
    for delete in [["ssh-key", "delete", "laptop"], ["user-script", "delete", "setup"]] {
        let deleted = shell.run(&[&delete[..], &["--yes"]].concat())?;
        assert!(deleted.status.success(), "{deleted:?}");
    }
    customer.succeeded(&made["task"]).await?;
    let instance = id(&made["instance"]);
    let line = server.console_says(instance, "SAVED ").await?;
    assert!(line.contains(KEY), "{line}");
    server.console_says(instance, "BOOTED name=with-saved").await?;
    let gone = shell.run(&[&create[..], &["--ssh-key", "laptop"]].concat())?;
    assert_eq!(gone.status.code(), Some(3), "{gone:?}");
    Ok(())
}

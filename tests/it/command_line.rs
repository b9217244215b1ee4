//! The main job from the command line, as the README shows it.

use std::process::{Command, Output};

use anyhow::{Result, bail};
use imprint_tests::{
    binary,
    server::{DEMO_PASSWORD, Server},
};
use serde_json::Value;

/// Somebody's shell: a home of its own, signed in to a server.
pub(crate) struct Shell<'a> {
    pub(crate) server: &'a Server,
}

impl Shell<'_> {
    pub(crate) fn run(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary()?);
        command.args(args).env("IMPRINT_CREDENTIALS", self.server.dir.path().join("credentials"));
        Ok(command.env("IMPRINT_SERVER", &self.server.url).env("IMPRINT_PASSWORD", DEMO_PASSWORD).output()?)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        let output = self.run(args)?;
        if !output.status.success() {
            bail!("imprint {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

#[tokio::test]
async fn an_instance_is_captured_and_deployed_from_the_command_line() -> Result<()> {
    let server = Server::demo().await?;
    server.customer().await?.running_instance("demo-1").await?;
    let shell = Shell { server: &server };
    shell.json(&["login", "--account", "demo", "-o", "json"])?;
    let image = shell.json(&[
        "image",
        "create",
        "--from-instance",
        "demo-1",
        "--name",
        "production-web-server-v2",
        "--wait",
        "-o",
        "json",
    ])?;
    assert_eq!(image["image"]["status"], "available", "{image}");
    let second = shell.json(&[
        "instance",
        "create",
        "--image",
        "production-web-server-v2",
        "--name",
        "second",
        "--wait",
        "-o",
        "json",
    ])?;
    let second = &second["instance"];
    assert_eq!((&second["status"], &second["power"]), (&"ready".into(), &"running".into()), "{second}");
    let table = shell.run(&["image", "list", "-o", "table"])?;
    let table = String::from_utf8(table.stdout)?;
    assert!(table.contains("production-web-server-v2") && table.contains("available"), "{table}");

    let refused = shell.run(&["image", "create", "--from-instance", "demo-1", "--name", &"n".repeat(129)])?;
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("128"), "{refused:?}");
    let nothing = shell.run(&["instance", "create", "--image", "no-such-image", "--name", "x"])?;
    assert_eq!(nothing.status.code(), Some(3), "{nothing:?}");
    Ok(())
}

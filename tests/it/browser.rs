//! The panel does the main job, in a real browser against the real binary.

use std::process::Command;

use anyhow::Result;
use imprint_tests::{
    process::Process,
    server::{ADMIN_PASSWORD, DEMO_PASSWORD, Server},
};

/// Longest run of all the panel's tests.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(900);

#[tokio::test]
async fn an_instance_is_captured_and_deployed_in_the_panel() -> Result<()> {
    let server = Server::demo().await?;
    let customer = server.customer().await?;
    customer.running_instance("demo-1").await?;
    let web = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    let mut command = Command::new("npm");
    command.args(["run", "e2e"]).current_dir(web).env("CI", "true");
    command
        .env("IMPRINT_URL", &server.url)
        .env("IMPRINT_ACCOUNT", "demo")
        .env("IMPRINT_PASSWORD", DEMO_PASSWORD)
        .env("IMPRINT_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let start = std::time::Instant::now();
    let mut browser = Process::start(&mut command, &server.dir.path().join("browser.log"))?;
    // Playwright has its own limits for each test; this one is for Playwright.
    let status = loop {
        match imprint_tests::eventually("the browser's tests to end", async || browser.ended()).await {
            Ok(status) => break status,
            Err(_) if start.elapsed() < LONGEST => {}
            Err(error) => return Err(error.context(browser.log())),
        }
    };
    assert!(status.success(), "{}\n{}", browser.log(), server.logs());
    Ok(())
}

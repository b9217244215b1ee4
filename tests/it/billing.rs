//! What images and instances cost, from the first hour to the closed month, through the binary: the
//! command line, the API, and a server that is killed while it meters (S112 to S121, S137, X10).
//!
//! Weeks pass while the server is down: it is started again with another clock, as `faketime` shows
//! it one. Nothing else of it differs from any other server.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    client::{Client, id},
    eventually,
    server::{CONFIG, Server},
    tools,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Prices of a GiB-month, and of an hour of a virtual processor, a GiB of memory and one of disk.
const GB_MONTH: i128 = 1000;
const VCPU_HOUR: &str = "0.10";

/// A server whose clock the test sets at each start.
struct Story {
    server: Server,
    preload: String,
}

/// The variables of a server that starts at a time of universal time.
fn clock(preload: &str, at: &str) -> Vec<(&'static str, String)> {
    vec![
        ("LD_PRELOAD", preload.to_owned()),
        ("FAKETIME", format!("@{at}")),
        // Waiting is not part of the story: only the calendar is another one.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("TZ", "UTC".to_owned()),
    ]
}

impl Story {
    async fn start(at: &str) -> Result<Self> {
        let preload = tools::ok("faketime", &["-f", "+0", "printenv", "LD_PRELOAD"])?.trim().to_owned();
        let dir = Server::folder()?;
        // The month is closed by hand.
        fs::write(dir.path().join("billing.toml"), format!("{CONFIG}[billing]\nclose_after_days = 0\n"))?;
        let config = dir.path().join("billing.toml").display().to_string();
        let env = clock(&preload, at);
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Server::start_in(dir, &["--demo", "--config", &config], &env).await?;
        Ok(Self { server, preload })
    }

    /// Starts the server again, at a later time.
    async fn restart(&mut self, at: &str) -> Result<(Client, Client)> {
        let env = clock(&self.preload, at);
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let config = self.server.dir.path().join("billing.toml").display().to_string();
        self.server.restart(&["--demo", "--config", &config], &env).await?;
        Ok((self.server.customer().await?, self.server.admin().await?))
    }

    /// Waits until the hours that are over and not metered fit.
    async fn hours_behind(&self, fits: impl Fn(u64) -> bool) -> Result<u64> {
        let url = format!("{}/metrics", self.server.url);
        eventually("the hours to be metered", async || {
            let text = reqwest::get(&url).await?.error_for_status()?.text().await?;
            // Without a first hour, there is no figure to believe.
            ensure!(text.contains("imprint_billing_metered_until_seconds"), "{text}");
            let line = text.lines().find_map(|line| line.strip_prefix("imprint_billing_hours_behind "));
            let behind = line.context("the metric is there")?.parse()?;
            Ok(fits(behind).then_some(behind))
        })
        .await
    }
}

/// The line of an image or an instance that has a rate, in a section of a report.
fn line<'a>(report: &'a Value, section: &str, subject: &str) -> Result<&'a Value> {
    let lines = report[section]["lines"].as_array().context("a section has lines")?;
    let mut charged = lines.iter().filter(|line| line["subject_id"] == subject && !line["charge"].is_null());
    charged.next().with_context(|| format!("{subject}: {report}"))
}

fn cents(amount: &Value) -> Result<i128> {
    let text = amount.as_str().context("an amount is a text")?;
    let (whole, rest) = text.split_once('.').context("euros have cents")?;
    ensure!(rest.len() == 2, "{text}");
    Ok(format!("{whole}{rest}").parse()?)
}

/// What an image costs, from the terms of its explanation: bytes by milliseconds by rate, rounded
/// once, half away from zero.
fn recomputed(explained: &Value) -> Result<i128> {
    let terms = explained["terms"].as_array().context("an explanation has terms")?;
    let mut byte_milliseconds = 0;
    for term in terms {
        let bytes = term["bytes"].as_i64().context("an image has bytes")?;
        byte_milliseconds += i128::from(bytes) * i128::from(term["milliseconds"].as_i64().context("a time")?);
    }
    let whole = (1_i128 << 30) * 730 * 3_600_000;
    Ok((byte_milliseconds * GB_MONTH * 100 * 2 + whole) / (whole * 2))
}

/// All hours of the feed, by pages.
async fn fed(admin: &Client) -> Result<Vec<Value>> {
    let (mut cursor, mut all) = (String::new(), Vec::new());
    loop {
        let part = admin.get(&format!("/admin/billing/feed?limit=200{cursor}")).await?;
        all.extend(part["items"].as_array().context("a feed has items")?.iter().cloned());
        cursor = format!("&cursor={}", part["next_cursor"].as_str().context("the feed continues")?);
        if part["more"] == false {
            return Ok(all);
        }
    }
}

/// What the days of the story have in common.
struct Subjects {
    location: String,
    instance: String,
    vcpus: i64,
    image: String,
    /// What the image costs, as the report says it after its deletion.
    charge: Value,
}

impl Subjects {
    /// The command that sets a rate of the location.
    fn rate<'a>(&'a self, prices: &[&'a str]) -> Vec<&'a str> {
        [&["billing", "rate", "set", &self.location, "--currency", "EUR"], prices].concat()
    }
}

#[tokio::test]
async fn a_month_is_metered_closed_and_explained_whatever_kills_the_server() -> Result<()> {
    let mut story = Story::start("2027-02-10 08:30:00").await?;
    let mut subjects = rates_are_set(&mut story).await?;
    an_image_is_made(&mut story, &mut subjects).await?;
    a_day_later(&mut story, &mut subjects).await?;
    let (customer, admin) = weeks_later(&mut story, &subjects).await?;
    let report = the_month_is_closed(&story, &subjects, &customer, &admin).await?;
    a_correction_is_charged_later(&story, &report, &customer, &admin).await
}

async fn rates_are_set(story: &mut Story) -> Result<Subjects> {
    let (customer, admin) = (story.server.customer().await?, story.server.admin().await?);
    let locations = admin.get("/locations").await?;
    let location = locations["items"][0]["name"].as_str().context("a location has a name")?.to_owned();
    let instance = customer.running_instance("demo-1").await?;
    let vcpus = instance["vcpus"].as_i64().context("an instance has processors")?;
    let instance = id(&instance).to_owned();
    let subjects = Subjects { location, instance, vcpus, image: String::new(), charge: Value::Null };
    let gb_month = GB_MONTH.to_string();
    let images = story.server.run(&admin, &subjects.rate(&["--gb-month", &gb_month]))?;
    assert_eq!(images["effective_from"], "2027-02-10T09:00:00Z", "from the next hour on: {images}");
    let prices = ["--vcpu-hour", VCPU_HOUR, "--memory-gb-hour", "0", "--disk-gb-hour", "0"];
    story.server.run(&admin, &subjects.rate(&prices))?;
    story.server.process().stop().await?;
    Ok(subjects)
}

async fn an_image_is_made(story: &mut Story, subjects: &mut Subjects) -> Result<()> {
    let (customer, admin) = story.restart("2027-02-10 09:10:00").await?;
    customer.running_instance("demo-1").await?;
    story.server.console_says(&subjects.instance, "LEDGER seq=").await?;
    let (image, _) = customer.capture(&subjects.instance, "billed", json!({})).await?;
    id(&image).clone_into(&mut subjects.image);
    let past = subjects.rate(&["--gb-month", "1", "--from", "2027-02-10T09:00:00Z"]);
    let refused = story.server.run(&admin, &past).err().context("the hour has started")?;
    let said = format!("{refused:#}");
    ensure!(said.contains("2027-02-10T10:00:00Z"), "it says which hour is the next: {said}");
    story.server.process().kill()
}

/// A dearer rate changes nothing of what was, a budget stops a capture, and a deletion the clock.
async fn a_day_later(story: &mut Story, subjects: &mut Subjects) -> Result<()> {
    let (customer, admin) = story.restart("2027-02-11 10:30:00").await?;
    story.hours_behind(|behind| behind == 0).await?;
    story.server.run(&admin, &subjects.rate(&["--gb-month", "999999"]))?;
    let account = customer.get("/account").await?;
    let budget = format!("/admin/accounts/{}/budget", id(&account));
    let stop = json!({"currency": "EUR", "amount": "0.01"});
    let set = admin.send(Method::PUT, &budget, Some(&stop), &[]).await?;
    assert_eq!((set.status, &set.body["stopped"]), (StatusCode::OK, &json!(true)), "{set:?}");
    let capture = json!({"source": {"type": "instance", "id": subjects.instance}, "name": "too dear"});
    let refused = customer.send(Method::POST, "/images", Some(&capture), &[]).await?;
    assert_eq!(refused.body["code"], "budget_reached", "{refused:?}");
    let running = story.server.run(&customer, &["usage", "show"])?;
    ensure!(running["estimate"].is_object() && running["closed_at"].is_null(), "{running}");
    let deleted = customer.delete(&format!("/images/{}", subjects.image)).await?;
    customer.succeeded(&deleted["task"]).await?;
    let at_once = customer.get("/usage").await?;
    subjects.charge = line(&at_once, "images", &subjects.image)?["charge"].clone();
    story.server.process().kill()
}

/// The server is killed twice among the hours that it meters late.
async fn weeks_later(story: &mut Story, subjects: &Subjects) -> Result<(Client, Client)> {
    for (at, left) in [("2027-03-02 00:10:00", 300), ("2027-03-02 00:20:00", 100)] {
        story.restart(at).await?;
        let behind = story.hours_behind(|behind| behind < left).await?;
        ensure!(behind > 0, "it was killed too late to show anything");
        story.server.process().kill()?;
    }
    let (customer, admin) = story.restart("2027-03-02 00:30:00").await?;
    story.hours_behind(|behind| behind == 0).await?;
    let checked = story.server.run(&admin, &["billing", "reconcile", "--month", "2027-02"])?;
    assert_eq!(checked["differences"], 0, "{checked}");
    let hours = fed(&admin).await?;
    let keys: BTreeSet<_> =
        hours.iter().map(|hour| format!("{} {}", hour["hour"], hour["subject_id"])).collect();
    assert_eq!(keys.len(), hours.len(), "each hour once");
    let of_image = hours.iter().filter(|hour| hour["subject_id"] == subjects.image.as_str()).count();
    assert_eq!(of_image, 26, "from the 10th at 9 until the 11th at 10");
    let stranger = customer.send(Method::GET, "/admin/billing/feed", None, &[]).await?;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN);
    Ok((customer, admin))
}

async fn the_month_is_closed(
    story: &Story,
    subjects: &Subjects,
    customer: &Client,
    admin: &Client,
) -> Result<Value> {
    let open = customer.get("/usage?period=2027-02").await?;
    let closed = story.server.run(admin, &["billing", "month", "close", "2027-02"])?;
    ensure!(closed["closed_at"].is_string(), "{closed}");
    let report = story.server.run(customer, &["usage", "show", "--month", "2027-02"])?;
    assert_eq!((&report["images"], &report["totals"]), (&open["images"], &open["totals"]));
    let billed = line(&report, "images", &subjects.image)?;
    assert_eq!((&billed["deleted"], &billed["name"]), (&json!(true), &json!("billed")), "{billed}");
    assert_eq!(billed["charge"], subjects.charge, "its clock stood since the deletion");
    let line_id = billed["id"].as_str().context("a line has an id")?;
    let explained = story.server.run(customer, &["usage", "explain", line_id, "--month", "2027-02"])?;
    assert_eq!(cents(&billed["charge"]["amount"])?, recomputed(&explained)?, "{explained}");
    // From the 10th at 9, when the rate began, until the end of the month, at 10 cents an hour.
    let hours = i128::from(15 + 18 * 24);
    let of_instance = line(&report, "instances", &subjects.instance)?;
    let of_all = hours * i128::from(subjects.vcpus) * 10;
    assert_eq!(cents(&of_instance["charge"]["amount"])?, of_all, "{of_instance}");
    let mut sum = 0;
    for section in ["images", "instances"] {
        for line in report[section]["lines"].as_array().context("a section has lines")? {
            sum += if line["charge"].is_null() { 0 } else { cents(&line["charge"]["amount"])? };
        }
    }
    assert_eq!(cents(&report["totals"][0]["amount"])?, sum, "the total is the sum of the lines");
    Ok(report)
}

async fn a_correction_is_charged_later(
    story: &Story,
    report: &Value,
    customer: &Client,
    admin: &Client,
) -> Result<()> {
    let credit = ["billing", "adjust", "demo", "2027-02", "--currency", "EUR", "--reason", "an outage"];
    story.server.run(admin, &[&credit[..], &["-0.50"]].concat())?;
    assert_eq!(customer.get("/usage?period=2027-02").await?["totals"], report["totals"]);
    let running = customer.get("/usage").await?;
    assert_eq!(running["adjustments"][0]["charge"]["amount"], "-0.50", "{running}");
    let file = story.server.dir.path().join("february.csv");
    let mut export = story.server.command_line(customer)?;
    export.args(["usage", "export", "--month", "2027-02", "--format", "focus"]).arg(&file);
    ensure!(export.status()?.success(), "the file is written");
    ensure!(fs::read_to_string(&file)?.contains("BilledCost"), "the columns of FOCUS");
    Ok(())
}

//! What an hour of 100,000 images costs to meter, and what a report of 10,000 images costs, on both
//! databases: `cargo xtask bench --billing`. Nothing else runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made fails")]
#![expect(clippy::disallowed_methods, reason = "time is what is measured")]
#![expect(clippy::print_stdout, reason = "the table is the answer")]

#[path = "common/world.rs"]
mod world;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use chrono::{DurationRound, TimeDelta, Utc};
use imprint_domain::{
    billing::{Measure, UsageInterval, UsageSubject},
    id::{ImageId, UsageIntervalId},
    time::Timestamp,
};
use imprint_service::{Op, RateCreate, RateTermsRequest, UsagePeriod, UsageRequest};
use imprint_store::{
    Store, Target,
    billing::{
        interval,
        state::{self, BillingState},
    },
    testing::{self, PostgresServer, SqliteFolder},
};
use uuid::Uuid;

use crate::world::Opened;

/// Images of all accounts, of the account that is reported, and customers beside it.
const IMAGES: u32 = 100_000;
const REPORTED: u32 = 10_000;
const CUSTOMERS: u32 = 100;
/// Hours that are metered, one after the other, and times that the report is made.
const HOURS: i64 = 3;
const ROUNDS: usize = 7;
/// The longest that an hour and a report may take.
const HOUR_GOAL: Duration = Duration::from_secs(10);
const REPORT_GOAL: Duration = Duration::from_millis(200);

struct World {
    opened: Opened,
    customers: Vec<Op>,
}

/// Images that were there a day ago: 10,000 of the first account, the others of the others. In the
/// hours that are metered, one of 50 is deleted and one of 50 changes its size.
async fn fill(world: &World, target: &Target, from: Timestamp) {
    let store = Store::open(target).await.unwrap();
    let tx = store.write_tx().await.unwrap();
    for number in 0..IMAGES {
        let owner = if number < REPORTED { 0 } else { 1 + number % CUSTOMERS };
        let owner = &world.customers[usize::try_from(owner).unwrap()];
        let subject = UsageSubject::Image(ImageId::new(Uuid::from_u128(u128::from(number) + 1)));
        let bytes = u64::from(number % 5_000 + 1) << 23;
        let mut of_image = UsageInterval {
            id: UsageIntervalId::new(Uuid::from_u128(u128::from(number) + 1)),
            account_id: owner.account_id(),
            location_id: world.opened.location_id,
            subject,
            name: format!("image-{number}"),
            measure: Measure::Image { bytes },
            started_at: from - TimeDelta::hours(24),
            ended_at: None,
            ended_by: None,
        };
        if number % 50 < 2 {
            let at = from + TimeDelta::seconds(i64::from(number % 3_600));
            of_image.ended_at = Some(at);
            of_image.ended_by = Some(if number % 50 == 0 { "deleted" } else { "changed" }.parse().unwrap());
            if number % 50 == 1 {
                let id = UsageIntervalId::new(Uuid::from_u128(u128::from(number) + (1 << 40)));
                let measure = Measure::Image { bytes: bytes + 1 };
                let next = UsageInterval {
                    id,
                    measure,
                    started_at: at,
                    ended_at: None,
                    ended_by: None,
                    ..of_image.clone()
                };
                interval::insert(&tx, &next).await.unwrap();
            }
        }
        interval::insert(&tx, &of_image).await.unwrap();
    }
    let hour = from.timestamp().div_euclid(3_600);
    state::put(&tx, BillingState { sealed_until: hour, metered_until: hour }).await.unwrap();
    tx.commit().await.unwrap();
    testing::analyze(target).await.unwrap();
}

async fn open(target: &Target) -> World {
    let opened = world::open(target).await;
    let mut customers = Vec::new();
    for number in 0..=CUSTOMERS {
        let name = format!("customer-{number}");
        customers.push(world::account(&opened.service, &opened.admin, &name).await);
    }
    World { opened, customers }
}

/// Hours have a rate from the next one on only, so that the clock of the rate is set back here.
async fn rate(world: &World, target: &Target, from: Timestamp) {
    let request = RateCreate {
        location_id: world.opened.location_id,
        account_id: None,
        effective_from: None,
        terms: RateTermsRequest {
            kind: "image_storage".to_owned(),
            currency: "EUR".to_owned(),
            gb_month: Some("0.05".to_owned()),
            vcpu_hour: None,
            memory_gb_hour: None,
            disk_gb_hour: None,
            free_bytes: 10 << 30,
            hours_per_month: "730".to_owned(),
            gb: "gib".to_owned(),
            partial_hour: "pro_rata".to_owned(),
        },
    };
    let made = world.opened.service.rate_create(&world.opened.admin, request).await.unwrap();
    let store = Store::open(target).await.unwrap();
    let tx = store.write_tx().await.unwrap();
    let early = imprint_domain::billing::RateVersion { effective_from: from - TimeDelta::days(40), ..made };
    let early = imprint_domain::billing::RateVersion {
        id: imprint_domain::id::RateId::new(Uuid::from_u128(1)),
        ..early
    };
    imprint_store::billing::rate::put(&tx, &early).await.unwrap();
    tx.commit().await.unwrap();
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn measure(database: &str, target: Target) -> Vec<String> {
    let world = open(&target).await;
    let now = Utc::now();
    let from = now.duration_trunc(TimeDelta::hours(1)).unwrap() - TimeDelta::hours(HOURS);
    rate(&world, &target, from).await;
    fill(&world, &target, from).await;
    let mut missed = Vec::new();
    let started = Instant::now();
    let mut hours = 0;
    while hours < HOURS {
        hours += i64::from(world.opened.service.bill_once().await.unwrap().hours);
    }
    let hour = started.elapsed() / u32::try_from(hours).unwrap();
    println!("{database}: an hour of {IMAGES} images is metered in {:.2} s", hour.as_secs_f64());
    if hour > HOUR_GOAL {
        missed.push(format!("{database}: an hour"));
    }
    let mut times = Vec::new();
    let mut lines = 0;
    for _ in 0..ROUNDS {
        let request =
            UsageRequest { period: UsagePeriod::Current, account_id: None, location_id: None, section: None };
        let started = Instant::now();
        let reported = world.opened.service.usage_report(&world.customers[0], &request).await.unwrap();
        times.push(started.elapsed());
        lines = reported.report.lines.len();
    }
    let report = middle(&mut times);
    println!("{database}: a report with {lines} lines is made in {:.0} ms", report.as_secs_f64() * 1e3);
    if report > REPORT_GOAL {
        missed.push(format!("{database}: a report"));
    }
    missed
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut folder = SqliteFolder::new().unwrap();
    let mut missed = measure("SQLite", folder.fresh()).await;
    let mut server = PostgresServer::start().await.unwrap();
    missed.extend(measure("PostgreSQL", server.fresh().await.unwrap()).await);
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("slower than aimed at: {}", missed.join("; "));
    ExitCode::FAILURE
}

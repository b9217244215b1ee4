//! Billing: hours exactly once, reports, months, budgets (S112 to S121, S137, X10).

use std::{
    pin::pin,
    task::{Context, Poll},
};

use imprint_domain::{Code, Error, time::Environment as _};
use imprint_service::{
    AdjustmentCreate, PageRequest, RateCreate, RateEnd, RateTermsRequest, Service, UsagePeriod,
    UsageReported, UsageRequest,
};
use imprint_store::{
    Store,
    billing::{hour, state},
};

use crate::support::{World, database, settings};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

impl World {
    fn rate(&self, gb_month: &str) -> RateCreate {
        RateCreate {
            location_id: self.location.id,
            account_id: None,
            effective_from: None,
            terms: RateTermsRequest {
                kind: "image_storage".to_owned(),
                currency: "EUR".to_owned(),
                gb_month: Some(gb_month.to_owned()),
                vcpu_hour: None,
                memory_gb_hour: None,
                disk_gb_hour: None,
                free_bytes: 0,
                hours_per_month: "730".to_owned(),
                gb: "gib".to_owned(),
                partial_hour: "pro_rata".to_owned(),
            },
        }
    }

    async fn later(&self, seconds: i64) {
        self.environment.advance(seconds);
        self.agent.heartbeat(&[]).await.unwrap();
    }

    async fn usage(&self, period: UsagePeriod) -> UsageReported {
        let request = UsageRequest { period, account_id: None, location_id: None, section: None };
        self.service.usage_report(&self.customer, &request).await.unwrap()
    }

    /// All rows of the ledger, by pages of the feed.
    async fn fed(&self) -> Vec<String> {
        let (mut cursor, mut all) = (None, Vec::new());
        loop {
            let page = PageRequest { limit: Some(3), page_token: cursor };
            let part = self.service.billing_feed(&self.admin, &page).await.unwrap();
            all.extend(part.items.iter().map(|found| format!("{found:?}")));
            cursor = part.next_cursor;
            if !part.more {
                return all;
            }
        }
    }

    async fn differences(&self) -> u64 {
        self.service.billing_reconcile(&self.admin, None).await.unwrap().differences
    }
}

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

/// Runs a future until it was polled that often, then drops it, as a killed process would. Returns
/// whether it came to its end.
async fn killed_after<T>(future: impl Future<Output = T>, polls: u32) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context: &mut Context<'_>| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

pub(crate) async fn hours_are_metered_once_however_often_the_job_is_killed(world: World) {
    world.service.rate_create(&world.admin, world.rate("0.10")).await.unwrap();
    let kept = world.image("kept").await;
    let gone = world.image("gone").await;
    world.later(HOUR / 2).await;
    world.service.image_delete(&world.customer, gone, None).await.unwrap();
    world.later(3 * HOUR).await;
    let mut kills = 0;
    while !killed_after(world.service.bill_once(), kills).await {
        kills += 1;
        assert!(kills < 10_000, "it ends");
    }
    assert!(kills >= 10, "{kills} kills at different steps");
    let fed = world.fed().await;
    // Two images and the instance in the first hour, one less from the second on.
    let subjects = fed.len();
    assert_eq!(subjects, 3 + 2 + 2, "{fed:#?}");
    assert_eq!(world.differences().await, 0);
    world.service.bill_once().await.unwrap();
    assert_eq!(world.fed().await, fed, "nothing twice");
    assert!(fed.iter().any(|row| row.contains(&kept.to_string())));
}

pub(crate) async fn two_control_planes_meter_the_same_hours(world: World) {
    world.service.rate_create(&world.admin, world.rate("0.10")).await.unwrap();
    world.image("shared").await;
    let environment: std::sync::Arc<dyn imprint_domain::time::Environment> = world.environment.clone();
    let other = Service::open(&database(&world.target), settings(), environment).await.unwrap();
    world.later(5 * HOUR).await;
    let (first, second) = tokio::join!(world.service.bill_once(), other.bill_once());
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    // Late, and again.
    world.later(2 * DAY).await;
    for service in [&world.service, &other, &world.service] {
        service.bill_once().await.unwrap();
    }
    let store = Store::open(&world.target).await.unwrap();
    let found = state::get(&store.read()).await.unwrap().unwrap();
    assert_eq!(found.metered_until, world.environment.now().timestamp().div_euclid(HOUR));
    assert_eq!(found.sealed_until, found.metered_until);
    for hour in found.metered_until - 48..found.metered_until {
        assert_eq!(hour::count(&store.read(), hour).await.unwrap(), 2, "the image and the instance");
    }
    assert_eq!(world.differences().await, 0);
}

pub(crate) async fn a_deleted_image_stays_in_the_report_and_its_clock_stands(world: World) {
    world.service.rate_create(&world.admin, world.rate("1000")).await.unwrap();
    world.later(HOUR).await;
    let id = world.image("billed").await;
    world.later(2 * HOUR).await;
    world.service.image_delete(&world.customer, id, None).await.unwrap();
    let at_once = world.usage(UsagePeriod::Current).await.report;
    world.later(10 * HOUR).await;
    let later = world.usage(UsagePeriod::Current).await;
    let line = later.report.lines.iter().find(|line| line.subject.to_string() == id.to_string()).unwrap();
    assert!(line.deleted && line.name == "billed", "{line:?}");
    // 5 MiB for two hours at 1000 EUR: 5 / 1024 * 1000 * 2 / 730 = 0.0134 EUR.
    assert_eq!(line.charge.unwrap().amount(), "0.01");
    assert!(at_once.lines.iter().any(|before| before.id() == line.id() && before.charge == line.charge));
    let request =
        UsageRequest { period: UsagePeriod::Current, account_id: None, location_id: None, section: None };
    let explained = world.service.usage_explain(&world.customer, &request, &line.id()).await.unwrap();
    assert_eq!(explained.explanation.line, *line);
    assert_eq!(explained.explanation.terms.iter().map(|term| term.ms).sum::<u64>(), 2 * 3_600_000);
    assert!(later.to_csv().contains("billed") && later.to_focus().contains("billed"));
    let foreign = UsageRequest { account_id: Some(world.customer.account_id()), ..request };
    assert_eq!(code(world.service.usage_report(&world.other, &foreign).await), Some(Code::NotFound));
    assert!(world.service.usage_report(&world.admin, &foreign).await.is_ok());
}

pub(crate) async fn a_rate_never_changes_what_was(world: World) {
    let first = world.service.rate_create(&world.admin, world.rate("0.10")).await.unwrap();
    assert!(first.effective_from > world.environment.now());
    let past = RateCreate { effective_from: Some(first.effective_from), ..world.rate("9") };
    let replaced = world.service.rate_create(&world.admin, past.clone()).await.unwrap();
    let listed = world.service.rate_list(&world.admin, Some(world.location.id)).await.unwrap();
    assert_eq!(listed, [replaced], "one for an hour, as long as it has not begun");
    world.later(2 * HOUR).await;
    assert_eq!(code(world.service.rate_create(&world.admin, past).await), Some(Code::RateInPast));
    assert_eq!(
        code(world.service.rate_create(&world.customer, world.rate("1")).await),
        Some(Code::Forbidden)
    );
}

pub(crate) async fn the_rate_of_an_account_ends(world: World) {
    let (service, admin) = (&world.service, &world.admin);
    let end = RateEnd {
        location_id: world.location.id,
        account_id: Some(world.customer.account_id()),
        kind: "image_storage".to_owned(),
        effective_from: None,
    };
    assert_eq!(code(service.rate_end(admin, end.clone()).await), Some(Code::NotFound), "there is none");
    service.rate_create(admin, world.rate("1000")).await.unwrap();
    let own = RateCreate { account_id: end.account_id, ..world.rate("500") };
    service.rate_create(admin, own).await.unwrap();
    assert_eq!(code(service.rate_end(&world.customer, end.clone()).await), Some(Code::Forbidden));
    let odd = RateEnd { kind: "images".to_owned(), ..end.clone() };
    assert_eq!(code(service.rate_end(admin, odd).await), Some(Code::InvalidRequest));
    world.later(HOUR).await;
    let id = world.image("twice").await;
    world.later(2 * HOUR).await;
    let ended = service.rate_end(admin, end.clone()).await.unwrap();
    assert!(ended.ends && ended.effective_from > world.environment.now(), "{ended:?}");
    world.later(3 * HOUR).await;
    let report = world.usage(UsagePeriod::Current).await.report;
    let lines = report.lines.iter().filter(|line| line.subject.to_string() == id.to_string());
    let prices: Vec<_> = lines.map(|line| line.rate.as_ref().unwrap().terms.to_string()).collect();
    assert_eq!(prices.len(), 2, "{prices:?}");
    assert!(prices[0].starts_with("500") && prices[1].starts_with("1000"), "{prices:?}");
    assert_eq!(code(service.rate_end(admin, end).await), Some(Code::NotFound), "it has ended");
}

pub(crate) async fn a_closed_month_changes_by_adjustments_only(world: World) {
    world.service.rate_create(&world.admin, world.rate("1000")).await.unwrap();
    let id = world.image("monthly").await;
    let month = "2026-01".parse().unwrap();
    assert_eq!(code(world.service.month_close(&world.admin, "2026-01").await), Some(Code::InvalidTransition));
    world.later(32 * DAY).await;
    let early = world.service.month_close(&world.admin, "2026-01").await;
    assert_eq!(code(early), Some(Code::InvalidTransition), "not metered yet");
    while world.service.bill_once().await.unwrap().hours > 0 {}
    let open = world.usage(UsagePeriod::Month(month)).await.report;
    let closed = world.service.month_close(&world.admin, "2026-01").await.unwrap();
    assert_eq!(closed.closed_by, Some(world.admin.account_id()));
    assert_eq!(world.service.month_close(&world.admin, "2026-01").await.unwrap(), closed, "once");
    let frozen = world.usage(UsagePeriod::Month(month)).await;
    assert_eq!((frozen.report.lines, frozen.closed_at), (open.lines, closed.closed_at));
    assert!(frozen.report.totals.iter().next().is_some(), "{id} costs something");
    let checked = world.service.billing_reconcile(&world.admin, Some("2026-01")).await.unwrap();
    assert_eq!(checked.differences, 0, "{checked:?}");
    assert!(checked.lines > 0 && checked.hours > 700, "{checked:?}");
    let credit = AdjustmentCreate {
        account_id: world.customer.account_id(),
        corrects: "2026-01".to_owned(),
        currency: "EUR".to_owned(),
        amount: "-1.00".to_owned(),
        reason: "an outage".to_owned(),
    };
    let too_early = AdjustmentCreate { corrects: "2026-02".to_owned(), ..credit.clone() };
    assert_eq!(
        code(world.service.adjustment_create(&world.admin, too_early).await),
        Some(Code::InvalidTransition)
    );
    world.service.adjustment_create(&world.admin, credit).await.unwrap();
    let after = world.usage(UsagePeriod::Month(month)).await.report;
    assert_eq!(after.totals, frozen.report.totals, "the closed month stays");
    let current = world.usage(UsagePeriod::Current).await.report;
    assert_eq!(current.adjustments.len(), 1);
}

pub(crate) async fn a_month_is_closed_by_itself_once_it_can_be_corrected_no_more(world: World) {
    world.service.rate_create(&world.admin, world.rate("1000")).await.unwrap();
    world.image("monthly").await;
    // The month is over; it can be looked at for three more days.
    world.later(32 * DAY).await;
    assert_eq!(world.service.bill_once().await.unwrap().months, 0);
    world.later(3 * DAY).await;
    let done = world.service.bill_once().await.unwrap();
    assert_eq!((done.hours, done.months), (72, 1), "the hours of the days first, then the month");
    assert_eq!(world.service.bill_once().await.unwrap().months, 0, "once");
    let months = world.service.month_list(&world.admin).await.unwrap();
    let closed: Vec<_> = months.iter().filter(|month| month.closed_at.is_some()).collect();
    assert!(matches!(closed[..], [month] if month.closed_by.is_none()), "by no admin: {months:?}");
    assert_eq!(world.differences().await, 0);
}

pub(crate) async fn a_used_up_budget_refuses_new_images(world: World) {
    world.service.rate_create(&world.admin, world.rate("100000")).await.unwrap();
    world.image("dear").await;
    world.later(3 * HOUR).await;
    let account = world.customer.account_id();
    assert_eq!(
        code(world.service.budget_stop(&world.customer, account, "EUR", Some("1")).await),
        Some(Code::Forbidden)
    );
    let set = world.service.budget_stop(&world.admin, account, "EUR", Some("0.50")).await.unwrap();
    assert!(set.stopped, "{set:?}");
    let refused = world.service.image_capture(&world.customer, world.capture_request("more")).await;
    assert_eq!(code(refused), Some(Code::BudgetReached));
    let import = world.upload("more", 1 << 20);
    assert_eq!(code(world.service.image_import(&world.customer, import).await), Some(Code::BudgetReached));
    world.service.budget_stop(&world.admin, account, "EUR", Some("5000")).await.unwrap();
    world.service.image_capture(&world.customer, world.capture_request("more")).await.unwrap();
    let notified = world.service.budget_notify(&world.customer, "EUR", Some("0.10")).await.unwrap();
    assert!(!notified.stopped && notified.notify.as_deref() == Some("0.10"), "{notified:?}");
    let other = world.service.budget_notify(&world.customer, "USD", Some("1")).await;
    assert_eq!(code(other), Some(Code::InvalidRequest), "one currency for both amounts");
}

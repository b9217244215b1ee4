//! `imprint usage ...` and `imprint billing ...`.

use std::fs;

use imprint_api::dto::{
    billing::{
        Adjustment, AdjustmentCreate, BillingMonth, BillingMonths, Feed, Rate, RateCreate, RateEnd,
        RatePreview, RatePreviewRequest, RateTerms, Rates, Reconciliation,
    },
    usage::{Budget, BudgetUpdate, Money, UsageDays, UsageExplanation, UsageReport},
};
use imprint_domain::id::{AccountId, LocationId};
use reqwest::Method;

use super::{
    api::Api,
    args::{
        BillingArgs, BillingCommand, MonthCommand, PeriodArgs, RateArgs, RateCommand, RateKindArg,
        TableFormat, UsageArgs, UsageCommand,
    },
    failure::Failure,
    find,
    output::{Output, text, time},
    table::Table,
};
use crate::terminal::note;

fn money(amounts: &[Money]) -> String {
    let each: Vec<_> = amounts.iter().map(|money| format!("{} {}", money.amount, money.currency)).collect();
    text((!each.is_empty()).then(|| each.join(", ")))
}

fn query(period: &PeriodArgs) -> Vec<(&'static str, String)> {
    let month = period.month.clone().map(|month| ("period", month));
    let account = period.account.clone().map(|account| ("account_id", account));
    month.into_iter().chain(account).collect()
}

pub(crate) async fn usage(args: UsageArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        UsageCommand::Show { period } => show(&api, output, &period).await,
        UsageCommand::Explain { line, period } => explain(&api, output, line, &period).await,
        UsageCommand::Days { period } => {
            let days: UsageDays = api.get("/usage/days", &query(&period)).await?;
            output.print(&days, || {
                let rows = days.items.iter().map(|day| {
                    [day.date.clone(), day.stored_gib.clone(), day.gib_hours.clone(), money(&day.charges)]
                });
                Table::list(["DAY", "STORED GIB", "GIB-HOURS", "COST"], rows, "no days")
            })
        }
        UsageCommand::Export { file, format, period } => {
            let mut query = query(&period);
            let format = match format {
                TableFormat::Csv => "csv",
                TableFormat::Focus => "focus",
            };
            query.push(("format", format.to_owned()));
            let response = api.send(api.request(Method::GET, "/usage").query(&query)).await?;
            let table = response.bytes().await.map_err(|error| api.unreachable(error))?;
            fs::write(&file, table).map_err(|error| Failure::local("cannot write the file", error))?;
            note("the report is written");
            Ok(())
        }
        UsageCommand::Budget { notify, currency } => {
            let budget: Budget = match currency {
                Some(currency) => {
                    let amount = notify.filter(|amount| amount != "none");
                    let request = api.request(Method::PUT, "/usage/budget");
                    api.once(request.json(&BudgetUpdate { currency, amount })).await?
                }
                None => api.get("/usage/budget", &[]).await?,
            };
            output.print(&budget, || {
                Table::details([
                    ("currency", text(budget.currency.as_ref())),
                    ("notified at", text(budget.notify_amount.as_ref())),
                    ("new images stop at", text(budget.stop_amount.as_ref())),
                    ("month", text(budget.month.as_ref())),
                    ("spent", text(budget.spent.as_ref())),
                ])
            })
        }
    }
}

async fn show(api: &Api, output: Output, period: &PeriodArgs) -> Result<(), Failure> {
    let report: UsageReport = api.get("/usage", &query(period)).await?;
    output.print(&report, || {
        let lines = report.images.lines.iter().chain(&report.instances.lines).map(|line| {
            let name = if line.deleted { format!("{} (deleted)", line.name) } else { line.name.clone() };
            [
                line.kind.clone(),
                name,
                text(line.gb_hours.as_ref().or(line.hours.as_ref())),
                text(line.gb_months.as_ref()),
                text(line.rate.as_ref()),
                line.charge.as_ref().map_or_else(|| money(&[]), |charge| money(std::slice::from_ref(charge))),
                line.id.clone(),
            ]
        });
        let adjustments = report.adjustments.iter().map(|found| {
            let (charge, none) = (money(std::slice::from_ref(&found.charge)), || "-".to_owned());
            ["adjustment".to_owned(), found.reason.clone(), none(), none(), none(), charge, found.id.clone()]
        });
        let total = ["total", "", "", "", ""].map(str::to_owned);
        let [a, b, c, d, e] = total;
        let total = [a, b, c, d, e, money(&report.totals), String::new()];
        let headings = ["KIND", "NAME", "GB-HOURS / HOURS", "GB-MONTHS", "RATE", "CHARGE", "LINE"];
        Table::list(headings, lines.chain(adjustments).chain([total]), "no usage")
    })
}

async fn explain(api: &Api, output: Output, line: String, period: &PeriodArgs) -> Result<(), Failure> {
    let mut query = query(period);
    query.push(("line", line));
    let found: UsageExplanation = api.get("/usage/explain", &query).await?;
    output.print(&found, || {
        let terms = found.terms.iter().map(|term| ("term", term.formula.clone()));
        let rest = [
            ("formula", text(found.formula.as_ref())),
            ("exact", text(found.exact.as_ref())),
            ("charge", text(found.line.charge.as_ref().map(|charge| money(std::slice::from_ref(charge))))),
            ("rounding", found.rounding.clone()),
        ];
        Table::details(terms.chain(rest))
    })
}

pub(crate) async fn billing(args: BillingArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        BillingCommand::Rate(command) => rate(&api, output, command).await,
        BillingCommand::Month(command) => month(&api, output, command).await,
        BillingCommand::Adjust { account, month, amount, currency, reason } => {
            let account_id = find::account(&api, &account).await?;
            let request = AdjustmentCreate { account_id, corrects: month, currency, amount, reason };
            let made: Adjustment = api.create("/admin/billing/adjustments", &request).await?;
            output.print(&made, || {
                Table::details([
                    ("charged in", made.charged_in.clone()),
                    ("amount", money(std::slice::from_ref(&made.charge))),
                    ("id", made.id.clone()),
                ])
            })
        }
        BillingCommand::Reconcile { month } => {
            let query: Vec<_> = month.into_iter().map(|month| ("period", month)).collect();
            let found: Reconciliation = api.get("/admin/billing/reconciliation", &query).await?;
            output.print(&found, || {
                let rows = found.items.iter().map(|item| {
                    [
                        item.kind.clone(),
                        item.about.clone(),
                        text(item.expected.as_ref()),
                        text(item.found.as_ref()),
                        item.account_id.to_string(),
                    ]
                });
                Table::list(["KIND", "ABOUT", "EXPECTED", "FOUND", "ACCOUNT"], rows, "no differences")
            })
        }
        BillingCommand::Feed { cursor, limit } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let feed: Feed = api.get("/admin/billing/feed", &query).await?;
            output.print(&feed, || {
                let rows = feed.items.iter().map(|hour| {
                    [
                        time(Some(hour.hour)),
                        hour.name.clone(),
                        hour.quantity.clone(),
                        text(hour.amount.as_ref()),
                        hour.subject_id.clone(),
                    ]
                });
                Table::list(["HOUR", "NAME", "QUANTITY", "AMOUNT", "ID"], rows, "no more hours")
            })
        }
    }
}

async fn month(api: &Api, output: Output, command: MonthCommand) -> Result<(), Failure> {
    let row = |month: &BillingMonth| [month.month.clone(), month.time_zone.clone(), time(month.closed_at)];
    let headings = ["MONTH", "TIME ZONE", "CLOSED"];
    match command {
        MonthCommand::List => {
            let months: BillingMonths = api.get("/admin/billing/months", &[]).await?;
            output.print(&months, || Table::list(headings, months.items.iter().map(row), "no usage yet"))
        }
        MonthCommand::Close { month } => {
            let path = format!("/admin/billing/months/{month}/close");
            let closed: BillingMonth = api.once(api.request(Method::POST, &path)).await?;
            output.print(&closed, || Table::list(headings, [row(&closed)], ""))
        }
    }
}

fn terms(args: &RateArgs) -> RateTerms {
    let kind = if args.gb_month.is_some() { "image_storage" } else { "instance" };
    RateTerms {
        kind: kind.to_owned(),
        currency: args.currency.clone(),
        gb_month: args.gb_month.clone(),
        vcpu_hour: args.vcpu_hour.clone(),
        memory_gb_hour: args.memory_gb_hour.clone(),
        disk_gb_hour: args.disk_gb_hour.clone(),
        free_bytes: args.free_bytes,
        hours_per_month: args.hours_per_month.clone(),
        gb: args.gb.clone(),
        partial_hour: args.partial_hour.clone(),
    }
}

/// Finds the location of a rate, and its account.
async fn subject(
    api: &Api,
    location: &str,
    account: Option<&str>,
) -> Result<(LocationId, Option<AccountId>), Failure> {
    let location_id = find::location(api, location).await?;
    let account_id = match account {
        Some(account) => Some(find::account(api, account).await?),
        None => None,
    };
    Ok((location_id, account_id))
}

async fn rate(api: &Api, output: Output, command: RateCommand) -> Result<(), Failure> {
    match command {
        RateCommand::List => {
            let rates: Rates = api.get("/admin/billing/rates", &[]).await?;
            output.print(&rates, || Table::list(RATE_HEADINGS, rates.items.iter().map(rate_row), "no rates"))
        }
        RateCommand::Set { terms: args, from } => {
            let (location_id, account_id) = subject(api, &args.location, args.account.as_deref()).await?;
            let request = RateCreate { location_id, account_id, effective_from: from, terms: terms(&args) };
            let made: Rate = api.create("/admin/billing/rates", &request).await?;
            output.print(&made, || Table::list(RATE_HEADINGS, [rate_row(&made)], ""))
        }
        RateCommand::End { location, account, kind, from } => {
            let (location_id, account_id) = subject(api, &location, account.as_deref()).await?;
            let kind = match kind {
                RateKindArg::Images => "image_storage",
                RateKindArg::Instances => "instance",
            };
            let request = RateEnd { location_id, account_id, kind: kind.to_owned(), effective_from: from };
            let made: Rate = api.create("/admin/billing/rates/end", &request).await?;
            output.print(&made, || Table::list(RATE_HEADINGS, [rate_row(&made)], ""))
        }
        RateCommand::Preview { terms: args, month } => {
            let (location_id, account_id) = subject(api, &args.location, args.account.as_deref()).await?;
            let request = RatePreviewRequest { month, location_id, account_id, terms: terms(&args) };
            let request = api.request(Method::POST, "/admin/billing/rates/preview").json(&request);
            let found: RatePreview = api.once(request).await?;
            output.print(&found, || {
                let rows = found
                    .accounts
                    .iter()
                    .map(|account| [account.name.clone(), money(&account.charged), money(&account.would_be)]);
                let all = ["all".to_owned(), money(&found.charged), money(&found.would_be)];
                Table::list(["ACCOUNT", "CHARGED", "WOULD BE"], rows.chain([all]), "no usage")
            })
        }
    }
}

const RATE_HEADINGS: [&str; 6] = ["FROM", "FOR", "RATE", "ACCOUNT", "LOCATION", "ID"];

fn rate_row(rate: &Rate) -> [String; 6] {
    let RateTerms { currency, gb_month, vcpu_hour, memory_gb_hour, disk_gb_hour, .. } = &rate.terms;
    let (for_what, prices) = match gb_month {
        Some(price) => ("images", format!("{price} {currency} a GB-month")),
        None => {
            let [vcpu, memory, disk] =
                [vcpu_hour, memory_gb_hour, disk_gb_hour].map(|price| text(price.as_ref()));
            let prices =
                format!("{vcpu} a vCPU, {memory} a GB of memory, {disk} a GB of disk, {currency} an hour");
            ("instances", prices)
        }
    };
    [
        time(Some(rate.effective_from)),
        for_what.to_owned(),
        if rate.ends { "ends".to_owned() } else { prices },
        rate.account_id.map_or_else(|| "all".to_owned(), |id| id.to_string()),
        rate.location_id.to_string(),
        rate.id.clone(),
    ]
}

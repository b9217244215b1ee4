//! The usage report of an account, its days, and the explanation of a line.

use imprint_domain::{
    Code, Error,
    billing::{
        Day, Explanation, Line, LineSubject, Period, Report, ReportInput, UsageSubject,
        csv::{Names, csv},
        days, explain,
        focus::focus,
        report,
    },
    id::{AccountId, LocationId},
    time::Timestamp,
};

use super::read;
use crate::{Op, Service, auth::account};

/// The period of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsagePeriod {
    /// The current month.
    Current,
    /// A month.
    Month(imprint_domain::billing::Month),
    /// From a time until before another one.
    Between(Period),
}

impl UsagePeriod {
    /// Reads the period of a request.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for what is no month or no period, and for both at once.
    pub fn of_request(
        month: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let invalid = |text: &str, pointer: &str| Err(Error::new(Code::InvalidRequest, text).at(pointer));
        match (month, from, to) {
            (None, None, None) => Ok(Self::Current),
            (Some(month), None, None) => Ok(Self::Month(read::month_of(month, "?period")?)),
            (None, Some(from), Some(to)) => Period::between(from, to)
                .map(Self::Between)
                .map_err(|error| Error::new(Code::InvalidRequest, error).at("?to")),
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                invalid("give a month, or `from` and `to`, not both", "?period")
            }
            (None, Some(_), None) => invalid("`to` is required with `from`", "?to"),
            (None, None, Some(_)) => invalid("`from` is required with `to`", "?from"),
        }
    }
}

/// A section of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageSectionKind {
    /// Images.
    Images,
    /// Instances.
    Instances,
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRequest {
    /// The period.
    pub period: UsagePeriod,
    /// The account; `None` for that of the actor.
    pub account_id: Option<AccountId>,
    /// The location, if only one is reported.
    pub location_id: Option<LocationId>,
    /// The section, if only one is reported.
    pub section: Option<UsageSectionKind>,
}

impl UsageRequest {
    fn takes(&self, location: LocationId, is_instance: bool) -> bool {
        let section = match self.section {
            Some(UsageSectionKind::Images) => !is_instance,
            Some(UsageSectionKind::Instances) => is_instance,
            None => true,
        };
        section && self.location_id.is_none_or(|id| id == location)
    }

    const fn is_whole(&self) -> bool {
        self.location_id.is_none() && self.section.is_none()
    }

    fn takes_line(&self, line: &Line) -> bool {
        let is_instance = matches!(line.subject, LineSubject::Instance(_));
        self.takes(line.location_id, is_instance)
    }
}

/// A report with the names of what it is about.
#[derive(Clone, Debug)]
pub struct UsageReported {
    /// The account.
    pub account_id: AccountId,
    /// The report.
    pub report: Report,
    /// The names of its account and of locations.
    pub names: Names,
    /// When the month was closed; `None` while it is open.
    pub closed_at: Option<Timestamp>,
}

impl UsageReported {
    /// Returns the report as a table of values separated by commas (RFC 4180).
    pub fn to_csv(&self) -> String {
        csv(&self.report, &self.names)
    }

    /// Returns the report with the columns of the FinOps Open Cost and Usage Specification.
    pub fn to_focus(&self) -> String {
        focus(&self.report, &self.names)
    }

    /// Returns the period in a form for the name of a file.
    pub fn label(&self) -> String {
        let period = self.report.period;
        match period.month {
            Some(month) => month.to_string(),
            None => format!("{}-{}", period.from.format("%Y%m%d%H%M"), period.to.format("%Y%m%d%H%M")),
        }
    }
}

/// The days of a period.
#[derive(Clone, Debug)]
pub struct UsageDaysView {
    /// The period.
    pub period: Period,
    /// The name of the time zone.
    pub time_zone: String,
    /// The days.
    pub days: Vec<Day>,
}

/// An explanation with the names of locations.
#[derive(Clone, Debug)]
pub struct UsageExplained {
    /// The explanation.
    pub explanation: Explanation,
    /// The names.
    pub names: Names,
    /// The name of the time zone.
    pub time_zone: String,
}

impl Service {
    fn usage_period(&self, period: UsagePeriod) -> Period {
        let zone = self.settings().billing_zone;
        match period {
            UsagePeriod::Current => zone.month_of(self.now()).period(zone),
            UsagePeriod::Month(month) => month.period(zone),
            UsagePeriod::Between(period) => period,
        }
    }

    /// Returns the account of a report, which must be visible to the actor.
    async fn usage_account(&self, op: &Op, request: &UsageRequest) -> Result<AccountId, Error> {
        op.require_read()?;
        let id = request.account_id.unwrap_or_else(|| op.account_id());
        if !op.sees(id) {
            return Err(Error::not_found("account"));
        }
        Ok(account::get(&self.read(), id).await?.account.id)
    }

    /// Reports what an account used in a period, and what it costs (S112 to S121).
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for an account that is not
    /// visible; an error of the database.
    pub async fn usage_report(&self, op: &Op, request: &UsageRequest) -> Result<UsageReported, Error> {
        let account = self.usage_account(op, request).await?;
        let (conn, now, zone) = (self.read(), self.now(), self.settings().billing_zone);
        let period = self.usage_period(request.period);
        let closed_at = read::closed_at(&conn, period.month).await?;
        let rates = read::rates(&conn).await?;
        let report = if request.is_whole() || closed_at.is_some() {
            let whole = read::report_of(&conn, account, (period, zone, now), &rates).await?;
            if request.is_whole() { whole } else { part_of(request, whole) }
        } else {
            let mut intervals = read::intervals(&conn, account, period).await?;
            intervals.retain(|interval| {
                let is_instance = matches!(interval.subject, UsageSubject::Instance(_));
                request.takes(interval.location_id, is_instance)
            });
            report(&ReportInput { intervals: &intervals, rates: &rates, adjustments: &[], period, zone, now })
        };
        let names = read::names(&conn, &[account]).await?;
        Ok(UsageReported { account_id: account, report, names, closed_at })
    }

    /// Reports the days of a period.
    ///
    /// # Errors
    ///
    /// Those of [`Service::usage_report`].
    pub async fn usage_days(&self, op: &Op, request: &UsageRequest) -> Result<UsageDaysView, Error> {
        let account = self.usage_account(op, request).await?;
        let (conn, now, zone) = (self.read(), self.now(), self.settings().billing_zone);
        let period = self.usage_period(request.period);
        let rates = read::rates(&conn).await?;
        let mut intervals = read::intervals(&conn, account, period).await?;
        intervals.retain(|interval| {
            let is_instance = matches!(interval.subject, UsageSubject::Instance(_));
            request.takes(interval.location_id, is_instance)
        });
        let input = ReportInput { intervals: &intervals, rates: &rates, adjustments: &[], period, zone, now };
        Ok(UsageDaysView { period, time_zone: zone.to_string(), days: days(&input) })
    }

    /// Explains a line of a report by its id.
    ///
    /// # Errors
    ///
    /// Those of [`Service::usage_report`]; [`Code::NotFound`] for a line that the report does not
    /// have.
    pub async fn usage_explain(
        &self,
        op: &Op,
        request: &UsageRequest,
        line: &str,
    ) -> Result<UsageExplained, Error> {
        let reported = self.usage_report(op, request).await?;
        let found = reported.report.lines.iter().find(|found| found.id() == line);
        let found = found.ok_or_else(|| Error::not_found("line"))?;
        let conn = self.read();
        let (period, zone, now) =
            (reported.report.period, reported.report.zone, reported.report.generated_at);
        let intervals = read::intervals(&conn, reported.account_id, period).await?;
        let rates = read::rates(&conn).await?;
        let input = ReportInput { intervals: &intervals, rates: &rates, adjustments: &[], period, zone, now };
        let explanation = explain(&input, found);
        Ok(UsageExplained { explanation, names: reported.names, time_zone: zone.to_string() })
    }
}

/// Returns the part of a closed month's report that is asked for.
fn part_of(request: &UsageRequest, whole: Report) -> Report {
    let lines = whole.lines.into_iter().filter(|line| request.takes_line(line)).collect();
    Report::of_lines(lines, Vec::new(), whole.period, whole.zone, whole.generated_at)
}

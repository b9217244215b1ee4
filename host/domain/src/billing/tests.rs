//! What several tests of billing share.

mod documented;
mod lifecycles;
mod rules;

use uuid::Uuid;

use super::{
    Gb, HoursPerMonth, IntervalEnd, Measure, PartialHour, Prices, RateTerms, RateVersion, UsageInterval,
    UsageSubject, calendar::instant,
};
use crate::{
    id::{AccountId, ImageId, InstanceId, LocationId, RateId, UsageIntervalId},
    time::Timestamp,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn account() -> AccountId {
    AccountId::new(Uuid::from_u128(1))
}

fn location() -> LocationId {
    LocationId::new(Uuid::from_u128(2))
}

fn image(number: u128) -> UsageSubject {
    UsageSubject::Image(ImageId::new(Uuid::from_u128(number)))
}

fn instance(number: u128) -> UsageSubject {
    UsageSubject::Instance(InstanceId::new(Uuid::from_u128(number)))
}

fn interval(
    subject: UsageSubject,
    measure: Measure,
    from: Timestamp,
    deleted: Option<Timestamp>,
) -> UsageInterval {
    UsageInterval {
        id: UsageIntervalId::new(Uuid::from_u128(0)),
        account_id: account(),
        location_id: location(),
        subject,
        name: "web 1".to_owned(),
        measure,
        started_at: from,
        ended_at: deleted,
        ended_by: deleted.map(|_| IntervalEnd::Deleted),
    }
}

fn terms(gb_month: &str, free_bytes: u64) -> RateTerms {
    RateTerms {
        prices: Prices::ImageStorage { gb_month: gb_month.parse().unwrap(), free_bytes },
        currency: "EUR".parse().unwrap(),
        hours_per_month: HoursPerMonth::Fixed730,
        gb: Gb::Gib,
        partial_hour: PartialHour::ProRata,
    }
}

fn rate(number: u128, from: Timestamp, terms: RateTerms) -> RateVersion {
    RateVersion {
        id: RateId::new(Uuid::from_u128(number)),
        location_id: location(),
        account_id: None,
        effective_from: from,
        terms,
        ends: false,
        created_at: instant(0),
        created_by: None,
    }
}

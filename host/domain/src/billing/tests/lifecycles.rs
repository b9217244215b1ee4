//! Random lives of images and instances, with everything that disturbs a meter: what the ledger
//! and the report say is compared with the integral of size over time, computed the slow way.

use std::collections::{BTreeMap, HashMap};

use super::super::{
    HOUR_MS, HourBucket, HourSubject, InstancePrices, LineSubject, Month, Period, RateBook, ReportInput,
    Usage, Zone,
    calendar::{hour_of, millis, start_of_hour},
    hour_buckets,
    rate::check_effective_from,
    report,
};
use super::*;

/// A generator of random numbers that is fast and the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn ms(&mut self, hours: u64) -> i64 {
        self.below(hours * HOUR_MS.unsigned_abs()).cast_signed()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len().try_into().unwrap())).unwrap()]
    }
}

/// Where calendars are odd: ends of months, leap days, both changes of the clocks in three zones.
const ODD: [&str; 9] = [
    "2026-11-30T23:00:00Z",
    "2027-12-31T22:30:00Z",
    "2028-02-29T12:00:00Z",
    "2028-02-28T23:30:00Z",
    "2026-03-29T01:00:00Z",
    "2026-10-25T01:00:00Z",
    "2026-11-01T06:00:00Z",
    "2026-10-03T15:30:00Z",
    "2026-06-15T10:00:00Z",
];
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];

struct World {
    random: Random,
    zone: Zone,
    now: i64,
    sealed: i64,
    metered: i64,
    intervals: Vec<UsageInterval>,
    rates: Vec<RateVersion>,
    ledger: HashMap<(i64, HourSubject), HourBucket>,
}

impl World {
    fn new(seed: u64, odd: &[i64], zones: &[Zone]) -> Self {
        let mut random = Random(seed);
        let now = random.pick(odd) - random.ms(10);
        let zone = random.pick(zones);
        let metered = now.div_euclid(HOUR_MS);
        let mut world = Self {
            random,
            zone,
            now,
            sealed: metered * HOUR_MS,
            metered,
            intervals: Vec::new(),
            rates: Vec::new(),
            ledger: HashMap::new(),
        };
        if !world.random.one_in(10) {
            let from = instant(world.sealed - 24 * HOUR_MS);
            world.add_rate(from, false);
        }
        if world.random.one_in(3) {
            let from = instant(world.sealed - 24 * HOUR_MS);
            world.add_rate(from, true);
        }
        world
    }

    fn add_rate(&mut self, from: Timestamp, instances: bool) {
        let random = &mut self.random;
        let mut price = || format!("0.{:09}", random.below(1_000_000_000)).parse().unwrap();
        let prices = if instances {
            Prices::Instance(InstancePrices {
                vcpu_hour: price(),
                memory_gb_hour: price(),
                disk_gb_hour: price(),
            })
        } else {
            let gb_month = price();
            Prices::ImageStorage { gb_month, free_bytes: random.pick(&[0, 1 << 30, 40 << 30]) }
        };
        let terms = RateTerms {
            prices,
            currency: random.pick(&["EUR", "JPY", "BHD"]).parse().unwrap(),
            hours_per_month: random.pick(HoursPerMonth::ALL),
            gb: random.pick(Gb::ALL),
            partial_hour: random.pick(PartialHour::ALL),
        };
        let owner = random.one_in(2).then(account);
        let known = self.rates.iter().any(|rate| {
            rate.account_id == owner && rate.effective_from == from && rate.terms.kind() == terms.kind()
        });
        if !known {
            let number = 100 + u128::try_from(self.rates.len()).unwrap();
            let ends = self.random.one_in(5);
            self.rates.push(RateVersion { account_id: owner, ends, ..rate(number, from, terms) });
        }
    }

    /// Returns when a change counts: never in a sealed hour, whatever the clock says.
    fn moment(&self, started_at: i64) -> Timestamp {
        instant(self.now.max(self.sealed).max(started_at))
    }

    fn create(&mut self) {
        let number = 1000 + u128::try_from(self.intervals.len()).unwrap();
        let (subject, measure) = if self.random.one_in(4) {
            (instance(number), self.instance_measure())
        } else {
            (image(number), Measure::Image { bytes: self.random.below(200 << 30) })
        };
        // An image whose capture fails has no interval at all; a new one is available later.
        self.intervals.push(interval(subject, measure, self.moment(i64::MIN), None));
    }

    fn instance_measure(&mut self) -> Measure {
        Measure::Instance {
            vcpus: 1 + u32::try_from(self.random.below(8)).unwrap(),
            memory_bytes: self.random.below(64 << 30),
            disk_bytes: self.random.below(500 << 30),
        }
    }

    fn end_one(&mut self, by: IntervalEnd) {
        let open: Vec<usize> =
            (0..self.intervals.len()).filter(|index| self.intervals[*index].ended_at.is_none()).collect();
        if open.is_empty() {
            return;
        }
        let index = self.random.pick(&open);
        let end = self.moment(millis(self.intervals[index].started_at));
        self.intervals[index].ended_at = Some(end);
        self.intervals[index].ended_by = Some(by);
        if by == IntervalEnd::Changed {
            let mut next = self.intervals[index].clone();
            next.measure = match next.measure {
                Measure::Image { .. } => Measure::Image { bytes: self.random.below(200 << 30) },
                Measure::Instance { .. } => self.instance_measure(),
            };
            (next.started_at, next.ended_at, next.ended_by) = (end, None, None);
            self.intervals.push(next);
        }
    }

    /// Runs the hourly job, which may be killed after some of the rows of an hour.
    fn job(&mut self, may_die: bool) {
        while self.metered < self.now.div_euclid(HOUR_MS) {
            self.sealed = self.sealed.max((self.metered + 1) * HOUR_MS);
            let book = RateBook::new(&self.rates);
            let buckets = hour_buckets(self.metered, &self.intervals, &book, self.zone);
            let killed_after =
                if may_die && self.random.one_in(8) { Some(self.random.below(3)) } else { None };
            for (index, bucket) in buckets.into_iter().enumerate() {
                if killed_after.is_some_and(|rows| u64::try_from(index).unwrap() >= rows) {
                    break;
                }
                let written =
                    self.ledger.entry((bucket.hour, bucket.subject)).or_insert_with(|| bucket.clone());
                assert_eq!(*written, bucket, "a second run computes what the first one wrote");
            }
            if killed_after.is_some() {
                return;
            }
            self.metered += 1;
        }
    }

    fn step(&mut self) {
        self.now += match self.random.below(12) {
            // The clock is set back or jumps ahead.
            0 => -self.random.ms(3),
            1 => self.random.ms(8),
            _ => self.random.ms(2),
        };
        match self.random.below(10) {
            0 | 1 => self.create(),
            2 => self.end_one(IntervalEnd::Deleted),
            3 | 4 => self.end_one(IntervalEnd::Changed),
            5 => {
                let now = instant(self.now.max(self.sealed));
                let from = check_effective_from(None, now).unwrap();
                let instances = self.random.one_in(3);
                self.add_rate(from, instances);
            }
            _ => self.job(true),
        }
    }

    fn live(&mut self) {
        self.create();
        let steps = if self.random.one_in(100) { 120 } else { 6 + self.random.below(10) };
        for _ in 0..steps {
            self.step();
        }
        if self.random.one_in(2) {
            while self.intervals.iter().any(|interval| interval.ended_at.is_none()) {
                self.end_one(IntervalEnd::Deleted);
            }
        }
        let last = self.intervals.iter().filter_map(|interval| interval.ended_at).max();
        self.now = self.now.max(self.sealed).max(last.map_or(0, millis)) + 2 * HOUR_MS;
        self.now -= self.now.rem_euclid(HOUR_MS);
        self.job(true);
        self.job(false);
    }
}

/// What a line or the hours of the ledger should sum up to.
type Integrals = BTreeMap<(LineSubject, u128, Month), (u128, RateVersion)>;

/// Computes the integrals in small steps: between any two instants at which anything may change.
/// Zones differ by half hours at the least, so months start at such an instant, too.
fn integrals(world: &World) -> Integrals {
    let half = HOUR_MS / 2;
    let first = world.intervals.iter().map(|interval| millis(interval.started_at)).min().unwrap();
    let spans: Vec<(i64, i64, &UsageInterval)> = world
        .intervals
        .iter()
        .map(|interval| (millis(interval.started_at), counted_end(world, interval), interval))
        .collect();
    let mut cuts: Vec<i64> = spans.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
    let mut grid = first.div_euclid(half) * half;
    while grid <= world.now + HOUR_MS {
        cuts.push(grid);
        grid += half;
    }
    cuts.sort_unstable();
    cuts.dedup();
    let mut sums = Integrals::new();
    for pair in cuts.windows(2) {
        let (from, ms) = (pair[0], u128::from((pair[1] - pair[0]).unsigned_abs()));
        let month = world.zone.month_of(instant(from));
        let mut add = |subject: LineSubject, rate: &RateVersion, amount: u128| {
            let key = (subject, rate.id.uuid().as_u128(), month);
            sums.entry(key).or_insert_with(|| (0, rate.clone())).0 += amount * ms;
        };
        let mut stored = 0;
        for (_, _, interval) in spans.iter().filter(|(start, end, _)| *start <= from && from < *end) {
            stored += u128::from(interval.measure.image_bytes().unwrap_or(0));
            if let Some(rate) = rate_at(world, interval.subject, from) {
                add(interval.subject.into(), rate, weight(interval.measure, rate));
            }
        }
        if let Some(rate) = rate_at(world, image(0), from) {
            let free = stored.min(u128::from(rate.terms.free_bytes()));
            if free > 0 {
                add(LineSubject::Allowance, rate, free * u128::from(nanos(rate, 0)));
            }
        }
    }
    sums
}

fn counted_end(world: &World, interval: &UsageInterval) -> i64 {
    let Some(end) = interval.ended_at.map(millis) else { return world.now };
    let rate = rate_at(world, interval.subject, end);
    let up = rate.is_some_and(|rate| rate.terms.partial_hour == PartialHour::RoundUp);
    let rest = (HOUR_MS - end.rem_euclid(HOUR_MS)) % HOUR_MS;
    if up && interval.ended_by == Some(IntervalEnd::Deleted) { end + rest } else { end }
}

/// Finds the rate by looking at all of them: the latest of the account, if it does not end the
/// account's rate, or else the latest of the location.
fn rate_at(world: &World, subject: UsageSubject, at: i64) -> Option<&RateVersion> {
    let latest = |of_account: bool| {
        let known = world.rates.iter().filter(|rate| {
            rate.account_id.is_some() == of_account
                && rate.terms.kind() == subject.rate_kind()
                && millis(rate.effective_from) <= at
        });
        known.max_by_key(|rate| rate.effective_from).filter(|rate| !rate.ends)
    };
    latest(true).or_else(|| latest(false))
}

fn nanos(rate: &RateVersion, which: usize) -> u64 {
    let price = match rate.terms.prices {
        Prices::ImageStorage { gb_month, .. } => gb_month,
        Prices::Instance(prices) => [prices.vcpu_hour, prices.memory_gb_hour, prices.disk_gb_hour][which],
    };
    u64::try_from(price.nanos()).unwrap()
}

/// Returns what a measure costs, times the bytes of a GB, the length of a month and 10^9.
fn weight(measure: Measure, rate: &RateVersion) -> u128 {
    let nanos = |which| u128::from(nanos(rate, which));
    match measure {
        Measure::Image { bytes } => u128::from(bytes) * nanos(0),
        Measure::Instance { vcpus, memory_bytes, disk_bytes } => {
            u128::from(vcpus) * u128::from(rate.terms.gb.bytes()) * nanos(0)
                + u128::from(memory_bytes) * nanos(1)
                + u128::from(disk_bytes) * nanos(2)
        }
    }
}

fn check(world: &World) {
    let first = world.intervals.iter().map(|interval| interval.started_at).min().unwrap();
    let period = Period::between(start_of_hour(hour_of(first)), instant(world.now + HOUR_MS)).unwrap();
    let input = ReportInput {
        intervals: &world.intervals,
        rates: &world.rates,
        adjustments: &[],
        period,
        zone: world.zone,
        now: instant(world.now),
    };
    let report = report(&input);
    let mut expected = integrals(world);
    expected.retain(|_, (sum, _)| *sum > 0);
    let mut exact: HashMap<(HourSubject, u128), (super::super::Exact, Usage)> = HashMap::new();
    for line in &report.lines {
        let Some((rate, charge)) = line.rate.as_ref().zip(line.charge) else { continue };
        let subject = match line.subject {
            LineSubject::Image(id) => HourSubject::Image(id),
            LineSubject::Instance(id) => HourSubject::Instance(id),
            LineSubject::Allowance => HourSubject::Allowance(line.account_id),
        };
        let number = rate.id.uuid().as_u128();
        exact
            .entry((subject, number))
            .and_modify(|(sum, usage)| {
                *sum += &line.exact;
                *usage += line.usage;
            })
            .or_insert_with(|| (line.exact.clone(), line.usage));
        let (integral, _) = expected.remove(&(line.subject, number, line.month)).unwrap_or_else(|| {
            assert_eq!(charge.minor, 0, "{line:?}");
            (0, world.rates[0].clone())
        });
        let month_ms = match rate.terms.kind() {
            super::super::RateKind::ImageStorage => u128::from(rate.month_ms),
            super::super::RateKind::Instance => u128::from(HOUR_MS.unsigned_abs()),
        };
        let divisor = u128::from(rate.terms.gb.bytes()) * month_ms * 1_000_000_000;
        let minor = integral * 10_u128.pow(charge.currency.digits());
        let charged = charge.minor.unsigned_abs() * divisor;
        assert!(charged.abs_diff(minor) * 2 <= divisor, "{line:?} is off by more than its rounding");
    }
    assert!(expected.is_empty(), "no line for {expected:?}");
    let mut ledger: HashMap<(HourSubject, u128), (super::super::Exact, Usage)> = HashMap::new();
    for bucket in world.ledger.values() {
        let Some(charge) = &bucket.charge else { continue };
        ledger
            .entry((bucket.subject, charge.rate_id.uuid().as_u128()))
            .and_modify(|(sum, usage)| {
                *sum += &charge.amount;
                *usage += bucket.usage;
            })
            .or_insert_with(|| (charge.amount.clone(), bucket.usage));
    }
    assert_eq!(ledger, exact, "the hours of the ledger add up to the lines");
    let total: i128 = report.totals.iter().map(|money| money.minor).sum();
    let lines: i128 = report.lines.iter().filter_map(|line| line.charge).map(|money| money.minor).sum();
    assert_eq!(total, lines);
}

fn run(seeds: std::ops::Range<u64>) {
    let odd = ODD.map(|text| millis(at(text)));
    let zones = ZONES.map(|name| name.parse().unwrap());
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, &odd, &zones);
            world.live();
            check(&world);
        });
        assert!(outcome.is_ok(), "the life with seed {seed} is metered wrongly");
    }
}

/// X10, S112, S116-S118, S137, D2-D4: `IMPRINT_LIFECYCLES` lives, or 300, on all processors.
#[test]
fn the_ledger_is_the_integral_of_size_over_time() {
    let lives: u64 = std::env::var("IMPRINT_LIFECYCLES").map_or(300, |text| text.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().try_into().unwrap());
    let share = lives.div_ceil(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || run(thread * share..((thread + 1) * share).min(lives)));
        }
    });
}

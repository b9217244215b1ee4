//! What lists of images cost with 100,000 images in one account, on both databases:
//! `cargo xtask bench --lists`. Nothing else runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made fails")]
#![expect(clippy::disallowed_methods, reason = "time is what is measured")]
#![expect(clippy::print_stdout, reason = "the table is the answer")]

#[path = "common/world.rs"]
mod world;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use imprint_domain::{
    id::{AccountId, ImageId, InstanceId, TaskId},
    image::{
        Image, ImageFormat, ImageKind, ImageSource, ImageStatus, NewImage, StoredImage,
        catalogue::{CatalogueEntry, GuestSystem},
    },
    metadata::Metadata,
    name::Name,
    plugin_kind::StorageKind,
    search::Search,
    size::ByteSize,
    storage::StorageRole,
    tag::{Tag, Tags},
};
use imprint_service::{
    ImageList, ImageScope, ImageSort, ImageSortField, Op, PageRequest, Service, StorageCreate,
};
use imprint_store::{
    Store, Target,
    image::{self, CaptureNotes, ImageRecord},
    testing::{self, PostgresServer, SqliteFolder},
};
use uuid::Uuid;

use crate::world::Opened;

/// Images of the measured account, of another customer, and stock images.
const IMAGES: u32 = 100_000;
const OTHERS: u32 = 10_000;
const STOCK: u32 = 30;
/// Images of one transaction.
const BATCH: u32 = 1_000;
/// Times that each list is read, after some that warm up.
const ROUNDS: usize = 200;
const WARM_UP: usize = 5;
/// The longest that 99 of 100 readings of a list may take.
const GOAL: Duration = Duration::from_millis(50);
/// The number of pages before one in the middle of the list.
const PAGES_BEFORE: u32 = 100;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

struct World {
    service: Service,
    admin: Op,
    customer: Op,
    other: AccountId,
    pattern: NewImage,
}

async fn open(target: &Target) -> World {
    let Opened { service, admin, location_id } = world::open(target).await;
    let folder = BTreeMap::from([("path".to_owned(), "/srv/images".to_owned())]);
    let storage = StorageCreate::new(name("images"), StorageRole::Customer, StorageKind::local(), folder);
    let storage_id = service.storage_create(&admin, storage).await.unwrap().id;
    let customer = world::account(&service, &admin, "customer").await;
    let other = world::account(&service, &admin, "other").await.account_id();
    let pattern = NewImage {
        id: ImageId::new(Uuid::nil()),
        account_id: customer.account_id(),
        location_id,
        kind: ImageKind::Custom,
        name: name("pattern"),
        description: String::new(),
        tags: Tags::default(),
        metadata: Metadata::default(),
        guest: GuestSystem::default(),
        catalogue: CatalogueEntry::default(),
        source: None,
        storage_id,
        storage_key: String::new(),
        format: ImageFormat::Qcow2,
        reserved: ByteSize::ZERO,
        task_id: TaskId::new(Uuid::nil()),
    };
    World { service, admin, customer, other, pattern }
}

/// A generator that gives the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(u32::try_from(words.len()).unwrap())).unwrap()]
    }
}

const PLACES: [&str; 5] = ["production", "staging", "test", "backup", "development"];
const ROLES: [&str; 8] = ["web", "db", "mail", "cache", "queue", "worker", "gateway", "monitor"];
const SENTENCES: [&str; 4] = [
    "",
    "before the upgrade to Debian 13",
    "nightly, with the customer's data",
    "Für den Notfall: Stand vor der Umstellung",
];

fn image_of(world: &World, number: u32, random: &mut Numbers) -> ImageRecord {
    let at = Utc::now() - TimeDelta::days(400) + TimeDelta::seconds(i64::from(number) * 300);
    let millis = u64::try_from(at.timestamp_millis()).unwrap();
    let mut tail = [0; 10];
    tail[..4].copy_from_slice(&number.to_be_bytes());
    let id = ImageId::new(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid());
    let text = format!("{}-{}-{number:06}", random.one_of(&PLACES), random.one_of(&ROLES));
    let mut tags = Vec::new();
    let shares = [("half", 2), ("tenth", 10), ("hundredth", 100), ("thousandth", 1000)];
    tags.extend(shares.iter().filter(|(_, share)| number.is_multiple_of(*share)).map(|(tag, _)| *tag));
    let host = number % 500;
    let old = if number < IMAGES / 5 { ", of the old cluster" } else { "" };
    let new = NewImage {
        id,
        name: name(&text),
        description: format!("{}{old}", random.one_of(&SENTENCES)),
        tags: Tags::new(tags.into_iter().map(|tag| Tag::parse(tag).unwrap()).collect()).unwrap(),
        source: Some(ImageSource {
            instance_id: InstanceId::new(Uuid::from_u128(u128::from(host) + 1)),
            instance_name: format!("host-{host}"),
        }),
        storage_key: format!("{id}.qcow2"),
        ..world.pattern.clone()
    };
    let mut image = Image::reserve(new, at);
    if number % 100 == 7 {
        image.fail().unwrap();
    } else {
        let size = ByteSize::new(u64::from(random.below(1 << 20)) << 12).unwrap();
        let digest = |hex: &str| format!("imprint1:{}", hex.repeat(64));
        let stored = StoredImage {
            size,
            virtual_size: ByteSize::GIB,
            format: ImageFormat::Qcow2,
            logical_digest: digest("1").parse().unwrap(),
            stored_digest: digest("2").parse().unwrap(),
            consistency: None,
        };
        image.publish(stored, at).unwrap();
    }
    ImageRecord { image, capture: CaptureNotes::default() }
}

async fn fill(world: &World, target: &Target) {
    let store = Store::open(target).await.unwrap();
    let mut random = Numbers(5);
    let total = IMAGES + OTHERS + STOCK;
    for first in (0..total).step_by(usize::try_from(BATCH).unwrap()) {
        let tx = store.write_tx().await.unwrap();
        for number in first..total.min(first + BATCH) {
            let mut record = image_of(world, number, &mut random);
            if number >= IMAGES {
                let mut parts = (*record.image).clone();
                if number >= IMAGES + OTHERS {
                    (parts.account_id, parts.kind) = (world.admin.account_id(), ImageKind::Stock);
                } else {
                    parts.account_id = world.other;
                }
                record.image = Image::from_parts(parts).unwrap();
            }
            image::insert(&tx, &record).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    testing::analyze(target).await.unwrap();
}

fn found(text: &str) -> ImageList {
    ImageList { search: Search::parse(text).unwrap(), ..ImageList::default() }
}

fn tagged(tags: &[&str]) -> ImageList {
    ImageList { tags: tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect(), ..ImageList::default() }
}

fn by(field: ImageSortField, descending: bool, list: ImageList) -> ImageList {
    ImageList { sort: ImageSort { field, descending }, ..list }
}

fn of_status(status: ImageStatus, list: ImageList) -> ImageList {
    ImageList { status: vec![status], ..list }
}

/// The same list, from its middle on.
async fn middle(world: &World, list: ImageList) -> ImageList {
    let mut page = PageRequest { limit: Some(500), page_token: None };
    for _ in 0..PAGES_BEFORE {
        let list = ImageList { page: page.clone(), ..list.clone() };
        page.page_token = world.service.image_list(&world.customer, &list).await.unwrap().next_page_token;
    }
    page.limit = None;
    ImageList { page, ..list }
}

async fn lists(world: &World) -> Vec<(&'static str, bool, ImageList)> {
    use ImageSortField::{CreatedAt, Name, SizeBytes};
    let all = ImageList::default;
    let many = ImageList { page: PageRequest { limit: Some(500), page_token: None }, ..all() };
    let visible = ImageList { scope: ImageScope::All, ..all() };
    let page = world.service.image_list(&world.customer, &many).await.unwrap();
    let ids = page.items.iter().step_by(5).map(|image| image.id).collect();
    let source = Some(InstanceId::new(Uuid::from_u128(8)));
    vec![
        ("newest 50", false, all()),
        ("newest 500", false, many),
        ("oldest first", false, by(CreatedAt, false, all())),
        ("by name", false, by(Name, false, all())),
        ("by size", false, by(SizeBytes, true, all())),
        ("the middle", false, middle(world, all()).await),
        ("the middle by name", false, middle(world, by(Name, false, all())).await),
        ("the middle by size", false, middle(world, by(SizeBytes, false, all())).await),
        ("own and stock images", false, visible.clone()),
        ("all accounts (admin)", true, visible.clone()),
        ("all accounts by name (admin)", true, by(Name, false, visible.clone())),
        ("100 ids", false, ImageList { ids: Some(ids), ..visible.clone() }),
        ("status: 99 of 100", false, of_status(ImageStatus::Available, all())),
        ("status: 1 of 100, by name", false, by(Name, true, of_status(ImageStatus::Error, all()))),
        ("status: none", false, of_status(ImageStatus::Deleting, all())),
        ("source: 200 images", false, ImageList { source_instance_id: source, ..all() }),
        ("tag: 1 of 2", false, tagged(&["half"])),
        ("tag: 1 of 10, by name", false, by(Name, false, tagged(&["tenth"]))),
        ("tag: 1 of 1000, by size", false, by(SizeBytes, true, tagged(&["thousandth"]))),
        ("2 tags", false, tagged(&["half", "hundredth"])),
        ("search: one", false, found("099999")),
        ("search: none", false, found("nothing-like-it")),
        ("search: none, of common parts", false, found("production-web-nightly")),
        ("search: 1 of 5", false, found("production")),
        ("search: 1 of 40, by size", false, by(SizeBytes, true, found("staging web"))),
        ("search: 1 of 4, not ASCII", false, found("FÜR")),
        ("search: 2 characters", false, found("99")),
        ("search: 1 of 5, the oldest", false, found("cluster")),
        ("search: 1 of 5, last by name", false, by(Name, false, found("test"))),
        (
            "search and status and tag",
            false,
            ImageList { tags: tagged(&["half"]).tags, ..of_status(ImageStatus::Error, found("gateway")) },
        ),
        ("search own and stock images", false, ImageList { scope: ImageScope::All, ..found("mail-0001") }),
    ]
}

/// The duration that so many of 100 readings do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

async fn measure(database: &str, target: Target) -> Vec<String> {
    let world = open(&target).await;
    let started = Instant::now();
    fill(&world, &target).await;
    println!(
        "{database}: {} images written in {:.0} s",
        IMAGES + OTHERS + STOCK,
        started.elapsed().as_secs_f64()
    );
    println!("    {:<34} {:>8} {:>8} {:>6}", "list", "p50 ms", "p99 ms", "items");
    let mut missed = Vec::new();
    for (what, as_admin, list) in lists(&world).await {
        let op = if as_admin { &world.admin } else { &world.customer };
        let mut times = Vec::with_capacity(ROUNDS);
        let mut items = 0;
        for round in 0..WARM_UP + ROUNDS {
            let started = Instant::now();
            items = world.service.image_list(op, &list).await.unwrap().items.len();
            if round >= WARM_UP {
                times.push(started.elapsed());
            }
        }
        times.sort();
        let (middle, slow) = (percentile(&times, 50), percentile(&times, 99));
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let mark = if slow > GOAL { " MISSED" } else { "" };
        println!("    {what:<34} {:>8.2} {:>8.2} {items:>6}{mark}", ms(middle), ms(slow));
        if slow > GOAL {
            missed.push(format!("{database}, {what}"));
        }
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
    println!("p99 above {} ms: {}", GOAL.as_millis(), missed.join("; "));
    ExitCode::FAILURE
}

//! Finding images among many, their tags, and their protection.

use std::collections::BTreeSet;

use imprint_domain::{
    Code,
    id::{AccountId, ImageId, InstanceId, ShareId},
    image::{Image, ImageEdit, ImageKind, ImageSource, ImageStatus},
    search::{Search, searched_text},
    share::{Share, ShareParts, ShareState},
    tag::{Tag, Tags},
    task::TaskState,
    time::{Environment, Timestamp},
};
use imprint_service::{EventFilter, ImageList, ImageScope, ImageView, InstanceList, PageRequest, Subject};
use imprint_store::{
    Store,
    image::{self, ImageFilter, ImageRecord, OwnerFilter, SortBy, SortKey, Sorted},
    share,
};
use uuid::Uuid;

use crate::{
    pages::numbers,
    support::{World, failure, name, size},
};

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn tags(texts: &[&str]) -> Tags {
    Tags::new(texts.iter().map(|text| tag(text)).collect()).unwrap()
}

fn search(text: &str) -> Option<Search> {
    Search::parse(text).unwrap()
}

/// Images of two accounts and stock images whose properties repeat.
async fn fill(world: &World, store: &Store) -> Vec<ImageRecord> {
    let made = world.image("pattern").await;
    let pattern = image::get(&store.read(), made).await.unwrap().unwrap();
    let mut random = numbers(11);
    let mut pick =
        |texts: &[&'static str]| texts[usize::try_from(random(u64::try_from(texts.len()).unwrap())).unwrap()];
    let mut all = vec![pattern.clone()];
    let tx = store.write_tx().await.unwrap();
    for number in 1..=240_u32 {
        let mut parts = (*pattern.image).clone();
        parts.id = ImageId::new(Uuid::from_u128(u128::from(number)));
        parts.name = name(&format!(
            "{}-{}-{}",
            pick(&["web", "Web", "db", "50%"]),
            pick(&["prod", "test"]),
            number % 90
        ));
        parts.description = pick(&["", "Für den Notfall", "a_b", "nightly"]).to_owned();
        parts.tags = tags(
            pick(&["", "web", "web,Prod", "old"])
                .split(',')
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .as_slice(),
        );
        parts.account_id = match pick(&["mine", "mine", "mine", "other"]) {
            "mine" => world.customer.account_id(),
            _ => world.other.account_id(),
        };
        parts.kind = if number % 11 == 0 { ImageKind::Stock } else { ImageKind::Custom };
        parts.catalogue.hidden = parts.kind == ImageKind::Stock && number % 3 == 0;
        parts.status = match pick(&["available", "available", "error", "creating"]) {
            "error" => ImageStatus::Error,
            "creating" => ImageStatus::Creating,
            _ => ImageStatus::Available,
        };
        match pick(&["small", "large", "none"]) {
            "none" if parts.status != ImageStatus::Available => parts.stored = None,
            "large" => parts.stored.as_mut().unwrap().size = size(7 << 30),
            _ => {}
        }
        parts.source = match pick(&["none", "one", "two"]) {
            "none" => None,
            instance => Some(ImageSource {
                instance_id: InstanceId::new(Uuid::from_u128(u128::try_from(instance.len()).unwrap())),
                instance_name: format!("{instance}-源"),
            }),
        };
        parts.created_at += chrono::TimeDelta::seconds(i64::from(number % 37));
        parts.storage_key = parts.id.to_string();
        let record = ImageRecord { image: Image::from_parts(parts).unwrap(), ..pattern.clone() };
        image::insert(&tx, &record).await.unwrap();
        all.push(record);
    }
    all.push(image::get(&tx.conn(), world.stock_image).await.unwrap().unwrap());
    tx.commit().await.unwrap();
    all
}

/// Shares images of the other customer with the first one, in various states, and returns those
/// that the first one may use.
async fn share_some(world: &World, store: &Store, all: &[ImageRecord], now: Timestamp) -> BTreeSet<ImageId> {
    let tx = store.write_tx().await.unwrap();
    let mut usable = BTreeSet::new();
    let others = all
        .iter()
        .map(|record| &record.image)
        .filter(|image| image.kind == ImageKind::Custom && image.account_id == world.other.account_id());
    for (number, image) in others.enumerate() {
        let (recorded, expires_in) = match number % 6 {
            0 | 1 => (ShareState::Accepted, None),
            2 => (ShareState::Accepted, Some(3600)),
            3 => (ShareState::Accepted, Some(0)),
            4 => (ShareState::Offered, None),
            _ => (ShareState::Revoked, None),
        };
        if number % 6 < 3 {
            usable.insert(image.id);
        }
        let parts = ShareParts {
            id: ShareId::new(Uuid::from_u128(u128::try_from(number).unwrap())),
            image_id: image.id,
            owner_id: image.account_id,
            recipient_id: world.customer.account_id(),
            recorded,
            offered_at: now,
            decided_at: None,
            ended_at: (!recorded.is_open()).then_some(now),
            expires_at: expires_in.map(|seconds| now + chrono::TimeDelta::seconds(seconds)),
        };
        share::insert(&tx, &Share::from_parts(parts)).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert!(usable.len() > 20, "{}", usable.len());
    usable
}

/// Returns the text that searches in shared images find: without the source instance.
fn visible_text(image: &Image) -> String {
    let tags: Vec<&str> = image.tags.iter().map(Tag::as_str).collect();
    searched_text([image.name.as_str(), &image.description].into_iter().chain(tags))
}

/// Returns the list by its definition.
fn expected(
    all: &[ImageRecord],
    shared: &BTreeSet<ImageId>,
    filter: &ImageFilter,
    sorted: &Sorted,
) -> Vec<ImageId> {
    let custom_of = |record: &ImageRecord, account: AccountId| {
        record.image.kind == ImageKind::Custom && record.image.account_id == account
    };
    let accepts = |record: &&ImageRecord| {
        let found = &record.image;
        let stock = found.kind == ImageKind::Stock;
        let offered = found.is_offered(false);
        let owned = match filter.owner {
            OwnerFilter::CustomOf(account) => custom_of(record, account),
            OwnerFilter::Stock => stock,
            OwnerFilter::Offered => offered,
            OwnerFilter::SharedWith(_) => shared.contains(&found.id),
            OwnerFilter::VisibleTo(account) => {
                offered || custom_of(record, account) || shared.contains(&found.id)
            }
            OwnerFilter::All => true,
        };
        let by_share = filter.owner != OwnerFilter::All && shared.contains(&found.id);
        let text = if by_share { visible_text(found) } else { found.searched_text() };
        owned
            && !(by_share && filter.source_instance_id.is_some())
            && filter.ids.as_ref().is_none_or(|ids| ids.contains(&found.id))
            && filter
                .search
                .as_ref()
                .is_none_or(|search| search.words().iter().all(|word| text.contains(word.as_str())))
            && filter.tags.iter().all(|tag| found.tags.iter().any(|own| own.key() == tag.key()))
            && (filter.status.is_empty() || filter.status.contains(&found.status))
            && filter.kind.is_none_or(|kind| kind == found.kind)
            && filter
                .source_instance_id
                .is_none_or(|id| found.source.as_ref().is_some_and(|source| source.instance_id == id))
    };
    let mut accepted: Vec<(SortKey, ImageId)> =
        all.iter().filter(accepts).map(|record| (record.sort_key(sorted.by), record.image.id)).collect();
    accepted.sort();
    if sorted.descending {
        accepted.reverse();
    }
    accepted.into_iter().map(|(_, id)| id).collect()
}

/// All pages of a list, of that many images each.
async fn pages(store: &Store, filter: &ImageFilter, sorted: &Sorted, now: Timestamp) -> Vec<ImageRecord> {
    let mut all: Vec<ImageRecord> = Vec::new();
    loop {
        let after = all.last().map(|record| (record.sort_key(sorted.by), record.image.id.uuid()));
        let sorted = Sorted { after, ..sorted.clone() };
        let page = image::list(&store.read(), filter, &sorted, now).await.unwrap();
        let is_last = page.len() < usize::try_from(sorted.limit).unwrap();
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

pub(crate) async fn every_list_agrees_with_a_model(world: World) {
    let store = Store::open(&world.target).await.unwrap();
    let all = fill(&world, &store).await;
    let now = world.environment.now();
    let shared = share_some(&world, &store, &all, now).await;
    let mut random = numbers(23);
    let searches = [
        "",
        "",
        "web",
        "WEB prod",
        "50%",
        "a_b",
        "b-t",
        "notfall FÜR",
        "源",
        "5",
        "-7",
        "nothing",
        "prod web-",
        "\"",
        "\\",
    ];
    let owners = [
        OwnerFilter::CustomOf(world.customer.account_id()),
        OwnerFilter::SharedWith(world.customer.account_id()),
        OwnerFilter::VisibleTo(world.customer.account_id()),
        OwnerFilter::Stock,
        OwnerFilter::Offered,
        OwnerFilter::All,
    ];
    for round in 0..160_usize {
        let mut one_of = |count: usize| usize::try_from(random(u64::try_from(count).unwrap())).unwrap();
        let filter = ImageFilter {
            owner: owners[one_of(owners.len())],
            ids: (one_of(8) == 0).then(|| all.iter().step_by(3).map(|record| record.image.id).collect()),
            search: search(searches[one_of(searches.len())]),
            tags: [vec![], vec![], vec![tag("WEB")], vec![tag("prod"), tag("web")], vec![tag("none")]]
                [one_of(5)]
            .clone(),
            status: [
                vec![],
                vec![],
                vec![ImageStatus::Error],
                vec![ImageStatus::Available, ImageStatus::Creating],
            ][one_of(4)]
            .clone(),
            kind: [None, None, None, Some(ImageKind::Stock)][one_of(4)],
            source_instance_id: (one_of(6) == 0).then(|| InstanceId::new(Uuid::from_u128(3))),
            location_id: (one_of(6) == 0).then_some(world.location.id),
            storage_id: None,
            // Found by an index, or looked for on the way through the list.
            most_found: [None, Some(0)][round % 2],
        };
        let sorted = Sorted {
            by: [SortBy::CreatedAt, SortBy::Name, SortBy::Size][one_of(3)],
            descending: one_of(2) == 0,
            after: None,
            limit: [1, 3, 10, 500][one_of(4)],
        };
        let found = pages(&store, &filter, &sorted, now).await;
        let ids: Vec<_> = found.iter().map(|record| record.image.id).collect();
        assert_eq!(ids, expected(&all, &shared, &filter, &sorted), "{filter:?} {sorted:?}");
        for record in &found {
            let stored = all.iter().find(|known| known.image.id == record.image.id).unwrap();
            assert_eq!(record.image.tags, stored.image.tags);
        }
    }
}

async fn named(world: &World, list: ImageList) -> Vec<String> {
    let page = world.service.image_list(&world.customer, &list).await.unwrap();
    let mut names: Vec<String> = page.items.iter().map(|image| image.name.to_string()).collect();
    names.sort();
    names
}

async fn found(world: &World, text: &str) -> Vec<String> {
    named(world, ImageList { search: search(text), ..ImageList::default() }).await
}

pub(crate) async fn a_search_finds_what_users_read(world: World) {
    let first = world.image("Größe 100%").await;
    world.image("production-web-server-v2").await;
    assert_eq!(found(&world, "GRÖSSE").await, [""; 0]);
    assert_eq!(found(&world, "grö").await, ["Größe 100%"]);
    assert_eq!(found(&world, "0%").await, ["Größe 100%"]);
    assert_eq!(found(&world, "_").await, [""; 0]);
    assert_eq!(found(&world, "SERVER production").await, ["production-web-server-v2"]);
    assert_eq!(found(&world, "v2").await, ["production-web-server-v2"]);
    assert_eq!(found(&world, "web-1").await.len(), 2, "the source instance");
    assert_eq!(found(&world, "web-1production").await, [""; 0], "no word is in two parts");
    // What is changed is found by its new text only.
    let edit = ImageEdit {
        name: Some(name("Umbenannt")),
        description: Some("Kühlhaus".into()),
        ..ImageEdit::default()
    };
    world.service.image_update(&world.customer, first, edit, None).await.unwrap();
    assert_eq!(found(&world, "grö").await, [""; 0]);
    assert_eq!(found(&world, "KÜHL").await, ["Umbenannt"]);
    world.service.image_delete(&world.customer, first, None).await.unwrap();
    world.agent.work_all().await;
    assert_eq!(found(&world, "kühl").await, [""; 0]);
    // Others find nothing of it, and everybody the stock images.
    let other = ImageList { search: search("production"), scope: ImageScope::All, ..ImageList::default() };
    assert!(world.service.image_list(&world.other, &other).await.unwrap().items.is_empty());
    let stock = ImageList { search: search("small LINUX"), scope: ImageScope::All, ..ImageList::default() };
    assert_eq!(world.service.image_list(&world.other, &stock).await.unwrap().items.len(), 1);
    assert_eq!(
        named(&world, ImageList { source_instance_id: Some(world.instance), ..ImageList::default() })
            .await
            .len(),
        1
    );
}

pub(crate) async fn tags_are_changed_searched_and_removed(world: World) {
    let mut request = world.capture_request("tagged");
    request.tags = tags(&["env=Production", "Web"]);
    let made = world.service.image_capture(&world.customer, request).await.unwrap().image;
    world.agent.work_all().await;
    world.image("plain").await;
    let listed = |wanted: &[&str]| ImageList {
        tags: wanted.iter().map(|text| tag(text)).collect(),
        ..ImageList::default()
    };
    assert_eq!(named(&world, listed(&["ENV=production"])).await, ["tagged"]);
    assert_eq!(named(&world, listed(&["web", "env=production"])).await, ["tagged"]);
    assert_eq!(named(&world, listed(&["web", "other"])).await, [""; 0]);
    assert_eq!(found(&world, "env=prod").await, ["tagged"]);
    // A change keeps what it does not name, counts a version and is an event.
    let mut events = world.service.event_follow(&world.customer, EventFilter::default(), None).await.unwrap();
    let seen = world.service.image_show(&world.customer, made.id).await.unwrap();
    let edit = ImageEdit { tags: Some(tags(&["web", "v2"])), ..ImageEdit::default() };
    let changed =
        world.service.image_update(&world.customer, made.id, edit, Some(seen.version)).await.unwrap();
    assert_eq!(
        (&changed.tags, changed.version, &changed.name),
        (&tags(&["v2", "web"]), seen.version + 1, &seen.name)
    );
    let Subject::Image(followed) = events.next().await.unwrap().subject else { panic!("no image") };
    assert_eq!(*followed, changed);
    assert_eq!(named(&world, listed(&["env=production"])).await, [""; 0]);
    assert_eq!(world.service.image_show(&world.customer, made.id).await.unwrap(), changed);
    let edit = ImageEdit { name: Some(name("renamed")), ..ImageEdit::default() };
    world.service.image_update(&world.customer, made.id, edit, None).await.unwrap();
    assert_eq!(named(&world, listed(&["v2"])).await, ["renamed"]);
    let edit = ImageEdit { tags: Some(Tags::default()), ..ImageEdit::default() };
    let bare = world.service.image_update(&world.customer, made.id, edit, None).await.unwrap();
    assert!(bare.tags.is_empty());
    assert_eq!(named(&world, listed(&["v2"])).await, [""; 0]);
}

fn protection(on: bool) -> ImageEdit {
    ImageEdit { protected: Some(on), ..ImageEdit::default() }
}

pub(crate) async fn a_protected_image_is_not_deleted(world: World) {
    let id = world.image("golden").await;
    let service = &world.service;
    let shown = service.image_update(&world.customer, id, protection(true), None).await.unwrap();
    assert!(shown.protected);
    for op in [&world.customer, &world.admin] {
        let refused = service.image_delete(op, id, None).await.unwrap_err();
        assert_eq!(refused.code, Code::ImageProtected);
        assert!(refused.detail.contains("`protected`"), "{}", refused.detail);
    }
    let still = service.image_show(&world.customer, id).await.unwrap();
    assert_eq!((still.status, still.version), (ImageStatus::Available, shown.version));
    service.image_update(&world.customer, id, protection(false), None).await.unwrap();
    service.image_delete(&world.customer, id, None).await.unwrap();
    let late = service.image_update(&world.customer, id, protection(true), None).await.unwrap_err();
    assert_eq!(late.code, Code::InvalidTransition);
    world.agent.work_all().await;
    assert_eq!(service.image_show(&world.customer, id).await.unwrap_err().code, Code::NotFound);
}

pub(crate) async fn a_deletion_that_failed_shows_and_is_tried_again(world: World) {
    let id = world.image("sticky").await;
    let service = &world.service;
    let made = service.image_delete(&world.customer, id, None).await.unwrap();
    assert!(!made.image.removal_failed);
    let mut events = service.event_follow(&world.customer, EventFilter::default(), None).await.unwrap();
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    let followed = loop {
        if let Subject::Image(image) = events.next().await.unwrap().subject {
            break image;
        }
    };
    let shown = service.image_show(&world.customer, id).await.unwrap();
    assert_eq!(*followed, shown, "who looks at the image learns of it");
    assert!(shown.removal_failed && shown.status == ImageStatus::Deleting);
    assert!(shown.status_text.contains("could not be removed"), "{}", shown.status_text);
    // Deleting it again tries again, with the same task.
    let again = service.image_delete(&world.customer, id, Some(shown.version)).await.unwrap();
    assert_eq!((again.task.id, again.task.state), (made.task.id, TaskState::Queued));
    assert!(!again.image.removal_failed);
    assert_eq!(again.image, service.image_show(&world.customer, id).await.unwrap());
    world.agent.work_all().await;
    assert_eq!(service.image_show(&world.customer, id).await.unwrap_err().code, Code::NotFound);
}

pub(crate) async fn a_list_of_ids_holds_what_is_visible(world: World) {
    let mine = world.image("mine").await;
    world.image("unnamed").await;
    let unknown = ImageId::new(Uuid::from_u128(7));
    let of = |ids: Vec<ImageId>, scope| ImageList { ids: Some(ids), scope, ..ImageList::default() };
    let ids = |page: Vec<ImageView>| page.iter().map(|image| image.id).collect::<Vec<_>>();
    let list = of(vec![mine, world.stock_image, unknown], ImageScope::All);
    let seen = world.service.image_list(&world.customer, &list).await.unwrap().items;
    assert_eq!(ids(seen), [mine, world.stock_image]);
    let seen = world.service.image_list(&world.other, &list).await.unwrap().items;
    assert_eq!(ids(seen), [world.stock_image]);
    let none = world.service.image_list(&world.customer, &of(Vec::new(), ImageScope::All)).await.unwrap();
    assert!(none.items.is_empty());
    let many = of(vec![unknown; 101], ImageScope::All);
    assert_eq!(
        world.service.image_list(&world.customer, &many).await.unwrap_err().code,
        Code::InvalidRequest
    );
    // Instances as well.
    let instances = |ids| InstanceList { ids: Some(ids), ..InstanceList::default() };
    let named = instances(vec![world.instance, InstanceId::new(Uuid::from_u128(7))]);
    let seen = world.service.instance_list(&world.customer, &named).await.unwrap().items;
    assert_eq!(seen.iter().map(|seen| seen.id).collect::<Vec<_>>(), [world.instance]);
    assert!(world.service.instance_list(&world.other, &named).await.unwrap().items.is_empty());
    let many = instances(vec![world.instance; 101]);
    let refused = world.service.instance_list(&world.customer, &many).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidRequest);
    let paged = ImageList { page: PageRequest { limit: Some(1), page_token: None }, ..list };
    assert!(world.service.image_list(&world.customer, &paged).await.unwrap().next_page_token.is_some());
}

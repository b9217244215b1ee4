//! Sharing of images with other accounts (S68, S71, S72, D7).

#![expect(clippy::disallowed_methods, reason = "simultaneous requests run in the background")]

use std::sync::Arc;

use chrono::TimeDelta;
use imprint_domain::{
    Code, Error,
    account::Scope,
    id::{ImageId, ShareId},
    image::ImageEdit,
    search::Search,
    share::{MAX_OPEN_SHARES, ShareState},
    task::TaskState,
    time::{Environment, Timestamp},
};
use imprint_service::{
    EventFollower, ImageList, ImageScope, ImageView, IncomingShares, InstanceCreate, LocationPatch, Op,
    PageRequest, ShareOffer, ShareView, Subject,
};

use crate::{
    events::{follow, next},
    support::{World, account, failure, name, with_scopes},
};

fn to(image_id: ImageId, account: &str) -> ShareOffer {
    ShareOffer { image_id, account: name(account), expires_at: None }
}

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

impl World {
    /// Offers an image of the customer to the other customer.
    async fn offer(&self, image: ImageId, expires_at: Option<Timestamp>) -> ShareView {
        let request = ShareOffer { expires_at, ..to(image, "other") };
        self.service.share_offer(&self.customer, request).await.unwrap()
    }

    /// Shares an image of the customer with the other customer.
    async fn share(&self, image: ImageId, expires_at: Option<Timestamp>) -> ShareId {
        let id = self.offer(image, expires_at).await.id;
        self.service.share_accept(&self.other, id).await.unwrap();
        id
    }

    fn deployment_of(&self, image_id: ImageId) -> InstanceCreate {
        InstanceCreate { image_id, ..self.deployment("from shared") }
    }

    async fn seen_by_other(&self, scope: ImageScope) -> Vec<ImageView> {
        let list = ImageList { scope, ..ImageList::default() };
        self.service.image_list(&self.other, &list).await.unwrap().items
    }

    async fn switch_sharing(&self, on: bool) {
        let patch = LocationPatch { sharing_enabled: Some(on), ..LocationPatch::default() };
        let changed = self.service.location_update(&self.admin, self.location.id, patch).await.unwrap();
        assert_eq!(changed.sharing_enabled, on);
    }

    async fn offered(&self, op: &Op) -> Vec<(ShareId, ShareState)> {
        let page = self.service.share_incoming(op, &IncomingShares::default()).await.unwrap();
        page.items.iter().map(|share| (share.id, share.state)).collect()
    }

    async fn shares_of(&self, image: ImageId) -> Vec<(ShareId, ShareState)> {
        let page = self.service.share_list(&self.customer, image, &PageRequest::default()).await.unwrap();
        page.items.iter().map(|share| (share.id, share.state)).collect()
    }
}

/// What an account must not learn of an image that is not shared with it.
async fn sees_nothing(world: &World, op: &Op, image: ImageId) {
    let service = &world.service;
    let found = Some(Code::NotFound);
    assert_eq!(code(service.image_show(op, image).await), found);
    assert_eq!(code(service.image_update(op, image, ImageEdit::default(), None).await), found);
    assert_eq!(code(service.image_delete(op, image, None).await), found);
    assert_eq!(code(service.instance_create(op, world.deployment_of(image)).await), found);
    assert_eq!(code(service.share_offer(op, to(image, "other")).await), found);
    assert_eq!(code(service.share_list(op, image, &PageRequest::default()).await), found);
    for scope in [ImageScope::Own, ImageScope::Shared, ImageScope::All] {
        let list = ImageList { scope, ..ImageList::default() };
        let seen = service.image_list(op, &list).await.unwrap().items;
        assert!(seen.iter().all(|seen| seen.id != image), "{scope:?}");
    }
}

/// The recipient sees the image without what is the owner's alone, and may only deploy it.
async fn sees_it_narrowed(world: &World, image: ImageId, share: ShareId) {
    let service = &world.service;
    let seen = service.image_show(&world.other, image).await.unwrap();
    let owners = service.image_show(&world.customer, image).await.unwrap();
    assert!(owners.source_instance.is_some() && owners.task_id.is_some() && owners.shared.is_none());
    assert_eq!((&seen.source_instance, seen.task_id, &seen.storage), (&None, None, &None));
    assert_eq!(
        (&seen.name, seen.size_bytes, &seen.stored_digest),
        (&owners.name, owners.size_bytes, &owners.stored_digest)
    );
    let shared = seen.shared.clone().unwrap();
    assert_eq!((shared.share_id, shared.owner.as_str()), (share, "customer"));
    assert_eq!(world.seen_by_other(ImageScope::Shared).await, std::slice::from_ref(&seen));
    assert_eq!(world.seen_by_other(ImageScope::Own).await, []);
    let all = world.seen_by_other(ImageScope::All).await;
    assert!(all.len() == 2 && all.contains(&seen), "{all:?}");
    // It is found by its name, and not by the name of the instance that it was captured from.
    for (text, count) in [("GOLD", 1), ("web-1", 0), ("gold web-1", 0)] {
        let list = ImageList {
            scope: ImageScope::Shared,
            search: Search::parse(text).unwrap(),
            ..ImageList::default()
        };
        assert_eq!(service.image_list(&world.other, &list).await.unwrap().items.len(), count, "{text}");
    }
    let forbidden = Some(Code::Forbidden);
    assert_eq!(code(service.image_update(&world.other, image, ImageEdit::default(), None).await), forbidden);
    assert_eq!(code(service.image_delete(&world.other, image, None).await), forbidden);
    assert_eq!(code(service.share_offer(&world.other, to(image, "third")).await), forbidden);
    assert_eq!(code(service.share_list(&world.other, image, &PageRequest::default()).await), forbidden);
    assert_eq!(code(service.share_revoke(&world.other, share).await), forbidden);
    assert_eq!(code(service.share_leave(&world.customer, share).await), forbidden);
    let task = owners.task_id.unwrap();
    assert_eq!(code(service.task_show(&world.other, task).await), Some(Code::NotFound));
    // The owner pays: nothing counts for the recipient.
    let usage = service.account_current(&world.other).await.unwrap();
    assert_eq!((usage.images_used, usage.image_bytes_used.bytes()), (0, 0));
}

pub(crate) async fn a_shared_image_is_deployed_until_its_share_is_revoked(world: World) {
    let service = &world.service;
    let third = account(service, &world.admin, "third").await;
    let image = world.image("golden").await;
    let offered = world.offer(image, None).await;
    assert_eq!(
        (offered.state, offered.owner.as_str(), offered.recipient.as_str()),
        (ShareState::Offered, "customer", "other")
    );
    // Until it is accepted, the recipient knows of the offer only.
    sees_nothing(&world, &world.other, image).await;
    assert_eq!(world.offered(&world.other).await, [(offered.id, ShareState::Offered)]);
    assert_eq!(code(service.share_accept(&third, offered.id).await), Some(Code::NotFound));
    assert_eq!(code(service.share_accept(&world.customer, offered.id).await), Some(Code::Forbidden));
    assert_eq!(code(service.share_accept(&world.admin, offered.id).await), Some(Code::Forbidden));
    service.share_accept(&world.other, offered.id).await.unwrap();
    assert_eq!(code(service.share_accept(&world.other, offered.id).await), Some(Code::InvalidTransition));
    sees_it_narrowed(&world, image, offered.id).await;
    sees_nothing(&world, &third, image).await;
    assert_eq!(code(service.share_show(&third, offered.id).await), Some(Code::NotFound));

    let first = service.instance_create(&world.other, world.deployment_of(image)).await.unwrap();
    assert_eq!(first.instance.image.as_ref().map(|image| image.id), Some(image));
    world.agent.work_all().await;
    let waiting = service.instance_create(&world.other, world.deployment_of(image)).await.unwrap();
    service.share_revoke(&world.customer, offered.id).await.unwrap();
    sees_nothing(&world, &world.other, image).await;
    assert_eq!(world.offered(&world.other).await, []);
    assert_eq!(world.shares_of(image).await, [(offered.id, ShareState::Revoked)]);
    assert_eq!(code(service.share_show(&world.other, offered.id).await), Some(Code::NotFound));
    assert_eq!(code(service.share_revoke(&world.customer, offered.id).await), Some(Code::InvalidTransition));
    // What was accepted before is carried out, and instances stay.
    world.agent.work_all().await;
    for instance in [&first.instance, &waiting.instance] {
        let shown = service.instance_show(&world.other, instance.id).await.unwrap();
        assert_eq!((shown.status.as_str(), shown.image), ("ready", None), "later names are not shown");
    }
    // Offered again, it is another share.
    let again = world.share(image, None).await;
    assert_ne!(again, offered.id);
    assert_eq!(world.shares_of(image).await, [(again, ShareState::Accepted)]);
    service.share_leave(&world.other, again).await.unwrap();
    sees_nothing(&world, &world.other, image).await;
    let rejected = world.offer(image, None).await.id;
    service.share_reject(&world.other, rejected).await.unwrap();
    sees_nothing(&world, &world.other, image).await;
    assert_eq!(world.shares_of(image).await, [(rejected, ShareState::Rejected)]);
}

pub(crate) async fn a_retry_follows_the_rules_of_a_new_deployment(world: World) {
    let service = &world.service;
    let image = world.image("golden").await;
    let share = world.share(image, None).await;
    let made = service.instance_create(&world.other, world.deployment_of(image)).await.unwrap();
    let work = world.agent.claim_one().await;
    world.agent.finish(&work, failure(false)).await.unwrap();
    world.switch_sharing(false).await;
    assert_eq!(code(service.task_retry(&world.other, made.task.id).await), Some(Code::SharingDisabled));
    world.switch_sharing(true).await;
    service.share_revoke(&world.customer, share).await.unwrap();
    assert_eq!(code(service.task_retry(&world.other, made.task.id).await), Some(Code::NotFound));
    world.share(image, None).await;
    service.task_retry(&world.other, made.task.id).await.unwrap();
    world.agent.work_all().await;
    let task = service.task_show(&world.other, made.task.id).await.unwrap();
    assert_eq!(task.state, TaskState::Succeeded);
}

pub(crate) async fn an_expired_share_permits_nothing(world: World) {
    let service = &world.service;
    let image = world.image("golden").await;
    let soon = Some(world.environment.now() + TimeDelta::seconds(30));
    let share = world.share(image, soon).await;
    world.environment.advance(29);
    assert!(service.image_show(&world.other, image).await.is_ok());
    world.environment.advance(1);
    world.agent.heartbeat(&[]).await.unwrap();
    // Nothing has recorded it yet.
    sees_nothing(&world, &world.other, image).await;
    assert_eq!(world.offered(&world.other).await, []);
    assert_eq!(code(service.share_leave(&world.other, share).await), Some(Code::NotFound));
    let shown = service.share_show(&world.customer, share).await.unwrap();
    assert_eq!((shown.state, shown.ended_at), (ShareState::Expired, soon));
    let mut follower = follow(&world, &world.other, None).await;
    assert_eq!(service.reconcile_once().await.unwrap().shares, 1);
    assert_eq!(service.reconcile_once().await.unwrap().shares, 0);
    assert!(matches!(next(&mut follower).await.subject, Subject::ShareRemoved(id) if id == share));
    assert!(matches!(next(&mut follower).await.subject, Subject::ImageRemoved(id) if id == image));
    assert_eq!(world.shares_of(image).await, [(share, ShareState::Expired)]);
    // One that has expired is in the way of no other, whether that was recorded or not.
    let soon = Some(world.environment.now() + TimeDelta::seconds(30));
    world.offer(image, soon).await;
    world.environment.advance(30);
    let last = world.offer(image, None).await.id;
    assert_eq!(world.shares_of(image).await, [(last, ShareState::Offered)]);
    service.share_reject(&world.other, last).await.unwrap();
    world.environment.advance(31 * 24 * 3600);
    service.reconcile_once().await.unwrap();
    assert_eq!(world.shares_of(image).await, []);
}

pub(crate) async fn of_simultaneous_offers_as_many_as_fit_are_accepted(world: World) {
    const MORE: u32 = 8;
    let image = world.image("golden").await;
    for number in 0..MAX_OPEN_SHARES + MORE {
        account(&world.service, &world.admin, &format!("account {number}")).await;
    }
    let world = Arc::new(world);
    let offers: Vec<_> = (0..MAX_OPEN_SHARES + MORE)
        .map(|number| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let request = to(image, &format!("account {number}"));
                world.service.share_offer(&world.customer, request).await
            })
        })
        .collect();
    let (mut made, mut refused) = (Vec::new(), 0);
    for offer in offers {
        match offer.await.unwrap() {
            Ok(share) => made.push(share.id),
            Err(error) => {
                assert_eq!((error.code, error.context["used"].as_str()), (Code::ShareLimitReached, "100"));
                refused += 1;
            }
        }
    }
    assert_eq!((made.len(), refused), (usize::try_from(MAX_OPEN_SHARES).unwrap(), MORE));
    world.service.share_revoke(&world.customer, made[0]).await.unwrap();
    world.offer(image, None).await;
    let page = PageRequest { limit: Some(60), page_token: None };
    let first = world.service.share_list(&world.customer, image, &page).await.unwrap();
    let rest = PageRequest { page_token: first.next_page_token, ..page };
    let rest = world.service.share_list(&world.customer, image, &rest).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next_page_token), (60, 41, None));
}

pub(crate) async fn what_forbids_a_share_says_so(world: World) {
    let service = &world.service;
    let creating = world.capture("creating").await.image.id;
    let refused = async |request| service.share_offer(&world.customer, request).await.unwrap_err();
    assert_eq!(refused(to(creating, "other")).await.code, Code::ImageNotAvailable);
    world.agent.work_all().await;
    let image = creating;
    let own = refused(to(image, "customer")).await;
    assert_eq!((own.code, own.pointer.as_deref()), (Code::InvalidRequest, Some("/account")));
    let past = refused(ShareOffer { expires_at: Some(world.environment.now()), ..to(image, "other") }).await;
    assert_eq!((past.code, past.pointer.as_deref()), (Code::InvalidRequest, Some("/expires_at")));
    assert_eq!(refused(to(world.stock_image, "other")).await.code, Code::Forbidden);
    let stock = service.share_offer(&world.admin, to(world.stock_image, "other")).await;
    assert_eq!(code(stock), Some(Code::InvalidRequest));
    let of_other = service.share_offer(&world.admin, to(image, "other")).await;
    assert_eq!(code(of_other), Some(Code::Forbidden), "an admin shares its own images only");
    let reading = with_scopes(&world.customer, &[Scope::ImagesRead]);
    assert_eq!(code(service.share_offer(&reading, to(image, "other")).await), Some(Code::Forbidden));

    world.switch_sharing(false).await;
    assert_eq!(refused(to(image, "other")).await.code, Code::SharingDisabled);
    world.switch_sharing(true).await;
    let share = world.offer(image, None).await.id;
    let twice = refused(to(image, "other")).await;
    assert_eq!((twice.code, twice.context["share_id"].clone()), (Code::AlreadyShared, share.to_string()));
    world.switch_sharing(false).await;
    assert_eq!(code(service.share_accept(&world.other, share).await), Some(Code::SharingDisabled));
    world.switch_sharing(true).await;
    service.share_accept(&world.other, share).await.unwrap();
    world.switch_sharing(false).await;
    let deployment = service.instance_create(&world.other, world.deployment_of(image)).await;
    assert_eq!(code(deployment), Some(Code::SharingDisabled));
    assert!(service.image_show(&world.other, image).await.is_ok(), "it is still seen");
    assert!(service.instance_create(&world.customer, world.deployment_of(image)).await.is_ok());
    service.share_revoke(&world.customer, share).await.unwrap();
    world.switch_sharing(true).await;
    guessing_names_is_slowed_down(&world, image).await;
}

/// Names of accounts cannot be tried one after the other.
async fn guessing_names_is_slowed_down(world: &World, image: ImageId) {
    let offer = async |text: &str| world.service.share_offer(&world.customer, to(image, text)).await;
    for number in 0..10 {
        let unknown = offer(&format!("guess {number}")).await.unwrap_err();
        assert_eq!((unknown.code, unknown.pointer.as_deref()), (Code::NotFound, Some("/account")));
    }
    let limited = offer("other").await.unwrap_err();
    assert_eq!((limited.code, limited.context["retry_after_s"].as_str()), (Code::RateLimited, "900"));
    world.environment.advance(900);
    assert!(offer("other").await.is_ok());
    let closed = IncomingShares { state: vec![ShareState::Revoked], ..IncomingShares::default() };
    let refused = world.service.share_incoming(&world.other, &closed).await;
    assert_eq!(code(refused), Some(Code::InvalidRequest));
}

async fn image_of(follower: &mut EventFollower) -> Box<ImageView> {
    let subject = next(follower).await.subject;
    let Subject::Image(image) = subject else { panic!("{subject:?}") };
    image
}

async fn state_of(follower: &mut EventFollower) -> ShareState {
    let subject = next(follower).await.subject;
    let Subject::Share(share) = subject else { panic!("{subject:?}") };
    share.state
}

pub(crate) async fn both_sides_follow_a_share(world: World) {
    let image = world.image("golden").await;
    let mut owner = follow(&world, &world.customer, None).await;
    let mut recipient = follow(&world, &world.other, None).await;
    let share = world.offer(image, None).await.id;
    assert_eq!(state_of(&mut owner).await, ShareState::Offered);
    assert_eq!(state_of(&mut recipient).await, ShareState::Offered);
    world.service.share_accept(&world.other, share).await.unwrap();
    assert_eq!(state_of(&mut owner).await, ShareState::Accepted);
    assert_eq!(state_of(&mut recipient).await, ShareState::Accepted);
    let appeared = image_of(&mut recipient).await;
    assert_eq!((appeared.id, appeared.source_instance, appeared.task_id), (image, None, None));
    let edit = ImageEdit { name: Some(name("renamed")), ..ImageEdit::default() };
    world.service.image_update(&world.customer, image, edit, None).await.unwrap();
    assert!(image_of(&mut owner).await.source_instance.is_some());
    let changed = image_of(&mut recipient).await;
    assert_eq!((changed.name.as_str(), changed.source_instance), ("renamed", None));
    world.service.share_revoke(&world.customer, share).await.unwrap();
    assert_eq!(state_of(&mut owner).await, ShareState::Revoked);
    assert!(matches!(next(&mut recipient).await.subject, Subject::ShareRemoved(id) if id == share));
    assert!(matches!(next(&mut recipient).await.subject, Subject::ImageRemoved(id) if id == image));
    // What was recorded while the image was shared is not shown afterwards.
    let edit = ImageEdit { name: Some(name("secret")), ..ImageEdit::default() };
    world.service.image_update(&world.customer, image, edit, None).await.unwrap();
    let mut again = follow(&world, &world.other, Some(0)).await;
    for _ in 0..2 {
        assert!(matches!(next(&mut again).await.subject, Subject::ShareRemoved(id) if id == share));
    }
    for _ in 0..2 {
        assert!(matches!(next(&mut again).await.subject, Subject::ImageRemoved(id) if id == image));
    }
}

pub(crate) async fn the_deletion_of_an_image_ends_its_shares(world: World) {
    let service = &world.service;
    let image = world.image("golden").await;
    let share = world.share(image, None).await;
    account(service, &world.admin, "third").await;
    service.share_offer(&world.customer, to(image, "third")).await.unwrap();
    let deployed = service.instance_create(&world.other, world.deployment_of(image)).await.unwrap();
    let busy = service.image_delete(&world.customer, image, None).await;
    assert_eq!(code(busy), Some(Code::ImageInUse), "the deployment reads it");
    world.agent.work_all().await;
    let mut recipient = follow(&world, &world.other, None).await;
    service.image_delete(&world.customer, image, None).await.unwrap();
    assert!(matches!(next(&mut recipient).await.subject, Subject::ShareRemoved(id) if id == share));
    assert!(matches!(next(&mut recipient).await.subject, Subject::ImageRemoved(id) if id == image));
    sees_nothing(&world, &world.other, image).await;
    let states: Vec<_> = world.shares_of(image).await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [ShareState::Revoked, ShareState::Revoked]);
    world.agent.work_all().await;
    assert_eq!(code(service.share_show(&world.customer, share).await), Some(Code::NotFound));
    let shown = service.instance_show(&world.other, deployed.instance.id).await.unwrap();
    assert_eq!((shown.status.as_str(), shown.image), ("ready", None));
}

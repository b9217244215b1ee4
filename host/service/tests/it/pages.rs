//! Pages: whatever is asked for, all of them together are the list.

use imprint_agent_protocol::Outcome;
use imprint_domain::{Code, image::ImageStatus, size::ByteSize};
use imprint_service::{
    ImageList, ImageScope, ImageSort, ImageSortField, ImageView, InstanceList, PageRequest, TaskList,
};

use crate::support::{World, size, success};

/// A generator that gives the same numbers each time.
pub(crate) fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

/// Images with names and sizes that repeat, some without a size.
async fn fill(world: &World) {
    let mut random = numbers(7);
    let names = ["alpha", "Alpha", "beta", "älpha", "zeta", "beta "];
    for index in 0..23 {
        let text = names[usize::try_from(random(6)).unwrap()];
        world.environment.advance(i64::try_from(random(2)).unwrap());
        let made = world.capture(text).await;
        let work = world.agent.claim_one().await;
        assert_eq!(work.task_id, made.task.id);
        if index % 7 == 0 {
            world.agent.finish(&work, crate::support::failure(false)).await.unwrap();
            continue;
        }
        let mut outcome = success(&work.kind);
        if let Outcome::Captured(result) = &mut outcome {
            result.image.size = size((random(4) + 1) << 20);
        }
        world.agent.finish(&work, outcome).await.unwrap();
    }
}

async fn pages(world: &World, base: &ImageList, limit: u32) -> Vec<ImageView> {
    let mut all = Vec::new();
    let mut token = None;
    for _ in 0..100 {
        let mut list = base.clone();
        list.page = PageRequest { limit: Some(limit), page_token: token };
        let page = world.service.image_list(&world.customer, &list).await.unwrap();
        assert!(page.items.len() <= usize::try_from(limit).unwrap());
        all.extend(page.items);
        token = page.next_page_token;
        if token.is_none() {
            return all;
        }
    }
    panic!("the pages do not end");
}

fn sorted(mut images: Vec<ImageView>, sort: ImageSort) -> Vec<ImageView> {
    images.sort_by(|left, right| {
        let bytes = |image: &ImageView| image.size_bytes.map(ByteSize::as_i64).unwrap_or(-1);
        let by_key = match sort.field {
            ImageSortField::CreatedAt => left.created_at.cmp(&right.created_at),
            ImageSortField::Name => left.name.as_str().as_bytes().cmp(right.name.as_str().as_bytes()),
            ImageSortField::SizeBytes => bytes(left).cmp(&bytes(right)),
        };
        let order = by_key.then(left.id.cmp(&right.id));
        if sort.descending { order.reverse() } else { order }
    });
    images
}

pub(crate) async fn pages_join_to_the_whole_list(world: World) {
    fill(&world).await;
    let whole = pages(&world, &ImageList::default(), 500).await;
    assert_eq!(whole.len(), 23);
    for field in [ImageSortField::CreatedAt, ImageSortField::Name, ImageSortField::SizeBytes] {
        for descending in [false, true] {
            let sort = ImageSort { field, descending };
            let expected = sorted(whole.clone(), sort);
            for limit in [1, 2, 5, 7, 22, 23, 24] {
                let list = ImageList { sort, ..ImageList::default() };
                let ids = |images: &[ImageView]| images.iter().map(|image| image.id).collect::<Vec<_>>();
                assert_eq!(ids(&pages(&world, &list, limit).await), ids(&expected), "{sort:?} {limit}");
            }
        }
    }
    let list = ImageList { status: vec![ImageStatus::Error], ..ImageList::default() };
    assert_eq!(pages(&world, &list, 2).await.len(), 4);
    let list = ImageList { scope: ImageScope::All, ..ImageList::default() };
    assert_eq!(pages(&world, &list, 5).await.len(), 24, "and the stock image");
    let list = ImageList { scope: ImageScope::Stock, ..ImageList::default() };
    assert_eq!(pages(&world, &list, 5).await.len(), 1);
}

pub(crate) async fn a_token_belongs_to_its_list(world: World) {
    for _ in 0..3 {
        world.image("one").await;
    }
    let page = PageRequest { limit: Some(1), page_token: None };
    let list = ImageList { page, ..ImageList::default() };
    let token = world.service.image_list(&world.customer, &list).await.unwrap().next_page_token.unwrap();
    let with = |token: &str| PageRequest { limit: Some(1), page_token: Some(token.to_owned()) };
    let others = [
        ImageList { status: vec![ImageStatus::Available], page: with(&token), ..ImageList::default() },
        ImageList { scope: ImageScope::All, page: with(&token), ..ImageList::default() },
        ImageList {
            sort: ImageSort { field: ImageSortField::Name, descending: true },
            page: with(&token),
            ..ImageList::default()
        },
        ImageList { page: with("not a token"), ..ImageList::default() },
        ImageList { page: with(&"A".repeat(5000)), ..ImageList::default() },
        ImageList { page: with(""), ..ImageList::default() },
    ];
    for list in others {
        let error = world.service.image_list(&world.customer, &list).await.unwrap_err();
        assert_eq!(error.code, Code::PageTokenInvalid, "{list:?}");
    }
    let tasks = TaskList { page: with(&token), ..TaskList::default() };
    let error = world.service.task_list(&world.customer, &tasks).await.unwrap_err();
    assert_eq!(error.code, Code::PageTokenInvalid);
    for limit in [0, 501] {
        let page = PageRequest { limit: Some(limit), page_token: None };
        let error = world
            .service
            .instance_list(&world.customer, &InstanceList { ids: None, page })
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::InvalidRequest);
    }
    // Another page size continues where the first one ended.
    let page = PageRequest { limit: Some(2), page_token: Some(token) };
    let list = ImageList { page, ..ImageList::default() };
    assert_eq!(world.service.image_list(&world.customer, &list).await.unwrap().items.len(), 2);
}

use chrono::TimeDelta;
use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

use super::*;
use crate::time::Timestamp;

const GIB: u64 = 1 << 30;

fn id(number: u128) -> StorageId {
    StorageId::new(Uuid::from_u128(number))
}

fn hypervisor(number: u128) -> HypervisorId {
    HypervisorId::new(Uuid::from_u128(number))
}

fn size(bytes: u64) -> ByteSize {
    ByteSize::new(bytes).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn storage(number: u128, kind: &str) -> ImageStorage {
    let name = Name::parse(&format!("storage {number}")).unwrap();
    let kind = kind.parse().unwrap();
    ImageStorage::new(id(number), name, StorageRole::Customer, kind, BTreeMap::new())
}

fn report(total: u64, available: Option<u64>) -> StorageHealth {
    StorageHealth {
        hypervisor_id: hypervisor(1),
        total: Some(size(total)),
        available: available.map(size),
        read_only: false,
        problem: None,
        seen_at: now(),
    }
}

fn candidate(number: u128, available: Option<u64>) -> Candidate {
    Candidate {
        storage: storage(number, "s3"),
        health: Some(report(1000 * GIB, available)),
        reserved: ByteSize::ZERO,
    }
}

fn chosen(candidates: &[Candidate], needed: u64) -> Result<StorageId, Code> {
    choose(candidates, size(needed), None, now()).map(|chosen| chosen.storage.id).map_err(|error| error.code)
}

#[test]
fn weights_are_bounded() {
    assert_eq!(Weight::new(1000).map(Weight::number), Ok(1000));
    assert_eq!(Weight::new(1001), Err(InvalidWeight));
    assert_eq!(Weight::default().number(), 100);
}

#[test]
fn a_folder_of_one_machine_is_bound_once_unless_it_is_shared() {
    let two = [hypervisor(1), hypervisor(2)];
    let mut local = storage(1, "local");
    assert!(local.require_shared(&[hypervisor(1)]).is_ok());
    let refused = local.require_shared(&two).unwrap_err();
    assert_eq!(refused.code, Code::StorageNotShared);
    assert_eq!(refused.context["hypervisor_id"], hypervisor(1).to_string());
    local.shared_path = true;
    assert!(local.require_shared(&two).is_ok() && local.check_shared_path().is_ok());
    let mut object_store = storage(2, "s3");
    assert!(object_store.require_shared(&two).is_ok());
    object_store.shared_path = true;
    assert_eq!(object_store.check_shared_path().unwrap_err().pointer.as_deref(), Some("/shared_path"));
}

#[test]
fn the_state_of_a_storage_changes_at_any_time_and_a_target_goes_with_draining() {
    let mut storage = storage(1, "local");
    storage.set_state(StorageState::Draining, Some(id(2))).unwrap();
    assert_eq!((storage.state, storage.drain_to), (StorageState::Draining, Some(id(2))));
    let pointer = |error: Error| error.pointer;
    let itself = storage.set_state(StorageState::Draining, Some(id(1)));
    assert_eq!(itself.map_err(pointer), Err(Some("/drain_to".to_owned())));
    let target = storage.set_state(StorageState::ReadOnly, Some(id(2)));
    assert_eq!(target.map_err(pointer), Err(Some("/drain_to".to_owned())));
    assert_eq!(storage.state, StorageState::Draining, "a refusal changes nothing");
    storage.set_state(StorageState::Active, None).unwrap();
    assert_eq!((storage.state, storage.drain_to), (StorageState::Active, None));
    storage.role = StorageRole::Stock;
    let stock = storage.set_state(StorageState::Draining, None);
    assert_eq!(stock.map_err(pointer), Err(Some("/state".to_owned())));
}

#[test]
fn what_is_nearly_full_depends_on_the_size_and_on_the_setting() {
    assert_eq!(default_min_free(size(100 * GIB)), size(5 * GIB));
    assert_eq!(default_min_free(size(1000 * GIB)), size(10 * GIB));
    let mut storage = storage(1, "local");
    let class = |storage: &ImageStorage, available, reserved| {
        report(100 * GIB, Some(available)).class(storage, size(reserved), now())
    };
    assert_eq!(class(&storage, 5 * GIB, 0), HealthClass::Healthy);
    assert_eq!(class(&storage, 5 * GIB, 1), HealthClass::NearlyFull);
    storage.min_free = Some(size(50 * GIB));
    assert_eq!(class(&storage, 49 * GIB, 0), HealthClass::NearlyFull);
    storage.min_free = Some(ByteSize::ZERO);
    assert_eq!(class(&storage, 0, 0), HealthClass::Healthy);
}

#[test]
fn one_hypervisor_in_trouble_does_not_hide_what_the_others_see() {
    let storage = storage(1, "s3");
    let well = report(100 * GIB, Some(50 * GIB));
    let broken = StorageHealth {
        hypervisor_id: hypervisor(2),
        problem: Some("no route".to_owned()),
        available: None,
        ..well.clone()
    };
    let summary = StorageSummary::of(&storage, &[well.clone(), broken], ByteSize::ZERO, now());
    assert_eq!(summary.class, HealthClass::Unreachable);
    assert_eq!(summary.problem, Some((hypervisor(2), "no route".to_owned())));
    assert_eq!(summary.available, Some(size(50 * GIB)));
    let old = StorageHealth { seen_at: now() - TimeDelta::seconds(60), ..well.clone() };
    assert_eq!(StorageSummary::of(&storage, &[old], ByteSize::ZERO, now()).class, HealthClass::Unknown);
    assert_eq!(StorageSummary::of(&storage, &[], ByteSize::ZERO, now()).class, HealthClass::Unknown);
    let read_only = StorageHealth { read_only: true, ..well.clone() };
    let summary = StorageSummary::of(&storage, std::slice::from_ref(&read_only), ByteSize::ZERO, now());
    assert!(summary.problem.is_some_and(|(_, text)| text.contains("read-only")));
    let by_request = ImageStorage { state: StorageState::ReadOnly, ..storage.clone() };
    let summary = StorageSummary::of(&by_request, &[read_only], ByteSize::ZERO, now());
    assert_eq!((summary.class, summary.problem), (HealthClass::ReadOnly, None));
    let full = report(100 * GIB, Some(GIB));
    let summary = StorageSummary::of(&storage, &[full, well], ByteSize::ZERO, now());
    assert!(summary.problem.is_some_and(|(_, text)| text.contains("nearly full")));
    assert_eq!(summary.available, Some(size(GIB)));
}

#[test]
fn a_storage_that_reports_no_free_space_can_win() {
    let candidates = [candidate(1, Some(500 * GIB)), candidate(2, None)];
    assert_eq!(chosen(&candidates, GIB), Ok(id(1)), "of equals the older one");
    let mut preferred = candidates.clone();
    preferred[1].storage.weight = Weight::new(101).unwrap();
    assert_eq!(chosen(&preferred, GIB), Ok(id(2)));
    let mut used = candidates;
    used[0].reserved = size(GIB);
    assert_eq!(chosen(&used, GIB), Ok(id(1)), "it counts as having as much as the best of the others");
    used[0].health = None;
    assert_eq!(chosen(&used, GIB), Ok(id(2)), "and less is promised to it");
}

#[test]
fn weight_and_free_space_are_multiplied() {
    let mut candidates = [candidate(1, Some(100 * GIB)), candidate(2, Some(300 * GIB))];
    assert_eq!(chosen(&candidates, GIB), Ok(id(2)));
    candidates[0].storage.weight = Weight::new(301).unwrap();
    assert_eq!(chosen(&candidates, GIB), Ok(id(1)));
    candidates[0].reserved = size(90 * GIB);
    assert_eq!(chosen(&candidates, GIB), Ok(id(2)), "what is reserved is not free");
    assert_eq!(chosen(&candidates, 20 * GIB), Ok(id(2)));
    candidates[1].health = Some(report(1000 * GIB, Some(0)));
    assert_eq!(chosen(&candidates, 20 * GIB), Err(Code::InsufficientStorage));
    assert_eq!(chosen(&candidates, GIB), Ok(id(1)), "nearly full, and the only one with room");
}

#[test]
fn only_storages_that_take_images_are_chosen() {
    assert_eq!(chosen(&[], 0), Err(Code::NoImageStorageBound));
    let mut one = [candidate(1, Some(100 * GIB))];
    for state in [StorageState::ReadOnly, StorageState::Draining] {
        one[0].storage.state = state;
        assert_eq!(chosen(&one, 0), Err(Code::StorageUnavailable), "{state}");
    }
    one[0].storage.state = StorageState::Active;
    one[0].health = Some(StorageHealth { read_only: true, ..report(GIB, Some(GIB)) });
    assert_eq!(chosen(&one, 0), Err(Code::StorageUnavailable));
    one[0].health = Some(StorageHealth { problem: Some("gone".to_owned()), ..report(GIB, None) });
    assert_eq!(chosen(&one, 0), Err(Code::StorageUnavailable));
    one[0].health = None;
    assert_eq!(chosen(&one, 0), Ok(id(1)), "before its first report it may well work");
    one[0].storage.weight = Weight::new(0).unwrap();
    assert_eq!(chosen(&one, 0), Err(Code::StorageUnavailable));
    let asked = |id| choose(&one, ByteSize::ZERO, Some(id), now()).map(|chosen| chosen.storage.id);
    assert_eq!(asked(id(1)).ok(), Some(id(1)));
    assert_eq!(asked(id(2)).unwrap_err().code, Code::NoImageStorageBound);
}

prop_compose! {
    fn facts()(
        free in option::weighted(0.8, 0..1000_u64),
        reserved in 0..500_u64,
        weight in 0..=Weight::MAX,
        state in prop::sample::select(StorageState::ALL),
        read_only in prop::bool::weighted(0.1),
        reported in prop::bool::weighted(0.9),
    ) -> Candidate {
        let mut candidate = candidate(0, free.map(|free| free * GIB));
        candidate.reserved = size(reserved * GIB);
        candidate.storage.weight = Weight::new(weight).unwrap();
        candidate.storage.state = state;
        candidate.health = candidate.health.filter(|_| reported).map(|health| StorageHealth { read_only, ..health });
        candidate
    }
}

fn numbered(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for (number, candidate) in (1..).zip(&mut candidates) {
        candidate.storage.id = id(number);
    }
    candidates
}

proptest! {
    #[test]
    fn the_same_facts_choose_the_same_storage_in_any_order(
        candidates in vec(facts(), 1..8),
        needed in 0..800_u64,
        turn in 0..8_usize,
    ) {
        let candidates = numbered(candidates);
        let first = chosen(&candidates, needed * GIB);
        let mut turned = candidates.clone();
        turned.rotate_left(turn % candidates.len());
        prop_assert_eq!(&first, &chosen(&turned, needed * GIB));
        turned.reverse();
        prop_assert_eq!(&first, &chosen(&turned, needed * GIB));
        if let Ok(found) = first {
            let winner = candidates.iter().find(|candidate| candidate.storage.id == found).unwrap();
            prop_assert!(winner.free().is_none_or(|free| free.bytes() >= needed * GIB));
            prop_assert_eq!(winner.storage.state, StorageState::Active);
            prop_assert!(winner.storage.weight.number() > 0);
            prop_assert!(!winner.health.as_ref().is_some_and(|health| health.read_only));
        }
    }

    #[test]
    fn what_is_reserved_one_after_the_other_never_exceeds_what_is_free(
        candidates in vec(facts(), 1..6),
        needed in vec(1..300_u64, 1..40),
    ) {
        let mut candidates = numbered(candidates);
        let before = candidates.clone();
        for bytes in needed {
            let Ok(found) = chosen(&candidates, bytes * GIB) else { continue };
            let winner = candidates.iter_mut().find(|candidate| candidate.storage.id == found).unwrap();
            winner.reserved = winner.reserved.saturating_add(size(bytes * GIB));
        }
        for (after, before) in candidates.iter().zip(&before) {
            let available = after.health.as_ref().and_then(|health| health.available);
            if let Some(available) = available && after.reserved > before.reserved {
                prop_assert!(after.reserved <= available);
            }
        }
    }

    #[test]
    fn a_larger_weight_never_loses_what_a_smaller_one_won(
        candidates in vec(facts(), 1..8),
        needed in 0..300_u64,
        more in 1..=Weight::MAX,
    ) {
        let mut candidates = numbered(candidates);
        if let Ok(found) = chosen(&candidates, needed * GIB) {
            let winner = candidates.iter_mut().find(|candidate| candidate.storage.id == found).unwrap();
            winner.storage.weight = Weight::new((winner.storage.weight.number() + more).min(Weight::MAX)).unwrap();
            prop_assert_eq!(chosen(&candidates, needed * GIB), Ok(found));
        }
    }
}

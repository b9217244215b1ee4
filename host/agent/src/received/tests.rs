use uuid::Uuid;

use super::*;

fn task() -> TaskId {
    TaskId::new(Uuid::from_u128(7))
}

#[test]
fn parts_arrive_in_any_order_and_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Received::open(folder.path(), task(), 25, 10).unwrap();
    let file = open();
    assert_eq!(file.state().missing, [1, 2, 3]);
    assert_eq!(
        (file.part(1), file.part(3), file.part(4), file.part(0)),
        (Some((0, 10)), Some((20, 25)), None, None)
    );
    file.write(20, b"third", None).unwrap();
    file.write(0, b"the first ", None).unwrap();
    file.sync().unwrap();
    file.write(10, b"lost with ", None).unwrap();
    assert_eq!((file.state().offset, file.state().received, file.durable()), (25, 25, 15));
    drop(file);
    let again = open();
    let state = again.state();
    assert_eq!((state.offset, state.received, &state.missing[..]), (10, 15, &[2][..]));
    assert_eq!(durable_bytes(folder.path(), task()), 15);
    again.write(10, b"the second", None).unwrap();
    again.sync().unwrap();
    assert_eq!(fs::read(file_of(folder.path(), task())).unwrap(), b"the first the secondthird");
    remove(folder.path(), task()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_taken_behind_the_end_or_from_a_request_that_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = Received::open(folder.path(), task(), 10, 10).unwrap();
    assert!(matches!(file.write(8, b"xyz", None), Err(NotTaken::Outside { size: 10, end: 11 })));
    assert!(matches!(file.write(u64::MAX, b"x", None), Err(NotTaken::Outside { .. })));
    let first = file.take_turn();
    file.write(0, b"a", Some(first)).unwrap();
    let second = file.take_turn();
    assert!(matches!(file.write(1, b"b", Some(first)), Err(NotTaken::Superseded)));
    file.write(1, b"c", Some(second)).unwrap();
    assert_eq!(file.state().offset, 2);
}

#[test]
fn a_file_of_another_size_or_a_damaged_log_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = Received::open(folder.path(), task(), 10, 10).unwrap();
    file.write(0, b"0123456789", None).unwrap();
    file.sync().unwrap();
    drop(file);
    assert_eq!(Received::open(folder.path(), task(), 10, 10).unwrap().state().received, 10);
    assert_eq!(Received::open(folder.path(), task(), 11, 10).unwrap().state().received, 0);
    fs::write(path_of(folder.path(), task(), LOG), b"nonsense\n").unwrap();
    assert_eq!(Received::open(folder.path(), task(), 11, 10).unwrap().state().received, 0);
}

#[tokio::test]
async fn the_end_is_noticed_and_so_is_silence() {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(Received::open(folder.path(), task(), 4, 4).unwrap());
    assert!(!file.complete(Duration::from_millis(20), |_| {}).await);
    let writing = async {
        file.write(0, b"ab", None).unwrap();
        file.write(2, b"cd", None).unwrap();
    };
    let (complete, ()) = tokio::join!(file.complete(Duration::from_secs(60), |_| {}), writing);
    assert!(complete);
}

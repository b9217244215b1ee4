//! The sink with a server that the test holds up.
#![expect(clippy::disallowed_methods, reason = "tests run what they test in the background")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use proptest::prelude::*;

use super::*;

const PART: usize = 64 << 10;

/// What the threads that send parts have met.
#[derive(Default)]
struct Server {
    sent: Mutex<BTreeMap<u32, Vec<u8>>>,
    /// Parts are sent only while it is open.
    gate: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
    panics: bool,
    /// The parts of an earlier process.
    kept: BTreeMap<u32, Vec<u8>>,
}

struct Link(Arc<Server>);

impl SendPart for Link {
    fn send(&self, number: u32, payload: Payload<'_>) -> Result<(), PortError> {
        assert!(!self.0.panics, "this sender panics");
        self.0.waiting.fetch_add(1, SeqCst);
        let mut open = sync::lock(&self.0.gate);
        while !*open {
            open = self.0.opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        drop(open);
        self.0.waiting.fetch_sub(1, SeqCst);
        let mut bytes = Vec::new();
        payload.pieces(|piece| bytes.extend_from_slice(piece)).unwrap();
        let before = sync::lock(&self.0.sent).insert(number, bytes);
        assert!(before.is_none(), "a part is sent once");
        Ok(())
    }

    fn kept(&self) -> Vec<ByteRange> {
        let range = |(number, bytes): (&u32, &Vec<u8>)| ByteRange {
            offset: u64::from(number - 1) * offset(PART),
            length: offset(bytes.len()),
        };
        self.0.kept.iter().map(range).collect()
    }

    fn keep(&self, number: u32, length: u64) -> bool {
        let kept = self.0.kept.get(&number).filter(|bytes| offset(bytes.len()) == length);
        let Some(bytes) = kept else { return false };
        sync::lock(&self.0.sent).insert(number, bytes.clone()).is_none()
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Server {
    fn open(&self) {
        *sync::lock(&self.gate) = true;
        self.opened.notify_all();
    }

    fn bytes(&self) -> Vec<u8> {
        sync::lock(&self.sent).values().flatten().copied().collect()
    }
}

fn sink(server: &Arc<Server>, parallel: usize) -> PartSink {
    let plan = Plan { part_size: PART, max_parts: 10_000, parallel };
    PartSink::start(Box::new(Link(server.clone())), plan).unwrap()
}

fn at(part: usize) -> u64 {
    offset(part * PART)
}

/// Every part has its first half and waits; all but the last few of them in files.
fn halves(sink: &PartSink, parts: usize) {
    for part in 0..parts {
        sink.write_all_at(&[1; PART / 2], at(part)).unwrap();
    }
}

#[test]
fn parts_that_wait_in_files_are_read_into_buffers_that_exist() {
    let server = Arc::new(Server::default());
    let sink = Arc::new(sink(&server, 1));
    let parts = 20;
    halves(&sink, parts);
    let most = sink.plan().buffers();
    assert_eq!(sink.shared.state().buffers, most);
    // The server takes nothing yet, so that no buffer comes back.
    let writer = {
        let sink = sink.clone();
        std::thread::spawn(move || {
            for part in 0..parts {
                sink.write_all_at(&[2; PART / 2], at(part) + offset(PART / 2)).unwrap();
            }
        })
    };
    while server.waiting.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    server.open();
    writer.join().unwrap();
    sink.set_size(at(parts)).unwrap();
    sink.sync().unwrap();
    assert_eq!(sink.shared.state().buffers, most);
    let expected: Vec<u8> = (0..parts).flat_map(|_| [[1; PART / 2], [2; PART / 2]].concat()).collect();
    assert_eq!(server.bytes(), expected);
}

#[test]
fn what_is_left_at_the_end_waits_for_buffers_as_well() {
    let server = Arc::new(Server::default());
    server.open();
    let sink = sink(&server, 2);
    halves(&sink, 40);
    sink.set_size(at(40)).unwrap();
    sink.sync().unwrap();
    assert_eq!(sink.shared.state().buffers, sink.plan().buffers());
    let expected: Vec<u8> = (0..40).flat_map(|_| [[1; PART / 2], [0; PART / 2]].concat()).collect();
    assert_eq!(server.bytes(), expected);
}

#[test]
fn large_parts_are_sent_from_files() {
    let server = Arc::new(Server::default());
    let size = (64 << 20) + PART;
    let plan = Plan { part_size: size, max_parts: 10, parallel: 2 };
    let sink = PartSink::start(Box::new(Link(server.clone())), plan).unwrap();
    server.open();
    // The head comes last, and most of it is never written.
    sink.write_all_at(b"tail", offset(2 * size)).unwrap();
    sink.write_all_at(b"middle", offset(size) - 3).unwrap();
    sink.write_all_at(b"head", 0).unwrap();
    sink.set_size(offset(2 * size) + 5).unwrap();
    sink.sync().unwrap();
    assert_eq!(sink.shared.state().buffers, 0, "nothing of it was in memory");
    let bytes = server.bytes();
    assert_eq!(bytes.len(), 2 * size + 5);
    let present: Vec<_> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
    let expected = [0..4, size - 3..size + 3, 2 * size..2 * size + 4];
    assert_eq!(present, expected.into_iter().flatten().collect::<Vec<_>>());
    assert!(bytes.starts_with(b"head") && bytes.ends_with(b"tail\0"));
}

#[test]
fn what_an_earlier_process_sent_is_kept_and_everything_else_is_sent() {
    let short = vec![9; 100];
    let kept = BTreeMap::from([(2, vec![7; PART]), (4, short.clone())]);
    let server = Arc::new(Server { kept, ..Server::default() });
    server.open();
    let sink = sink(&server, 2);
    let range = |part, length| ByteRange { offset: at(part), length: offset(length) };
    assert_eq!(sink.kept(), [range(1, PART), range(3, 100)]);
    sink.write_all_at(&[1; PART], at(0)).unwrap();
    sink.keep(range(1, PART)).unwrap();
    sink.write_all_at(&[3; PART], at(2)).unwrap();
    for wrong in [range(1, PART), range(0, PART), range(3, 99), range(4, PART)] {
        assert_eq!(sink.keep(wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{wrong:?}");
    }
    let inside = ByteRange { offset: at(3) + 1, length: 100 };
    assert!(sink.keep(inside).is_err());
    sink.keep(range(3, 100)).unwrap();
    sink.set_size(at(3) + 100).unwrap();
    sink.sync().unwrap();
    let expected = [[1; PART].as_slice(), &[7; PART], &[3; PART], &short].concat();
    assert_eq!(server.bytes(), expected);
}

#[test]
fn a_sender_that_panics_ends_the_upload() {
    let server = Arc::new(Server { panics: true, ..Server::default() });
    let sink = sink(&server, 2);
    sink.write_all_at(&[1; PART], 0).unwrap();
    sink.set_size(at(1)).unwrap();
    let error = sink.sync().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// In whatever order bytes are written, what arrives is the file.
    #[test]
    fn pieces_in_any_order_are_the_file(order in Just((0..24_usize).collect::<Vec<_>>()).prop_shuffle(), parallel in 1_usize..4) {
        let server = Arc::new(Server::default());
        server.open();
        let sink = sink(&server, parallel);
        let piece = PART / 3 + 7;
        let total = 24 * piece;
        let bytes: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for index in order {
            sink.write_all_at(&bytes[index * piece..(index + 1) * piece], offset(index * piece)).unwrap();
        }
        sink.set_size(offset(total)).unwrap();
        sink.sync().unwrap();
        prop_assert!(sink.shared.state().buffers <= sink.plan().buffers());
        prop_assert!(server.bytes() == bytes);
    }
}

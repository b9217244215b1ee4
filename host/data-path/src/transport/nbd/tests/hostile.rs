//! Hostile servers, each with one violation of the protocol.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
};

use super::*;
use crate::transport::nbd::wire::{
    INIT_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC,
};

const EXPORT: u64 = 1 << 20;

/// A request as the server sees it.
struct Asked {
    command: u16,
    handle: u64,
}

type Reply = dyn Fn(&Asked) -> Vec<u8> + Send;

/// What a server answers; the default is honest.
struct Script {
    greeting: Vec<u8>,
    structured: bool,
    /// Replies to GO.
    go: Vec<u8>,
    reply: Box<Reply>,
    /// Bytes at a time, with a pause behind each piece.
    pieces: usize,
}

impl Script {
    fn new(reply: impl Fn(&Asked) -> Vec<u8> + Send + 'static) -> Self {
        let greeting = [INIT_MAGIC.to_be_bytes(), OPTION_MAGIC.to_be_bytes()].concat();
        Self {
            greeting: [greeting, vec![0, 3]].concat(),
            structured: true,
            go: [export(EXPORT), option_reply(7, 1, &[])].concat(),
            reply: Box::new(reply),
            pieces: usize::MAX,
        }
    }

    /// Serves one connection after the other until the listener goes.
    fn serve(self) -> (tempfile::TempDir, NbdOptions) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is what most of these tests want.
                let _ = self.converse(stream);
            }
        });
        let options = NbdOptions {
            timeout: Duration::from_millis(500),
            connections: 1,
            ..NbdOptions::new(socket, "x")
        };
        (folder, options)
    }

    fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.write_all(&self.greeting)?;
        stream.read_exact(&mut [0; 4])?;
        loop {
            let mut head = [0; 16];
            stream.read_exact(&mut head)?;
            let option = u32::from_be_bytes(head[8..12].try_into().unwrap());
            let length = u32::from_be_bytes(head[12..16].try_into().unwrap());
            stream.read_exact(&mut vec![0; usize::try_from(length).unwrap()])?;
            match option {
                8 if self.structured => stream.write_all(&option_reply(8, 1, &[]))?,
                8 => stream.write_all(&option_reply(8, 0x8000_0001, b"unsupported"))?,
                10 => {
                    let context = [&7u32.to_be_bytes()[..], b"base:allocation"].concat();
                    stream.write_all(&option_reply(10, 4, &context))?;
                    stream.write_all(&option_reply(10, 1, &[]))?;
                }
                _ => {
                    stream.write_all(&self.go)?;
                    break;
                }
            }
        }
        stream.set_read_timeout(None)?;
        loop {
            let mut request = [0; 28];
            stream.read_exact(&mut request)?;
            let command = u16::from_be_bytes(request[6..8].try_into().unwrap());
            let handle = u64::from_be_bytes(request[8..16].try_into().unwrap());
            let answer = (self.reply)(&Asked { command, handle });
            if answer.is_empty() {
                return Ok(());
            }
            for piece in answer.chunks(self.pieces) {
                stream.write_all(piece)?;
                if self.pieces != usize::MAX {
                    stream.set_read_timeout(Some(Duration::from_millis(10)))?;
                    // The pause: nothing comes.
                    let _ = stream.read(&mut [0; 1]);
                }
            }
        }
    }
}

fn option_reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    let head = [option.to_be_bytes(), kind.to_be_bytes(), length.to_be_bytes()].concat();
    [&OPTION_REPLY_MAGIC.to_be_bytes(), head.as_slice(), data].concat()
}

fn export(size: u64) -> Vec<u8> {
    option_reply(7, 3, &[&[0, 0][..], &size.to_be_bytes(), &[0, 1]].concat())
}

fn chunk_of(length: u32, done: bool, kind: u16, handle: u64, payload: &[u8]) -> Vec<u8> {
    let mut chunk = STRUCTURED_REPLY_MAGIC.to_be_bytes().to_vec();
    chunk.extend(u16::from(done).to_be_bytes());
    chunk.extend(kind.to_be_bytes());
    chunk.extend(handle.to_be_bytes());
    chunk.extend(length.to_be_bytes());
    chunk.extend(payload);
    chunk
}

fn chunk(done: bool, kind: u16, handle: u64, payload: &[u8]) -> Vec<u8> {
    chunk_of(u32::try_from(payload.len()).unwrap(), done, kind, handle, payload)
}

fn data(done: bool, handle: u64, offset: u64, length: usize) -> Vec<u8> {
    chunk(done, 1, handle, &[offset.to_be_bytes().to_vec(), vec![0xAB; length]].concat())
}

fn hole(done: bool, handle: u64, offset: u64, length: u32) -> Vec<u8> {
    chunk(done, 2, handle, &[&offset.to_be_bytes()[..], &length.to_be_bytes()].concat())
}

fn read(script: Script) -> Result<Vec<u8>, io::Error> {
    let (_folder, options) = script.serve();
    let client = NbdClient::connect(&options)?;
    let mut buf = vec![0xEE; 65536];
    client.read_exact_at(&mut buf, 4096).map(|()| buf)
}

fn read_code(reply: impl Fn(&Asked) -> Vec<u8> + Send + 'static) -> &'static str {
    code(&read(Script::new(reply)).unwrap_err())
}

#[test]
fn pieces_may_come_in_any_order() {
    let bytes = read(Script::new(|asked| {
        [
            data(false, asked.handle, 4096 + 32768, 16384),
            hole(false, asked.handle, 4096 + 49152, 16384),
            data(false, asked.handle, 4096, 32768),
            chunk(true, 0, asked.handle, &[]),
        ]
        .concat()
    }))
    .unwrap();
    assert!(bytes[..49152].iter().all(|byte| *byte == 0xAB) && bytes[49152..].iter().all(|byte| *byte == 0));
}

#[test]
fn servers_without_structured_replies_are_read() {
    let simple = |asked: &Asked| {
        let head = [SIMPLE_REPLY_MAGIC.to_be_bytes(), [0; 4]].concat();
        [head, asked.handle.to_be_bytes().to_vec(), vec![0xCD; 65536]].concat()
    };
    let script = Script { structured: false, ..Script::new(simple) };
    assert_eq!(read(script).unwrap(), vec![0xCD; 65536]);
    assert_eq!(read_code(simple), "nbd.protocol", "but not when structured ones were agreed upon");
}

#[test]
fn wrong_replies_are_refused() {
    assert_eq!(read_code(|asked| data(true, asked.handle + 7, 4096, 65536)), "nbd.protocol", "handle");
    assert_eq!(read_code(|asked| data(true, asked.handle, 0, 65536)), "nbd.protocol", "before the range");
    assert_eq!(
        read_code(|asked| data(true, asked.handle, 4096 + 65536, 1)),
        "nbd.protocol",
        "behind the range"
    );
    assert_eq!(read_code(|asked| data(true, asked.handle, 4096, 65537)), "nbd.protocol", "too long");
    assert_eq!(read_code(|asked| data(true, asked.handle, 4096, 65535)), "nbd.protocol", "too short");
    assert_eq!(read_code(|asked| hole(true, asked.handle, 4096, 65537)), "nbd.protocol", "hole too long");
    assert_eq!(read_code(|asked| hole(true, asked.handle, 4096, 0)), "nbd.protocol", "empty hole");
    assert_eq!(read_code(|asked| hole(true, asked.handle, u64::MAX, 1)), "nbd.protocol", "far hole");
    let twice = |asked: &Asked| {
        [data(false, asked.handle, 4096, 40000), data(true, asked.handle, 4096 + 39999, 25537)].concat()
    };
    assert_eq!(read_code(twice), "nbd.protocol", "overlap");
    assert_eq!(read_code(|asked| chunk(true, 0, asked.handle, &[])), "nbd.protocol", "nothing");
    assert_eq!(read_code(|asked| chunk(false, 0, asked.handle, &[])), "nbd.protocol", "nothing, endlessly");
    assert_eq!(
        read_code(|asked| chunk_of(u32::MAX, true, 1, asked.handle, &[0; 64])),
        "nbd.protocol",
        "huge"
    );
    assert_eq!(read_code(|asked| chunk(true, 99, asked.handle, &[0; 64])), "nbd.protocol", "kind");
    assert_eq!(
        read_code(|asked| chunk(true, 5, asked.handle, &[0; 12])),
        "nbd.protocol",
        "status for a read"
    );
    assert_eq!(read_code(|_| vec![0x55; 64]), "nbd.protocol", "magic");
    let crumbs = |asked: &Asked| (0..2000).flat_map(|n| data(false, asked.handle, 4096 + n, 1)).collect();
    assert_eq!(read_code(crumbs), "nbd.protocol", "crumbs");
    assert_eq!(read_code(|_| Vec::new()), "nbd.disconnected", "gone");
    assert_eq!(
        read_code(|asked| data(true, asked.handle, 4096, 65536)[..40000].to_vec()),
        "nbd.timeout",
        "half"
    );
}

#[test]
fn a_server_that_sends_byte_by_byte_hits_the_deadline() {
    let script = Script { pieces: 1, ..Script::new(|asked| data(true, asked.handle, 4096, 65536)) };
    let start = Instant::now();
    assert_eq!(code(&read(script).unwrap_err()), "nbd.timeout");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn errors_of_the_server_are_passed_on_clean() {
    let text = b"no \x1b[31mdisk\n";
    let payload = [&5u32.to_be_bytes()[..], &u16::try_from(text.len()).unwrap().to_be_bytes(), text].concat();
    let error = read(Script::new(move |asked| chunk(true, 0x8001, asked.handle, &payload))).unwrap_err();
    assert_eq!(code(&error), "nbd.server");
    assert!(error.to_string().contains("error 5: no [31mdisk"), "{error}");
    assert_eq!(read_code(|asked| chunk(true, 0x8001, asked.handle, &[0; 5])), "nbd.protocol");
    let long = |asked: &Asked| chunk(true, 0x8001, asked.handle, &[0xFF; 6]);
    assert_eq!(read_code(long), "nbd.server", "a text that is not there");
}

#[test]
fn a_wrong_block_status_is_refused() {
    let status = |context: u32, blocks: &[u32]| {
        let numbers: Vec<u8> = [context].iter().chain(blocks).flat_map(|n| n.to_be_bytes()).collect();
        move |asked: &Asked| match asked.command {
            7 => chunk(true, 5, asked.handle, &numbers),
            _ => Vec::new(),
        }
    };
    let ask = |script: Script| {
        let (_folder, options) = script.serve();
        NbdClient::connect(&options).unwrap().segments(ByteRange { offset: 0, length: EXPORT })
    };
    let zero = |offset, length| Segment { range: ByteRange { offset, length }, zero: true };
    assert_eq!(ask(Script::new(status(7, &[1 << 20, 3]))).unwrap(), [zero(0, EXPORT)]);
    assert_eq!(ask(Script::new(status(7, &[1 << 30, 2]))).unwrap(), [zero(0, EXPORT)], "cut to the export");
    for (name, context, blocks) in [
        ("context", 8, vec![1 << 20, 3]),
        ("empty block", 7, vec![0, 3]),
        ("half a block", 7, vec![1 << 20]),
        ("no block", 7, vec![]),
    ] {
        let error = ask(Script::new(status(context, &blocks))).unwrap_err();
        assert_eq!(code(&error), "nbd.protocol", "{name}");
    }
    let huge = |asked: &Asked| chunk_of(u32::MAX - 3, true, 5, asked.handle, &[0; 64]);
    assert_eq!(code(&ask(Script::new(huge)).unwrap_err()), "nbd.protocol");
}

#[test]
fn a_wrong_handshake_is_refused() {
    let connect = |change: fn(&mut Script)| {
        let mut script = Script::new(|_| Vec::new());
        change(&mut script);
        let (_folder, options) = script.serve();
        NbdClient::connect(&options).err().map(|error| error.code())
    };
    assert_eq!(connect(|_| {}), None);
    assert_eq!(connect(|script| script.greeting = vec![b'x'; 64]), Some("nbd.not-nbd"));
    assert_eq!(connect(|script| script.greeting[8] ^= 1), Some("nbd.not-nbd"), "oldstyle");
    assert_eq!(connect(|script| script.greeting[17] = 0), Some("nbd.not-nbd"), "not fixed");
    assert_eq!(connect(|script| script.greeting.truncate(5)), Some("nbd.timeout"), "silence");
    assert_eq!(connect(|script| script.go = option_reply(7, 1, &[])), Some("nbd.protocol"), "no size");
    assert_eq!(connect(|script| script.go = option_reply(7, 0x8000_0006, b"no")), Some("nbd.refused"));
    assert_eq!(
        connect(|script| script.go = [export(1 << 63), option_reply(7, 1, &[])].concat()),
        Some("nbd.protocol")
    );
    assert_eq!(connect(|script| script.go = vec![9; 64]), Some("nbd.protocol"), "magic");
    assert_eq!(connect(|script| script.go = option_reply(6, 1, &[])), Some("nbd.protocol"), "another option");
    assert_eq!(connect(|script| script.go = export(EXPORT).repeat(100)), Some("nbd.protocol"), "endless");
    assert_eq!(connect(|script| script.go[16..20].fill(0xFF)), Some("nbd.protocol"), "huge");
    assert_eq!(
        connect(|script| {
            let blocks = option_reply(7, 3, &[&[0, 3][..], &3u32.to_be_bytes(), &[0; 8]].concat());
            script.go = [export(EXPORT), blocks, option_reply(7, 1, &[])].concat();
        }),
        Some("nbd.protocol"),
        "blocks of 3 bytes"
    );
}

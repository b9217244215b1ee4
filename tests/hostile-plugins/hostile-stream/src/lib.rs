//! A storage with objects that only it can read: the bits of every byte are rotated by an amount
//! that depends on its offset. Zeroes stay zeroes, so holes stay holes. It behaves well, except for
//! keys with a last part that starts with the name of a misbehaviour, or with settings that name
//! one.

use imprint_plugin_sdk::{
    admin::{Administered, SettingFinding},
    error::{Error, ErrorClass, Result},
    export_admin, export_streaming_storage,
    host::{Replace, Space, StorageHost, StreamHost},
    storage::{
        Features, Listing, Object, Order, Storage, StreamReader, StreamStorage, StreamWriter, Upload,
        WriteRequest, WriteTarget,
    },
    types::{Digest, Props, ReadLocator},
};

const GRANT: &str = "pool";
const SUFFIX: &str = ".part";
/// Bytes that are moved before a misbehaviour in the middle of an object begins.
const MIDDLE: u64 = 3 << 20;
/// How long a slow write takes.
const SLOW_MS: u32 = 200;

/// The misbehaviour that a key or the settings name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trick {
    None,
    /// Reads answer a byte too few.
    Short,
    /// Reads answer a byte too many.
    Long,
    /// Reads and writes panic from the middle on.
    Trap,
    /// One read panics: the one that finds no mark.
    TrapOnce,
    /// Reads and writes sleep longer than any call may take.
    Hang,
    /// Reads and writes never come back, and burn the processor.
    Loop,
    /// Writes find the storage full from the middle on.
    Full,
    /// The reader knows another size than the storage.
    Size,
    /// Reads succeed the second time.
    Busy,
    /// Writes are refused with a code of the plugin's own.
    Refuse,
    /// Each write takes its time.
    Slow,
}

impl Trick {
    fn of(key: &str) -> Self {
        let name = key.rsplit('/').next().unwrap_or(key);
        let tricks = [
            ("short", Self::Short),
            ("long", Self::Long),
            ("trap-once", Self::TrapOnce),
            ("trap", Self::Trap),
            ("hang", Self::Hang),
            ("loop", Self::Loop),
            ("full", Self::Full),
            ("size", Self::Size),
            ("again", Self::Busy),
            ("refuse", Self::Refuse),
            ("slow", Self::Slow),
        ];
        tricks.into_iter().find(|(word, _)| name.starts_with(word)).map_or(Self::None, |(_, trick)| trick)
    }
}

/// By how many bits the byte at an offset is rotated: 1 to 7.
fn rotation(at: u64) -> u32 {
    1 + u32::from(at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]) % 7
}

fn scramble(bytes: &mut [u8], offset: u64) {
    bytes.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = byte.rotate_left(rotation(at)));
}

fn unscramble(bytes: &mut [u8], offset: u64) {
    bytes.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = byte.rotate_right(rotation(at)));
}

struct Scrambled {
    /// The setting `order` = `any`: bytes may come in any order.
    order: Order,
    /// The setting `trick`: the misbehaviour for every key.
    trick: Option<String>,
}

struct ScrambledUpload {
    key: String,
}

impl ScrambledUpload {
    fn part(&self) -> String {
        format!("{}{SUFFIX}", self.key)
    }
}

fn object(key: &str, size: u64) -> Object {
    Object { key: key.to_owned(), size, stored: None, modified_ms: None, etag: None, extra: Props::new() }
}

fn make_folders(host: &dyn StorageHost, key: &str) -> Result<()> {
    key.match_indices('/').try_for_each(|(end, _)| host.create_directory(GRANT, &key[..end]))
}

impl Storage for Scrambled {
    type Host = dyn StorageHost;
    type Upload = ScrambledUpload;

    fn open(_host: &dyn StorageHost, settings: &Props) -> Result<Self> {
        let any = settings.get("order").is_some_and(|order| order == "any");
        let order = if any { Order::Any } else { Order::Ascending };
        Ok(Self { order, trick: settings.get("trick").cloned() })
    }

    fn features(&self, _host: &dyn StorageHost) -> Result<Features> {
        Ok(Features {
            random_read: true,
            random_write: self.order == Order::Any,
            append: true,
            server_side_copy: false,
            atomic_replace: true,
            max_object: None,
            extra: Props::new(),
        })
    }

    fn space(&self, host: &dyn StorageHost) -> Result<Option<Space>> {
        host.space(GRANT).map(Some)
    }

    fn stat(&self, host: &dyn StorageHost, key: &str) -> Result<Object> {
        let entry = host.stat(GRANT, key)?;
        Ok(Object { modified_ms: Some(entry.modified_ms), ..object(key, entry.size) })
    }

    fn list(&self, host: &dyn StorageHost, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
        let page = host.list(GRANT, "", resume, max)?;
        let wanted = page.entries.iter().filter(|entry| {
            !entry.is_directory && entry.name.starts_with(prefix) && !entry.name.ends_with(SUFFIX)
        });
        let objects = wanted.map(|entry| object(&entry.name, entry.size)).collect();
        Ok(Listing { objects, prefixes: Vec::new(), resume: page.resume })
    }

    fn open_read(&self, host: &dyn StorageHost, key: &str) -> Result<ReadLocator> {
        host.stat(GRANT, key)?;
        Ok(ReadLocator::GuestStream)
    }

    fn delete(&self, host: &dyn StorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        Ok(keys.iter().filter_map(|key| Some((key.clone(), host.remove_file(GRANT, key).err()?))).collect())
    }

    fn begin_upload(&self, host: &dyn StorageHost, request: &WriteRequest) -> Result<ScrambledUpload> {
        make_folders(host, &request.key)?;
        Ok(ScrambledUpload { key: request.key.clone() })
    }

    fn resume_upload(&self, _host: &dyn StorageHost, token: &[u8]) -> Result<ScrambledUpload> {
        let key = String::from_utf8(token.to_vec());
        Ok(ScrambledUpload { key: key.map_err(|_| Error::invalid_input("stream.token", "it is no token"))? })
    }

    fn cleanup(&self, host: &Self::Host, token: &[u8]) -> Result<()> {
        self.resume_upload(host, token)?.abort(host)
    }
}

impl Upload for ScrambledUpload {
    fn token(&self) -> Vec<u8> {
        self.key.clone().into_bytes()
    }

    fn target(&self) -> WriteTarget {
        WriteTarget::GuestStream
    }

    fn commit(&mut self, host: &dyn StorageHost, _total: u64, _digests: &[Digest]) -> Result<Object> {
        host.publish(GRANT, &self.part(), &self.key, Replace::Refused)?;
        Ok(object(&self.key, host.stat(GRANT, &self.key)?.size))
    }

    fn abort(&mut self, host: &dyn StorageHost) -> Result<()> {
        host.remove_file(GRANT, &self.part())
    }
}

impl StreamStorage for Scrambled {
    type StreamHost = dyn StreamHost;
    type Reader = Reader;
    type Writer = Writer;

    fn open_stream(host: &Self::StreamHost, settings: &Props) -> Result<Self> {
        Self::open(host, settings)
    }

    fn reader(&self, host: &dyn StreamHost, key: &str) -> Result<Reader> {
        let size = host.stat(GRANT, key)?.size;
        Ok(Reader {
            key: key.to_owned(),
            size,
            trick: Trick::of(self.trick.as_deref().unwrap_or(key)),
            asked: 0,
        })
    }

    fn writer(&self, host: &Self::StreamHost, token: &[u8]) -> Result<Writer> {
        let upload = self.resume_upload(host, token)?;
        let trick = Trick::of(self.trick.as_deref().unwrap_or(&upload.key));
        Ok(Writer { part: upload.part(), order: self.order, trick })
    }
}

struct Reader {
    key: String,
    size: u64,
    trick: Trick,
    asked: u64,
}

fn hang(host: &dyn StreamHost) {
    host.sleep_ms(u32::MAX);
}

fn burn() {
    let mut value = 1_u64;
    while value != 0 {
        value = std::hint::black_box(value | 1);
    }
}

impl StreamReader for Reader {
    fn size(&self) -> u64 {
        if self.trick == Trick::Size { self.size + 1 } else { self.size }
    }

    fn read(&mut self, host: &dyn StreamHost, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.asked += 1;
        let mut bytes = host.read_at(GRANT, &self.key, offset, length)?;
        unscramble(&mut bytes, offset);
        match self.trick {
            Trick::Short => bytes.truncate(bytes.len().saturating_sub(1)),
            Trick::Long => bytes.push(0),
            Trick::Trap if offset >= MIDDLE => panic!("as the key says"),
            Trick::TrapOnce if host.stat(GRANT, "trapped").is_err() => {
                host.set_size(GRANT, "trapped", 0)?;
                panic!("for once");
            }
            Trick::Hang => hang(host),
            Trick::Loop => burn(),
            Trick::Busy if self.asked == 1 => {
                return Err(Error::transient_after("stream.busy", "another client is being served", 10));
            }
            Trick::None
            | Trick::Trap
            | Trick::TrapOnce
            | Trick::Full
            | Trick::Size
            | Trick::Busy
            | Trick::Refuse
            | Trick::Slow => {}
        }
        Ok(bytes)
    }
}

struct Writer {
    part: String,
    order: Order,
    trick: Trick,
}

impl StreamWriter for Writer {
    fn order(&self) -> Order {
        self.order
    }

    fn write(&mut self, host: &dyn StreamHost, offset: u64, bytes: &[u8]) -> Result<()> {
        match self.trick {
            Trick::Trap if offset >= MIDDLE => panic!("as the key says"),
            Trick::Hang => hang(host),
            Trick::Loop => burn(),
            Trick::Slow => host.sleep_ms(SLOW_MS),
            Trick::Full if offset >= MIDDLE => {
                return Err(Error::limit("stream.no-space", "the storage is full"));
            }
            Trick::Refuse => {
                return Err(Error {
                    class: ErrorClass::Denied,
                    code: "stream.quota".to_owned(),
                    message: "no writes are accepted on Sundays; write tomorrow".to_owned(),
                    retry_after_ms: None,
                });
            }
            Trick::None
            | Trick::Short
            | Trick::Long
            | Trick::Trap
            | Trick::TrapOnce
            | Trick::Full
            | Trick::Size
            | Trick::Busy => {}
        }
        let mut bytes = bytes.to_vec();
        scramble(&mut bytes, offset);
        host.write_at(GRANT, &self.part, offset, &bytes)
    }

    fn finish(&mut self, host: &dyn StreamHost, size: u64) -> Result<()> {
        host.set_size(GRANT, &self.part, size)?;
        host.sync(GRANT, &self.part)
    }
}

export_streaming_storage!(Scrambled);
export_admin!(Scrambled);

impl Administered for Scrambled {
    fn check_settings(settings: &Props) -> Vec<SettingFinding> {
        match settings.get("order").map(String::as_str) {
            Some("any" | "ascending") => Vec::new(),
            Some(_) => vec![SettingFinding::error("order", "write any or ascending")],
            None => vec![SettingFinding::warning("order", "bytes are taken in ascending order")],
        }
    }

    fn self_test() -> Result<()> {
        Ok(())
    }
}

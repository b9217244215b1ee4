//! Runs in the guest: `ledger-writer FOLDER SLOTS PAUSE_MICROSECONDS`. Writes for ever, and prints
//! one line a second: `LEDGER seq=N max_ms=M`, and `STALL ms=M` for a write that took more than
//! half a second.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    thread,
    time::{Duration, Instant},
};

use imprint_ledger::{RECORD, SLOT, record_bytes, slot_bytes};

#[expect(clippy::print_stdout, reason = "the guest's console is where the host reads how it goes")]
fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "/data".to_owned());
    let slots: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(512);
    let pause = Duration::from_micros(args.next().and_then(|text| text.parse().ok()).unwrap_or(2000));
    let blob = open(&format!("{folder}/blob"))?;
    let ledger = open(&format!("{folder}/ledger"))?;
    let record = u64::try_from(RECORD).unwrap_or(1);
    let mut records = ledger.metadata()?.len() / record;
    println!("LEDGER start seq={records}");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ records;
    let (mut shown, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let sequence = records + 1;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let slot = random % slots;
        let start = Instant::now();
        blob.write_all_at(&slot_bytes(sequence), slot * u64::try_from(SLOT).unwrap_or(0))?;
        blob.sync_data()?;
        ledger.write_all_at(&record_bytes(sequence, slot), records * record)?;
        ledger.sync_data()?;
        records = sequence;
        let took = start.elapsed();
        longest = longest.max(took);
        if took > Duration::from_millis(500) {
            println!("STALL ms={}", took.as_millis());
        }
        if shown.elapsed() >= Duration::from_secs(1) {
            println!("LEDGER seq={records} max_ms={}", longest.as_millis());
            io::stdout().flush()?;
            (shown, longest) = (Instant::now(), Duration::ZERO);
        }
        thread::sleep(pause);
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

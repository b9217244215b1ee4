use std::{fs::File, path::Path, process::Command};

use super::*;
use crate::{
    disk::options::OpenOptions,
    limits::Limits,
    testing::{FakeFormat, MemorySink, Pattern},
    transfer::{compare::Comparison, read::compare, write::write_image},
    transport::file::{FileSink, FileSource},
};

/// Whole clusters, and a piece that ends inside a block.
const SIZE: u64 = (40 << 20) + 5 * 512;

/// An XFS of its own, mounted until the test ends.
struct Xfs {
    folder: tempfile::TempDir,
}

impl Xfs {
    /// `None` when `IMPRINT_TESTS_WITHOUT_MOUNT` says that this machine cannot mount; otherwise
    /// that is a failure.
    fn mount() -> Option<Self> {
        if std::env::var_os("IMPRINT_TESTS_WITHOUT_MOUNT").is_some() {
            eprintln!("not tested: IMPRINT_TESTS_WITHOUT_MOUNT is set");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("xfs.img");
        File::create(&image).unwrap().set_len(512 << 20).unwrap();
        run(Command::new("mkfs.xfs").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("-q").arg(&image));
        std::fs::create_dir(folder.path().join("mnt")).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder.path().join("mnt")));
        Some(Self { folder })
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("mnt")
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        run(Command::new("umount").arg(self.path()));
    }
}

fn run(command: &mut Command) {
    let ended = command.output();
    let good = ended.as_ref().is_ok_and(|output| output.status.success());
    assert!(
        good,
        "{command:?} failed ({ended:?}); this test needs root, loop devices and xfsprogs, or IMPRINT_TESTS_WITHOUT_MOUNT=1"
    );
}

fn sink(folder: &Path, name: &str) -> Arc<dyn BlockSink> {
    let path = folder.join(name);
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    Arc::new(FileSink::from_file(file, name).unwrap())
}

async fn open(format: &FakeFormat, folder: &Path, name: &str) -> Arc<Disk> {
    let source = FileSource::from_file(File::open(folder.join(name)).unwrap(), name).unwrap();
    Arc::new(Disk::open(format, Arc::new(source), &OpenOptions::default()).await.unwrap())
}

fn pattern() -> Arc<Disk> {
    Arc::new(Disk::from_raw(Arc::new(Pattern { size: SIZE, seed: 5 }), &Limits::default()).unwrap())
}

/// Free bytes, once everything is written.
fn free(folder: &Path) -> u64 {
    let handle = File::open(folder).unwrap();
    rustix::fs::syncfs(&handle).unwrap();
    let stat = rustix::fs::fstatvfs(&handle).unwrap();
    stat.f_bfree * stat.f_frsize
}

#[tokio::test(flavor = "multi_thread")]
async fn where_blocks_can_be_shared_nothing_is_copied_and_the_file_is_the_same() {
    let Some(xfs) = Xfs::mount() else { return };
    let folder = xfs.path();
    let options = WriteOptions::default();
    write_image(&pattern(), &FakeFormat::raw(), &sink(&folder, "raw"), &options).await.unwrap();
    let raw = open(&FakeFormat::raw(), &folder, "raw").await;
    let plain = FakeFormat::plain(65536);

    let before = free(&folder);
    let cloned = clone_image(&raw, &plain, &sink(&folder, "cloned"), &options).await.unwrap().unwrap();
    let taken = before - free(&folder);
    assert!(cloned.cloned_bytes > 16 << 20, "{cloned:?}");
    assert!(cloned.copied_bytes < 4096, "the end of the disk only: {cloned:?}");
    assert!(taken < 1 << 20, "{taken} bytes were taken");
    let written = write_image(&raw, &plain, &sink(&folder, "written"), &options).await.unwrap();
    assert_eq!((written.file_size, written.virtual_size), (cloned.file_size, SIZE));
    let read = |name| std::fs::read(folder.join(name)).unwrap();
    assert!(read("cloned") == read("written"), "sharing and copying make the same file");

    let image = open(&plain, &folder, "cloned").await;
    let back =
        clone_image(&image, &FakeFormat::raw(), &sink(&folder, "back"), &options).await.unwrap().unwrap();
    assert!(back.cloned_bytes >= cloned.cloned_bytes && back.file_size == SIZE, "{back:?}");
    assert!(read("back") == read("raw"));

    // Small units are shared where a run of them fills blocks; units below a block cannot be.
    let small = clone_image(&raw, &FakeFormat::plain(4096), &sink(&folder, "small"), &options).await.unwrap();
    assert!(small.is_some());
    let image = open(&FakeFormat::plain(4096), &folder, "small").await;
    assert_eq!(compare(&raw, &image, &options).await.unwrap(), Comparison::Identical);
    assert_eq!(
        clone_image(&raw, &FakeFormat::plain(512), &sink(&folder, "tiny"), &options).await.unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_blocks_cannot_be_shared_nothing_is_written() {
    let here = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = WriteOptions::default();
    let (raw, plain) = (FakeFormat::raw(), FakeFormat::plain(65536));
    write_image(&pattern(), &raw, &sink(here.path(), "raw"), &options).await.unwrap();
    let disk = open(&raw, here.path(), "raw").await;
    for format in [&raw, &plain] {
        let name = format!("to {}", format.identity);
        let sink = sink(elsewhere.path(), &name);
        assert_eq!(clone_image(&disk, format, &sink, &options).await.unwrap(), None);
        assert_eq!(std::fs::metadata(elsewhere.path().join(&name)).unwrap().len(), 0);
    }
    let memory: Arc<dyn BlockSink> = Arc::new(MemorySink::default());
    assert_eq!(clone_image(&disk, &plain, &memory, &options).await.unwrap(), None);
    // Neither from what is no file, nor into what is encoded, nor from it.
    let sink = |name| sink(here.path(), name);
    assert_eq!(clone_image(&pattern(), &plain, &sink("pattern"), &options).await.unwrap(), None);
    let zstd = FakeFormat::compressed("zstd");
    assert_eq!(clone_image(&disk, &zstd, &sink("into"), &options).await.unwrap(), None);
    write_image(&disk, &zstd, &sink("zstd"), &options).await.unwrap();
    let encoded = open(&zstd, here.path(), "zstd").await;
    assert_eq!(clone_image(&encoded, &raw, &sink("from"), &options).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_operation_ends() {
    let Some(xfs) = Xfs::mount() else { return };
    let folder = xfs.path();
    let options = WriteOptions::default();
    write_image(&pattern(), &FakeFormat::raw(), &sink(&folder, "raw"), &options).await.unwrap();
    let raw = open(&FakeFormat::raw(), &folder, "raw").await;
    options.cancel.cancel();
    let ended = clone_image(&raw, &FakeFormat::raw(), &sink(&folder, "out"), &options).await;
    assert!(matches!(ended, Err(EngineError::Cancelled)), "{ended:?}");
}

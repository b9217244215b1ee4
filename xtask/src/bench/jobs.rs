//! The jobs: what is measured against what, and what has to be reached.
//!
//! Scripts run in `sh` with `$IN` (the folder of the sources), `$OUT` (the file to write) and
//! `$IMPRINT`. The goals have the names of the design's list.
//!
//! Our times hold the digests of the disk and of the file, which no alternative computes, except
//! where a script says `--digest none`: a copy that shares blocks cannot have them, and P8 compares
//! processor time for the same work. P12 is the job with the SHA-256 of the file, too.

/// Where the sources and the target of a job are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory: both tools warm, no disk in the figures.
    Memory,
    /// On the file system of the checkout.
    Disk,
    /// The same, with empty page caches.
    Cold,
    /// On XFS with reflinks.
    Xfs,
}

/// Another tool doing the same job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternative {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    /// Takes a minute: it is measured in one round, and that figure counts for all.
    pub(super) slow: bool,
}

/// What a goal compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// The alternative of that name.
    Alternative(&'static str),
    /// The fastest alternative of the round.
    Best,
}

/// What has to be reached: alternative's figure divided by ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) id: &'static str,
    pub(super) against: Against,
    pub(super) at_least: f64,
    pub(super) aim: f64,
}

/// One job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// Sources that it needs beside `disk.raw`.
    pub(super) sources: &'static [&'static str],
    pub(super) alternatives: &'static [Alternative],
    pub(super) ours: &'static str,
    pub(super) goals: &'static [Goal],
    /// Our file is at most this many times as large as that alternative's.
    pub(super) size: Option<(&'static str, f64)>,
    /// Our CPU seconds are at most this share of that alternative's.
    pub(super) cpu: Option<(&'static str, f64)>,
    /// Fails unless `$OUT` holds the disk.
    pub(super) check: &'static str,
}

const fn alternative(name: &'static str, script: &'static str) -> Alternative {
    Alternative { name, script, slow: false }
}

const fn slow(name: &'static str, script: &'static str) -> Alternative {
    Alternative { name, script, slow: true }
}

const fn goal(id: &'static str, against: Against, at_least: f64, aim: f64) -> Goal {
    Goal { id, against, at_least, aim }
}

const DEFAULT: Against = Against::Alternative("default");
const QCOW2: &str =
    "qemu-img check -q -f qcow2 $OUT && qemu-img compare -q -f raw -F qcow2 $IN/disk.raw $OUT";
const RAW: &str = "cmp $IN/disk.raw $OUT";
const VMDK: &str = "qemu-img compare -q -f raw -F vmdk $IN/disk.raw $OUT";

/// How each derived source is made from `disk.raw`. The alternative's tool makes them, so that
/// neither tool reads only files of its own.
pub(super) const SOURCES: &[(&str, &str)] = &[
    ("plain.qcow2", "qemu-img convert -m 16 -W -f raw -O qcow2 $IN/disk.raw $OUT"),
    ("zlib.qcow2", "qemu-img convert -m 16 -W -f raw -O qcow2 -c $IN/disk.raw $OUT"),
    ("zstd.qcow2", "qemu-img convert -m 16 -W -f raw -O qcow2 -c -o compression_type=zstd $IN/disk.raw $OUT"),
    ("stream.vmdk", "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized $IN/disk.raw $OUT"),
    ("full.raw", "cp --sparse=never $IN/disk.raw $OUT"),
];

pub(super) const JOBS: &[Job] = &[
    Job {
        name: "raw -> qcow2 zlib",
        place: Place::Memory,
        sources: &[],
        alternatives: &[
            slow("default", "qemu-img convert -f raw -O qcow2 -c $IN/disk.raw $OUT"),
            alternative("-m 16 -W", "qemu-img convert -m 16 -W -f raw -O qcow2 -c $IN/disk.raw $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from raw --to qcow2 --compress zlib $IN/disk.raw $OUT",
        goals: &[goal("P1", DEFAULT, 8.0, 20.0), goal("P2", Against::Best, 4.5, 12.0)],
        size: Some(("default", 1.02)),
        cpu: None,
        check: QCOW2,
    },
    Job {
        name: "raw -> qcow2 zstd",
        place: Place::Memory,
        sources: &[],
        alternatives: &[
            alternative(
                "default",
                "qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd $IN/disk.raw $OUT",
            ),
            alternative(
                "-m 16 -W",
                "qemu-img convert -m 16 -W -f raw -O qcow2 -c -o compression_type=zstd $IN/disk.raw $OUT",
            ),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from raw --to qcow2 --compress zstd $IN/disk.raw $OUT",
        goals: &[goal("P3", Against::Best, 1.8, 2.2)],
        size: Some(("default", 1.0)),
        cpu: None,
        check: QCOW2,
    },
    Job {
        name: "raw -> qcow2 zstd, level 1",
        place: Place::Memory,
        sources: &[],
        alternatives: &[alternative(
            "default",
            "qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd $IN/disk.raw $OUT",
        )],
        ours: "$IMPRINT disk convert --sync none --output json --from raw --to qcow2 --compress zstd --level 1 $IN/disk.raw $OUT",
        goals: &[goal("P4", DEFAULT, 4.0, 5.0)],
        size: Some(("default", 1.025)),
        cpu: None,
        check: QCOW2,
    },
    Job {
        name: "qcow2 zlib -> raw",
        place: Place::Memory,
        sources: &["zlib.qcow2"],
        alternatives: &[
            alternative("default", "qemu-img convert -f qcow2 -O raw $IN/zlib.qcow2 $OUT"),
            alternative("-m 16 -W", "qemu-img convert -m 16 -W -f qcow2 -O raw $IN/zlib.qcow2 $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from qcow2 --to raw $IN/zlib.qcow2 $OUT",
        goals: &[goal("P5", DEFAULT, 2.5, 3.5), goal("P5", Against::Best, 1.9, 2.5)],
        size: None,
        cpu: None,
        check: RAW,
    },
    Job {
        name: "qcow2 zstd -> raw",
        place: Place::Memory,
        sources: &["zstd.qcow2"],
        alternatives: &[
            alternative("default", "qemu-img convert -f qcow2 -O raw $IN/zstd.qcow2 $OUT"),
            alternative("-m 16 -W", "qemu-img convert -m 16 -W -f qcow2 -O raw $IN/zstd.qcow2 $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from qcow2 --to raw $IN/zstd.qcow2 $OUT",
        goals: &[goal("P6", DEFAULT, 2.2, 3.0), goal("P6", Against::Best, 1.7, 2.2)],
        size: None,
        cpu: None,
        check: RAW,
    },
    Job {
        name: "raw -> qcow2",
        place: Place::Memory,
        sources: &[],
        alternatives: &[
            alternative("default", "qemu-img convert -f raw -O qcow2 $IN/disk.raw $OUT"),
            alternative("-m 16 -W", "qemu-img convert -m 16 -W -f raw -O qcow2 $IN/disk.raw $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from raw --to qcow2 $IN/disk.raw $OUT",
        goals: &[goal("P7", Against::Best, 1.0, 1.4)],
        size: Some(("default", 1.0)),
        cpu: None,
        check: QCOW2,
    },
    Job {
        name: "qcow2 -> raw",
        place: Place::Memory,
        sources: &["plain.qcow2"],
        alternatives: &[
            alternative("default", "qemu-img convert -f qcow2 -O raw $IN/plain.qcow2 $OUT"),
            alternative("-m 16 -W", "qemu-img convert -m 16 -W -f qcow2 -O raw $IN/plain.qcow2 $OUT"),
            alternative("nbdcopy", "nbdcopy -- [ qemu-nbd -r -f qcow2 $IN/plain.qcow2 ] $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from qcow2 --to raw $IN/plain.qcow2 $OUT",
        goals: &[goal("P7", Against::Best, 1.0, 1.4)],
        size: None,
        cpu: None,
        check: RAW,
    },
    Job {
        name: "raw -> raw",
        place: Place::Memory,
        sources: &[],
        alternatives: &[
            alternative("-m 16 -W", "qemu-img convert -m 16 -W -f raw -O raw $IN/disk.raw $OUT"),
            alternative(
                "nbdcopy",
                "truncate -s $(stat -c %s $IN/disk.raw) $OUT && nbdcopy $IN/disk.raw $OUT",
            ),
            alternative("cp", "cp $IN/disk.raw $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from raw --to raw $IN/disk.raw $OUT",
        goals: &[goal("P7", Against::Best, 1.0, 1.4)],
        size: None,
        cpu: None,
        check: RAW,
    },
    Job {
        name: "raw -> qcow2, durable",
        place: Place::Disk,
        sources: &[],
        alternatives: &[
            alternative("default", "qemu-img convert -t writeback -f raw -O qcow2 $IN/disk.raw $OUT"),
            alternative("-t none", "qemu-img convert -t none -m 16 -W -f raw -O qcow2 $IN/disk.raw $OUT"),
        ],
        ours: "$IMPRINT disk convert --digest none --output json --from raw --to qcow2 $IN/disk.raw $OUT",
        goals: &[goal("P8", DEFAULT, 1.3, 1.7)],
        size: Some(("default", 1.0)),
        cpu: Some(("default", 0.5)),
        check: QCOW2,
    },
    Job {
        name: "raw -> qcow2, reflink",
        place: Place::Xfs,
        sources: &[],
        alternatives: &[
            alternative("default", "qemu-img convert -f raw -O qcow2 $IN/disk.raw $OUT"),
            alternative("-C", "qemu-img convert -C -f raw -O qcow2 $IN/disk.raw $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --digest none --output json --from raw --to qcow2 $IN/disk.raw $OUT",
        goals: &[goal("P9", DEFAULT, 10.0, 30.0), goal("P9", Against::Alternative("-C"), 1.0, 3.0)],
        size: None,
        cpu: None,
        check: QCOW2,
    },
    Job {
        name: "qcow2 -> raw, reflink",
        place: Place::Xfs,
        sources: &["plain.qcow2"],
        alternatives: &[
            alternative("default", "qemu-img convert -f qcow2 -O raw $IN/plain.qcow2 $OUT"),
            alternative("-C", "qemu-img convert -C -f qcow2 -O raw $IN/plain.qcow2 $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --digest none --output json --from qcow2 --to raw $IN/plain.qcow2 $OUT",
        goals: &[goal("P9", DEFAULT, 10.0, 30.0), goal("P9", Against::Alternative("-C"), 1.0, 3.0)],
        size: None,
        cpu: None,
        check: RAW,
    },
    Job {
        name: "qcow2 -> VMDK streamOptimized",
        place: Place::Memory,
        sources: &["plain.qcow2"],
        alternatives: &[slow(
            "default",
            "qemu-img convert -m 16 -W -f qcow2 -O vmdk -o subformat=streamOptimized $IN/plain.qcow2 $OUT",
        )],
        ours: "$IMPRINT disk convert --sync none --output json --from qcow2 --to vmdk --subformat streamOptimized $IN/plain.qcow2 $OUT",
        goals: &[goal("P10", DEFAULT, 10.0, 25.0)],
        size: Some(("default", 1.07)),
        cpu: None,
        check: VMDK,
    },
    Job {
        name: "VMDK streamOptimized -> raw",
        place: Place::Memory,
        sources: &["stream.vmdk"],
        alternatives: &[alternative(
            "default",
            "qemu-img convert -m 16 -W -f vmdk -O raw $IN/stream.vmdk $OUT",
        )],
        ours: "$IMPRINT disk convert --sync none --output json --from vmdk --to raw $IN/stream.vmdk $OUT",
        goals: &[goal("P11", DEFAULT, 3.0, 4.5)],
        size: None,
        cpu: None,
        check: RAW,
    },
    Job {
        name: "VMDK streamOptimized -> qcow2 zstd",
        place: Place::Memory,
        sources: &["stream.vmdk"],
        alternatives: &[alternative(
            "default",
            "qemu-img convert -m 16 -W -f vmdk -O qcow2 -c -o compression_type=zstd $IN/stream.vmdk $OUT",
        )],
        ours: "$IMPRINT disk convert --sync none --output json --from vmdk --to qcow2 --compress zstd $IN/stream.vmdk $OUT",
        goals: &[goal("P11", DEFAULT, 3.0, 4.5)],
        size: Some(("default", 1.0)),
        cpu: None,
        check: QCOW2,
    },
    Job {
        name: "raw -> GCE tar.gz",
        place: Place::Memory,
        sources: &[],
        alternatives: &[
            slow("gzip", "tar --format=oldgnu -S -C $IN -c disk.raw | gzip > $OUT"),
            alternative("pigz", "tar --format=oldgnu -S -C $IN -c disk.raw | pigz -1 > $OUT"),
        ],
        ours: "$IMPRINT disk convert --sync none --output json --from raw --to gce --level 0 $IN/disk.raw $OUT",
        goals: &[
            goal("P13", Against::Alternative("gzip"), 15.0, 25.0),
            goal("P13", Against::Alternative("pigz"), 4.0, 6.0),
        ],
        size: Some(("pigz", 1.05)),
        cpu: None,
        check: "tar -xOzf $OUT disk.raw | cmp - $IN/disk.raw",
    },
    Job {
        name: "cold raw -> raw, durable",
        place: Place::Cold,
        sources: &["plain.qcow2"],
        alternatives: &[alternative(
            "fio",
            "fio --output=/dev/null --direct=1 --bs=1M --iodepth=4 --ioengine=libaio --size=$(stat -c %s $IN/plain.qcow2) --name=read --rw=read --filename=$IN/plain.qcow2 --name=write --rw=write --end_fsync=1 --filename=$OUT",
        )],
        ours: "$IMPRINT disk convert --output json --from raw --to raw $IN/disk.raw $OUT",
        goals: &[goal("P16", Against::Alternative("fio"), 0.9, 0.95)],
        size: None,
        cpu: None,
        check: RAW,
    },
    Job {
        name: "full device -> qcow2 zstd, level 1 + digests + SHA-256",
        place: Place::Disk,
        sources: &["full.raw"],
        alternatives: &[alternative(
            "convert, sha256sum",
            "qemu-img convert -m 16 -W -f raw -O qcow2 -c -o compression_type=zstd $IN/full.raw $OUT && sha256sum $OUT",
        )],
        ours: "$IMPRINT disk convert --sync none --sha256 --output json --from raw --to qcow2 --compress zstd --level 1 $IN/full.raw $OUT",
        goals: &[goal("P12", Against::Best, 3.0, 4.0)],
        size: Some(("convert, sha256sum", 1.025)),
        cpu: None,
        check: QCOW2,
    },
];

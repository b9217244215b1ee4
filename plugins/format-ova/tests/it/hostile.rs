//! Forged archives: each has its code, and nothing but the member's name is ever made of a name.

use format_ova::Ova;
use imprint_format_kit::{code, open_bytes};

use crate::forge::{STREAM, Tar, good, header, one_disk, ovf};

fn outcome(bytes: Vec<u8>) -> String {
    code(open_bytes::<Ova>(&bytes))
}

fn described(text: &str) -> String {
    outcome(Tar::default().file("a.ovf", text.as_bytes()).file("disk1.vmdk", b"x").end())
}

#[test]
fn the_archive_that_is_spoilt_is_a_good_one() {
    assert_eq!(outcome(good(b"disk").end()), "accepted");
    assert_eq!(described(&one_disk()), "accepted");
}

#[test]
fn names_that_lead_out() {
    for name in ["../x", "/etc/passwd", "a/../../b", "a//b", ".", "..", "./..", "a\\b", "x\n"] {
        assert_eq!(outcome(good(b"d").file(name, b"y").end()), "denied.member", "{name:?}");
    }
    let prefixed = header("x", 1, b'0', |block| block[345..351].copy_from_slice(b"../etc"));
    assert_eq!(outcome(good(b"d").raw(&prefixed, b"y").end()), "denied.member");
    assert_eq!(outcome(good(b"d").raw(&header("", 0, b'0', |_| {}), b"").end()), "denied.member");
}

#[test]
fn members_that_are_no_plain_files() {
    for kind in *b"12346SKDMNV7" {
        assert_eq!(outcome(good(b"d").raw(&header("x", 0, kind, |_| {}), b"").end()), "denied.member");
    }
    // A link first, and then a file through it.
    let link = header("out", 0, b'2', |block| block[157..161].copy_from_slice(b"/etc"));
    assert_eq!(outcome(good(b"d").raw(&link, b"").file("out", b"x").end()), "denied.member");
    for name in ["disk1.vmdk", "./disk1.vmdk", "././disk1.vmdk"] {
        assert_eq!(outcome(good(b"d").file(name, b"other").end()), "denied.member", "a duplicate: {name}");
    }
    let folder = header("folder/", 5, b'5', |_| {});
    assert_eq!(outcome(good(b"d").raw(&folder, b"bytes").end()), "denied.member", "a folder with bytes");
    let no_name = header("././@LongLink", 0, b'L', |_| {});
    assert_eq!(outcome(good(b"d").raw(&no_name, b"").file("x", b"y").end()), "denied.member");
}

#[test]
fn records_that_override() {
    let record = |text: &str| {
        let pax = header("pax", text.len(), b'x', |_| {});
        outcome(
            Tar::default()
                .raw(&pax, text.as_bytes())
                .file("a.ovf", one_disk().as_bytes())
                .file("disk1.vmdk", b"x")
                .end(),
        )
    };
    assert_eq!(record("30 mtime=1234567890.123456789\n"), "accepted");
    assert_eq!(record("33 SCHILY.xattr.user.mime_type=x\n"), "accepted");
    for text in
        ["13 size=9999\n", "13 path=../x\n", "16 linkpath=/xy\n", "22 GNU.sparse.major=1\n", "8 odd=1\n"]
    {
        assert_eq!(record(text), "denied.member", "{text}");
    }
    for text in [
        "5 a=b\n",
        "10 size=x\n",
        "99 mtime=1\n",
        "0 mtime=1\n",
        "mtime=1\n",
        "10 mtime=1",
        "12 mtime 12\n",
        "-1 a=b\n",
    ] {
        assert_eq!(record(text), "corrupt.header", "{text}");
    }
    // For all members: none may change.
    let global = header("pax", 10, b'g', |_| {});
    assert_eq!(outcome(good(b"d").raw(&global, b"10 path=x\n").end()), "denied.member");
    // More than the header can state, and more than there is.
    assert_eq!(record("20 size=99999999999\n"), "corrupt.truncated");
    let long = "x".repeat(70_000);
    assert_eq!(record(&long), "limit.table-size");
}

#[test]
fn sizes_that_lie() {
    let sized = |field: &[u8; 12]| {
        let field = *field;
        let head = header("x", 0, b'0', |block| block[124..136].copy_from_slice(&field));
        outcome(good(b"d").raw(&head, b"").end())
    };
    assert_eq!(sized(b"00000000000\0"), "accepted");
    assert_eq!(sized(b"\x80\0\0\0\0\0\0\0\0\0\0\0"), "accepted");
    assert_eq!(sized(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "corrupt.header");
    assert_eq!(sized(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), "corrupt.header");
    assert_eq!(sized(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), "corrupt.header");
    assert_eq!(sized(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "corrupt.truncated");
    assert_eq!(sized(b"77777777777\0"), "corrupt.truncated");
    for field in [b"00000000008\0", b"            ", b"-0000000001\0", b"0000 000000\0"] {
        assert_eq!(sized(field), "corrupt.header");
    }
}

#[test]
fn archives_that_do_not_end_well() {
    let good = good(b"disk").end();
    assert_eq!(outcome(good[..good.len() - 1024 - 509].to_vec()), "corrupt.truncated");
    assert_eq!(outcome(good[..100].to_vec()), "corrupt.truncated");
    assert_eq!(outcome(Vec::new()), "corrupt.truncated");
    assert_eq!(outcome(vec![0; 10240]), "corrupt.header", "an empty archive");
    let mut hidden = good.clone();
    hidden.extend(b"hidden");
    assert_eq!(outcome(hidden), "corrupt.header");
    // Another archive behind the end, or at the end of what is looked at.
    for far in [0, 1024, 4 << 20] {
        let mut two = good.clone();
        two.resize(two.len() + far, 0);
        two.extend(&good[..1024]);
        assert_eq!(outcome(two), "corrupt.header", "{far}");
    }
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    assert_eq!(outcome(flipped), "corrupt.checksum");
    let many = (0..65).fold(Tar::default(), |tar, number| tar.file(&format!("f{number}"), b""));
    assert_eq!(outcome(many.end()), "limit.table-size");
    let records = header("p", 0, b'x', |_| {});
    let endless = (0..300).fold(Tar::default(), |tar, _| tar.raw(&records, b""));
    assert_eq!(outcome(endless.end()), "limit.table-size");
}

#[test]
fn descriptions_that_reach_out_or_blow_up() {
    let lol = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;\">]><Envelope>&lol2;</Envelope>";
    assert_eq!(described(lol), "denied.entities");
    let xxe = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><Envelope>&x;</Envelope>";
    assert_eq!(described(xxe), "denied.entities");
    for href in ["http://example.invalid/d.vmdk", "../disk1.vmdk", "/dev/vda", "disk2.vmdk", "DISK1.VMDK", ""]
    {
        assert_eq!(
            described(&ovf(&[("f1", href, "")], &[("d1", "f1", STREAM)])),
            "denied.external-reference",
            "{href}"
        );
    }
    assert_eq!(described(&one_disk().replace("f1\" ovf:href", "f2\" ovf:href")), "corrupt.header");
    let twice = ovf(&[("f1", "disk1.vmdk", ""), ("f1", "a.ovf", "")], &[("d1", "f1", STREAM)]);
    assert_eq!(described(&twice), "corrupt.header");
    assert_eq!(described(&ovf(&[], &[])), "unsupported.feature");
    assert_eq!(described("<Other/>"), "corrupt.header");
    assert_eq!(described("\u{0}"), "corrupt.header");
    let big = Tar::default().file("a.ovf", &vec![b' '; (4 << 20) + 1]).file("disk1.vmdk", b"x");
    assert_eq!(outcome(big.end()), "limit.table-size");
    let two = good(b"d").file("b.ovf", one_disk().as_bytes());
    assert_eq!(outcome(two.end()), "corrupt.header");
    assert_eq!(outcome(Tar::default().file("disk1.vmdk", b"x").end()), "corrupt.header");
    // A reference that two programs would take for two members.
    let text = ovf(&[("f1", "a%20b.vmdk", "")], &[("d1", "f1", STREAM)]);
    let both = Tar::default().file("a.ovf", text.as_bytes()).file("a b.vmdk", b"x").file("a%20b.vmdk", b"y");
    assert_eq!(outcome(both.end()), "corrupt.header");
    let files: Vec<_> = (0..300).map(|_| ("f", "disk1.vmdk", "")).collect();
    assert_eq!(described(&ovf(&files, &[])), "limit.table-size");
}

#[test]
fn disks_that_cannot_be_read_in_place() {
    let file = |more: &str| described(&ovf(&[("f1", "disk1.vmdk", more)], &[("d1", "f1", STREAM)]));
    assert_eq!(file("ovf:compression=\"gzip\""), "unsupported.feature");
    assert_eq!(file("ovf:compression=\"identity\""), "accepted");
    assert_eq!(file("ovf:chunkSize=\"1048576\""), "unsupported.feature");
    assert_eq!(outcome(good(&[0x1f, 0x8b, 8, 0]).end()), "unsupported.feature");
    let named = |name: &str, format: &str| {
        let text = ovf(&[("f1", name, "")], &[("d1", "f1", format)]);
        outcome(Tar::default().file("a.ovf", text.as_bytes()).file(name, b"x").end())
    };
    assert_eq!(named("d.vmdk.gz", STREAM), "unsupported.feature");
    assert_eq!(named("d.vhd", STREAM), "corrupt.header");
    assert_eq!(named("disk", STREAM), "accepted");
    assert_eq!(named("disk", ""), "unsupported.feature");
    assert_eq!(named("disk.qcow2", ""), "accepted");
    assert_eq!(
        described(
            &one_disk().replace("<Disk ovf:diskId=\"d1\"", "<Disk ovf:parentRef=\"x\" ovf:diskId=\"d1\"")
        ),
        "unsupported.feature"
    );
}

#[test]
fn manifests_that_cannot_be_understood() {
    let with = |text: &[u8]| outcome(good(b"d").file("a.mf", text).end());
    let digest = "a".repeat(64);
    assert_eq!(with(format!("SHA256(other)= {digest}\n").as_bytes()), "accepted");
    assert_eq!(with(b""), "accepted");
    let other = "b".repeat(64);
    for text in [
        format!("SHA256(disk1.vmdk)= {digest}\nSHA256(./disk1.vmdk)= {other}\n"),
        "SHA256(disk1.vmdk)= 00\n".to_owned(),
        format!("SHA1(disk1.vmdk)= {digest}\n"),
    ] {
        assert_eq!(with(text.as_bytes()), "corrupt.header", "{text}");
    }
    assert_eq!(with(&vec![b'\n'; (1 << 20) + 1]), "limit.table-size");
}

#[test]
fn it_is_asked_about_every_file_that_it_knows() {
    let known =
        imprint_format_kit::known_by_their_marks::<format_ova::Ova>(include_str!("../../plugin.toml"), &[]);
    assert!(known > 5, "{known}");
}

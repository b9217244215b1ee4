use super::*;

fn at(offset: usize, mark: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 65536];
    bytes[offset..offset + mark.len()].copy_from_slice(mark);
    bytes
}

#[test]
fn every_mark_is_found_at_its_place_and_nowhere_else() {
    for (offset, mark, expected) in FIXED {
        assert_eq!(find(&at(offset, mark), &[]), [expected], "{mark:?}");
        assert_eq!(find(&at(offset + 1, mark), &[]), [], "{mark:?}");
        assert_eq!(find(&at(offset, mark)[..offset + mark.len() - 1], &[]), [], "{mark:?} cut off");
    }
}

#[test]
fn what_needs_more_than_a_magic() {
    let gzip = |flags| find(&[0x1f, 0x8b, 8, flags, 0, 0], &[]);
    assert_eq!((gzip(8), gzip(0x20)), (vec![Mark::Gzip], vec![]));
    assert_eq!(find(b"\x28\xb5\x2f\xfd", &[]), [Mark::Zstd]);
    assert_eq!(find(b"\x5e\x2a\x4d\x18\x02\0\0\0xx\x28\xb5\x2f\xfd", &[]), [Mark::Zstd]);
    assert_eq!(find(b"\x5e\x2a\x4d\x18\xff\xff\xff\xffxx\x28\xb5\x2f\xfd", &[]), []);
    assert_eq!(find(b"BZh9\x31\x41\x59\x26\x53\x59", &[]), [Mark::Bzip2]);
    assert_eq!(find(b"BZh1\x17\x72\x45\x38\x50\x90", &[]), [Mark::Bzip2]);
    assert_eq!((find(b"BZh0\x31\x41\x59\x26\x53\x59", &[]), find(b"BZh9text", &[])), (vec![], vec![]));
    assert_eq!(find(b" \n# Disk DescriptorFile\n", &[]), [Mark::Vmdk]);
    for length in VHD_FOOTERS {
        let mut tail = vec![0; 4096];
        tail[4096 - length..4096 - length + 8].copy_from_slice(b"conectix");
        assert_eq!(find(&[], &tail), [Mark::Vhd]);
    }
}

#[test]
fn media_may_be_several_things_at_once() {
    let mut bridge = at(32769, b"CD001");
    bridge[32768 + 2048 * 2 + 1..][..5].copy_from_slice(b"NSR02");
    assert_eq!((find(&bridge, &[]), is_udf(&bridge)), (vec![Mark::Iso9660], true));
    assert_eq!(find(&at(32768 + 2048 + 1, b"NSR03"), &[]), [Mark::Udf]);
    assert_eq!(find(&at(32768 + 2048 + 2, b"NSR03"), &[]), []);
    bridge[510..512].copy_from_slice(b"\x55\xaa");
    assert_eq!(partition_table(&bridge), Some("mbr"));
    bridge[512..520].copy_from_slice(b"EFI PART");
    assert_eq!(partition_table(&bridge), Some("gpt"));
    let mut fat = at(510, b"\x55\xaa");
    (fat[0x10], fat[0x15]) = (2, 0xf8);
    assert_eq!(partition_table(&fat), None);
}

#[test]
fn an_apple_image_may_begin_with_compressed_bytes_and_not_with_a_container() {
    let mut tail = vec![0; 4096];
    tail[4096 - 512..][..12].copy_from_slice(b"koly\0\0\0\x04\0\0\x02\0");
    assert_eq!(find(b"BZh9\x31\x41\x59\x26\x53\x59", &tail), [Mark::Dmg]);
    assert_eq!(find(b"QFI\xfb", &tail), [Mark::Qcow, Mark::Dmg]);
    tail[4096 - 512 + 7] = 3;
    assert_eq!(find(&[], &tail), []);
}

#[test]
fn polyglots_show_all_that_they_are() {
    let mut bytes = at(32769, b"CD001");
    bytes[..4].copy_from_slice(b"QFI\xfb");
    bytes[257..265].copy_from_slice(b"ustar\x0000");
    assert_eq!(find(&bytes, &[]), [Mark::Qcow, Mark::Iso9660, Mark::Tar]);
}

use super::*;

fn geometry(cylinders: u16, heads: u8, sectors: u8) -> Geometry {
    Geometry { cylinders, heads, sectors }
}

fn decide(creator: &[u8; 4], current: u64, geometry: Geometry) -> Result<(u64, Option<u64>), String> {
    DiskSize::decide(*creator, current, geometry, None)
        .map(|size| (size.bytes, size.conflict))
        .map_err(|error| error.code().to_owned())
}

const GIB: u64 = 1 << 30;

#[test]
fn the_specifications_calculation() {
    assert_eq!(Geometry::of_sectors(0), geometry(0, 4, 17));
    // 40 MiB, 500 MiB, 2 GiB, 10 GiB, 40 GiB: one for each branch.
    assert_eq!(Geometry::of_sectors((40 << 20) / SECTOR), geometry(963, 5, 17));
    assert_eq!(Geometry::of_sectors((200 << 20) / SECTOR), geometry(825, 16, 31));
    assert_eq!(Geometry::of_sectors(2 * GIB / SECTOR), geometry(4161, 16, 63));
    assert_eq!(Geometry::of_sectors(40 * GIB / SECTOR), geometry(20560, 16, 255));
    assert_eq!(Geometry::of_sectors(127 * GIB / SECTOR), geometry(65278, 16, 255));
    assert_eq!(Geometry::of_sectors(2000 * GIB / SECTOR), Geometry::MAXIMAL);
}

#[test]
fn the_geometry_that_holds_a_disk_is_at_most_a_cylinder_larger() {
    for size in
        [1, 512, 4096, 1 << 20, 40 << 20, (40 << 20) + 512, 3 * GIB + 512, 31 * GIB, 32 * GIB, 126 * GIB]
    {
        let holding = Geometry::holding(size);
        assert!(holding.size() >= size, "{size}");
        assert!(holding.size() - size <= 2 * holding.cylinder().max(4 * 17 * SECTOR), "{size}: {holding:?}");
    }
    assert_eq!(Geometry::holding(200 * GIB), Geometry::MAXIMAL);
}

#[test]
fn virtual_pc_means_its_geometry() {
    // What Virtual PC makes when asked for 127 GiB.
    let stated = geometry(65278, 16, 255);
    assert_eq!(decide(b"vpc ", 127 * GIB, stated), Ok((stated.size(), Some(127 * GIB))));
    assert_eq!(decide(b"vpc ", stated.size(), stated), Ok((stated.size(), None)));
    // h07: a disk of 2 MiB or of 4 MiB.
    assert_eq!(decide(b"vpc ", 4 << 20, geometry(60, 4, 17)), Err("corrupt.size-conflict".to_owned()));
    assert_eq!(decide(b"vpc ", 4 << 20, geometry(0, 0, 0)), Err("corrupt.size-conflict".to_owned()));
}

#[test]
fn qemu_rounds_to_a_geometry_or_says_that_it_does_not() {
    let stated = Geometry::holding(10 * GIB);
    assert_eq!(decide(b"qemu", stated.size(), stated), Ok((stated.size(), None)));
    assert_eq!(decide(b"qem2", 10 * GIB, Geometry::MAXIMAL), Ok((10 * GIB, None)));
    // More than 127 GiB have the largest geometry, whichever program made them.
    for creator in [b"qemu", b"vpc ", b"abcd", b"win "] {
        assert_eq!(decide(creator, 500 * GIB, Geometry::MAXIMAL), Ok((500 * GIB, None)));
    }
}

#[test]
fn hyper_v_xenserver_disk2vhd_and_azure_mean_the_size_field() {
    let stated = Geometry::of_sectors(10 * GIB / SECTOR);
    for creator in [b"win ", b"tap\0", b"tap ", b"d2v ", b"CTXS", b"wa\0\0", b"wa  "] {
        let expected = (10 * GIB, Some(stated.size()));
        assert_eq!(decide(creator, 10 * GIB, stated), Ok(expected), "{creator:?}");
        // Grown since, by a program that left the geometry alone: all readers agree about the size.
        assert_eq!(decide(creator, 20 * GIB, stated), Ok((20 * GIB, Some(stated.size()))), "{creator:?}");
    }
}

#[test]
fn what_clouds_export() {
    // EC2 and GCE run QEMU's tools, with and without exact sizes; both sizes are whole GiB.
    let rounded = Geometry::holding(30 * GIB);
    assert_eq!(decide(b"qemu", rounded.size(), rounded), Ok((rounded.size(), None)));
    assert_eq!(decide(b"qem2", 30 * GIB, Geometry::MAXIMAL), Ok((30 * GIB, None)));
    // Azure's own: whole MiB, and the geometry of the specification.
    let size = 30 * GIB + (1 << 20);
    let stated = Geometry::of_sectors(size / SECTOR);
    assert_eq!(decide(b"wa\0\0", size, stated), Ok((size, Some(stated.size()))));
    // Programs that state no geometry, or an unknown name.
    assert_eq!(decide(b"vbox", size, geometry(0, 0, 0)), Ok((size, None)));
    assert_eq!(decide(b"vbox", size, stated), Ok((size, Some(stated.size()))));
    assert_eq!(decide(b"abcd", 2 * size, stated), Err("corrupt.size-conflict".to_owned()));
}

#[test]
fn the_caller_may_insist() {
    let stated = geometry(60, 4, 17);
    let insist = |rule| DiskSize::decide(*b"vpc ", 4 << 20, stated, Some(rule)).map(|size| size.bytes);
    assert_eq!(insist(SizeRule::Current), Ok(4 << 20));
    assert_eq!(insist(SizeRule::Geometry), Ok(stated.size()));
}

use super::*;
use crate::{
    disk::{Disk, options::OpenOptions},
    testing::{Script, extent, page, parent, primary, trap},
    transport::file::MemorySource,
};

const K: u64 = 1024;

async fn open(script: &Script, file: usize) -> Result<Disk, EngineError> {
    open_with(script, file, &OpenOptions::default()).await
}

async fn open_with(script: &Script, file: usize, options: &OpenOptions) -> Result<Disk, EngineError> {
    Disk::open(script, Arc::new(MemorySource::new(vec![1; file])), options).await
}

async fn code(script: &Script, file: usize) -> String {
    match open(script, file).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

fn data(offset: u64, length: u64, at: u64) -> Extent {
    extent(offset, length, ExtentKind::Data, at, 0)
}

fn encoded(offset: u64, length: u64, at: u64, stored: u32) -> Extent {
    extent(offset, length, ExtentKind::Encoded, at, stored)
}

fn garbage(offset: u64, at: u64, stored: u32) -> Extent {
    Extent { codec: 1, ..encoded(offset, 64 * K, at, stored) }
}

fn one_page(size: u64, extents: Vec<Extent>) -> Script {
    Script::new(size, vec![page(extents, true)])
}

#[tokio::test]
async fn pages_that_break_the_contract_are_refused() {
    let zero = |offset, length| extent(offset, length, ExtentKind::Zero, 0, 0);
    let cases = [
        ("gap", vec![zero(0, K), zero(2 * K, 2 * K)], "plugin.map-order"),
        ("overlap", vec![zero(0, 2 * K), zero(K, 3 * K)], "plugin.map-order"),
        ("late start", vec![zero(K, 3 * K)], "plugin.map-order"),
        ("past the end", vec![zero(0, 5 * K)], "plugin.map-order"),
        ("wraps", vec![zero(0, K), zero(K, u64::MAX)], "plugin.map-order"),
        ("empty", vec![], "plugin.map-stuck"),
        ("endless", vec![zero(0, 1); 3000], "plugin.map-stuck"),
        ("other source", vec![Extent { source: 1, ..data(0, 4 * K, 0) }], "plugin.map-index"),
        ("other codec", vec![Extent { codec: 2, ..encoded(0, 4 * K, 0, 10) }], "plugin.map-index"),
    ];
    for (name, extents, expected) in cases {
        assert_eq!(code(&one_page(4 * K, extents), 64 << 10).await, expected, "{name}");
    }
    let lying = ExtentPage { extents: vec![zero(0, 2 * K)], resume: 3 * K, done: false };
    assert_eq!(code(&Script::new(4 * K, vec![Ok(lying)]), 0).await, "plugin.map-order");
}

#[tokio::test]
async fn source_ranges_stay_inside_the_file() {
    assert_eq!(code(&one_page(4 * K, vec![data(0, 4 * K, 0)]), 4096).await, "opened");
    assert_eq!(code(&one_page(4 * K, vec![data(0, 4 * K, 1)]), 4096).await, "corrupt.truncated");
    assert_eq!(code(&one_page(4 * K, vec![data(0, 4 * K, u64::MAX - 10)]), 4096).await, "corrupt.truncated");
    assert_eq!(code(&one_page(64 * K, vec![encoded(0, 64 * K, 4000, 97)]), 4096).await, "corrupt.truncated");
    // The last sector of a file may be claimed beyond its end, and not more than that.
    assert_eq!(code(&one_page(64 * K, vec![garbage(0, 4000, 96 + 511)]), 4096).await, "opened");
    assert_eq!(code(&one_page(64 * K, vec![garbage(0, 4000, 96 + 512)]), 4096).await, "corrupt.truncated");
    assert_eq!(code(&one_page(64 * K, vec![garbage(0, 4096, 10)]), 4096).await, "corrupt.truncated");
    let mut tables = one_page(4 * K, vec![extent(0, 4 * K, ExtentKind::Hole, 0, 0)]);
    tables.tables = vec![ByteRange { offset: 4000, length: 97 }];
    assert_eq!(code(&tables, 4096).await, "corrupt.truncated");
}

#[tokio::test]
async fn no_stored_byte_is_used_twice() {
    let file = 1 << 20;
    assert_eq!(
        code(&one_page(8 * K, vec![data(0, 4 * K, 0), data(4 * K, 4 * K, 0)]), file).await,
        "corrupt.aliased"
    );
    assert_eq!(
        code(&one_page(8 * K, vec![data(0, 4 * K, 0), data(4 * K, 4 * K, 4 * K - 1)]), file).await,
        "corrupt.aliased"
    );
    assert_eq!(
        code(&one_page(8 * K, vec![data(0, 4 * K, 4 * K), data(4 * K, 4 * K, 0)]), file).await,
        "opened"
    );
    let two = |first, second| one_page(128 * K, vec![first, second]);
    assert_eq!(
        code(&two(encoded(0, 64 * K, 0, 100), encoded(64 * K, 64 * K, 99, 100)), file).await,
        "corrupt.aliased"
    );
    assert_eq!(
        code(&two(encoded(0, 64 * K, 0, 100), encoded(64 * K, 64 * K, 100, 100)), file).await,
        "opened"
    );
    // Units with a garbage tail share a sector at most, and never their first byte.
    assert_eq!(code(&two(garbage(0, 0, 1024), garbage(64 * K, 600, 424)), file).await, "opened");
    assert_eq!(code(&two(garbage(0, 0, 1024), garbage(64 * K, 500, 524)), file).await, "corrupt.aliased");
    assert_eq!(code(&two(garbage(0, 0, 512), garbage(64 * K, 0, 512)), file).await, "corrupt.aliased");
    let mut table = one_page(8 * K, vec![data(0, 8 * K, 4 * K)]);
    table.tables = vec![ByteRange { offset: 8 * K, length: 1 }];
    assert_eq!(code(&table, file).await, "corrupt.aliased");
    table = one_page(8 * K, vec![extent(0, 8 * K, ExtentKind::Hole, 0, 0)]);
    table.tables = vec![ByteRange { offset: 0, length: 100 }, ByteRange { offset: 50, length: 100 }];
    assert_eq!(code(&table, file).await, "corrupt.aliased");
}

#[tokio::test]
async fn what_is_in_front_of_a_unit_belongs_to_it() {
    let framed = |first: u64, second: u64| {
        let extents = vec![encoded(0, 64 * K, first, 100), encoded(64 * K, 64 * K, second, 100)];
        let mut script = one_page(128 * K, extents);
        script.codecs[0].params.insert("head".to_owned(), "12".to_owned());
        script
    };
    assert_eq!(code(&framed(12, 124), 4096).await, "opened");
    assert_eq!(code(&framed(12, 123), 4096).await, "corrupt.aliased");
    assert_eq!(code(&framed(11, 124), 4096).await, "corrupt.encoded-length", "a marker before the file");
    let mut long = framed(12, 124);
    long.codecs[0].params.insert("head".to_owned(), "4097".to_owned());
    assert_eq!(code(&long, 4096).await, "unsupported.layout");
}

#[tokio::test]
async fn encoded_units_have_possible_lengths() {
    let file = 1 << 20;
    assert_eq!(code(&one_page(64 * K, vec![encoded(0, 64 * K, 0, 132 << 10)]), file).await, "opened");
    assert_eq!(
        code(&one_page(64 * K, vec![encoded(0, 64 * K, 0, (132 << 10) + 1)]), file).await,
        "corrupt.encoded-length"
    );
    assert_eq!(code(&one_page(64 * K, vec![encoded(0, 64 * K, 0, 0)]), file).await, "corrupt.encoded-length");
    assert_eq!(
        code(&one_page(8 << 20, vec![encoded(0, 8 << 20, 0, 10)]), file).await,
        "corrupt.encoded-length"
    );
}

#[tokio::test]
async fn limits_on_the_disk_and_its_map_hold() {
    let huge = one_page((16 << 40) + 1, vec![]);
    assert_eq!(code(&huge, 0).await, "limit.virtual-size");
    let many = |n: u64| (0..n).map(|n| data(n * K, K, (2 * n + 1) * K)).collect::<Vec<_>>();
    let limits = Limits { extents: 100, ..Limits::default() };
    let options = OpenOptions { limits, ..OpenOptions::default() };
    assert!(open_with(&one_page(100 * K, many(100)), 1 << 20, &options).await.is_ok());
    let error = open_with(&one_page(101 * K, many(101)), 1 << 20, &options).await.err().unwrap();
    assert_eq!(error.code(), "limit.extents");
    // 2048 units of 4 MiB from 30 bytes each: 8 GiB out of 60 KiB.
    let bomb = (0..2048).map(|n| encoded(n << 22, 1 << 22, n * 30, 30)).collect();
    assert_eq!(code(&one_page(2048 << 22, bomb), 1 << 20).await, "limit.expansion");
}

#[tokio::test]
async fn a_trap_costs_one_page() {
    let zero = |offset| extent(offset, K, ExtentKind::Zero, 0, 0);
    let pages = vec![
        page(vec![zero(0)], false),
        Err(trap()),
        page(vec![zero(K)], false),
        Err(trap()),
        Err(trap()),
        page(vec![zero(2 * K)], true),
    ];
    let script = Script::new(3 * K, pages);
    assert_eq!(code(&script, 0).await, "opened");
    assert_eq!(*script.asked.lock().unwrap(), [0, K, K, 2 * K, 2 * K, 2 * K]);
    let script = Script::new(
        3 * K,
        vec![page(vec![zero(0)], false), Err(trap()), Err(trap()), Err(trap()), Err(trap())],
    );
    assert_eq!(code(&script, 0).await, "plugin.trap");
    assert_eq!(script.asked.lock().unwrap().len(), 5, "one more try than restarts");
    // Other failures are not repeated.
    let error = PortError::host(imprint_ports::ErrorClass::Corrupt, "fake.table", "broken");
    let script = Script::new(3 * K, vec![Err(error)]);
    assert_eq!(code(&script, 0).await, "fake.table");
    assert_eq!(script.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn references_are_refused_unless_the_resolver_grants_them() {
    let mut script = one_page(K, vec![extent(0, K, ExtentKind::Hole, 0, 0)]);
    for (role, expected) in [
        ("parent", "denied.external-reference"),
        ("extent", "denied.external-reference"),
        ("log", "denied.external-reference"),
    ] {
        script.sources = vec![primary(), SourceRef { role: role.to_owned(), ..parent("/etc/shadow") }];
        assert_eq!(code(&script, 0).await, expected, "{role}");
    }
    script.sources = vec![];
    assert_eq!(code(&script, 0).await, "plugin.sources");
    let mut unknown = one_page(K, vec![extent(0, K, ExtentKind::Hole, 0, 0)]);
    unknown.codecs = vec![imprint_ports::Codec { name: "lzma".to_owned(), params: Props::new() }];
    assert_eq!(code(&unknown, 0).await, "unsupported.layout");
}

/// Resolves `N` to the `N`th layer.
struct Chain(Vec<(Script, Vec<u8>)>);

#[async_trait::async_trait]
impl Resolver for Chain {
    async fn resolve(&self, reference: &SourceRef) -> Result<Option<Resolved>, EngineError> {
        let Some((script, bytes)) = reference.reference.parse::<usize>().ok().and_then(|n| self.0.get(n))
        else {
            return Ok(None);
        };
        Ok(Some(Resolved {
            identity: reference.reference.clone(),
            source: Arc::new(MemorySource::new(bytes.clone())),
            format: Arc::new(script.clone()),
        }))
    }
}

#[tokio::test]
async fn layers_answer_for_the_holes_above_them() {
    let hole = |offset, length| extent(offset, length, ExtentKind::Hole, 0, 0);
    let zero = |offset, length| extent(offset, length, ExtentKind::Zero, 0, 0);
    let bottom = one_page(3 * K, vec![data(0, 3 * K, 0)]);
    let mut middle = one_page(4 * K, vec![hole(0, K), zero(K, K), hole(2 * K, 2 * K)]);
    middle.sources = vec![primary(), parent("0")];
    let mut top = one_page(5 * K, vec![hole(0, 2 * K), hole(2 * K, 2 * K), data(4 * K, K, 0)]);
    top.sources = vec![primary(), parent("1")];
    let chain = Chain(vec![(bottom, vec![3; 3072]), (middle, vec![])]);
    let options =
        OpenOptions { resolver: Arc::new(chain), identity: "top".to_owned(), ..OpenOptions::default() };
    let disk = open_with(&top, 1024, &options).await.unwrap();
    let mut bytes = vec![9; 5120];
    disk.read_at(&mut bytes, 0).unwrap();
    let expected: Vec<u8> = [3, 0, 3, 0, 1].iter().flat_map(|value| [*value; 1024]).collect();
    assert_eq!(bytes, expected);
    assert_eq!(disk.layers(), 3);
}

#[tokio::test]
async fn chains_with_cycles_or_without_end_are_refused() {
    let hole = vec![extent(0, K, ExtentKind::Hole, 0, 0)];
    let link = |to: usize| {
        let mut script = one_page(K, hole.clone());
        script.sources = vec![primary(), parent(&to.to_string())];
        // Each opening takes one page.
        script.pages.lock().unwrap().extend((0..20).map(|_| page(hole.clone(), true)));
        script
    };
    let with = |chain: Vec<Script>| OpenOptions {
        resolver: Arc::new(Chain(chain.into_iter().map(|script| (script, Vec::new())).collect())),
        identity: "0".to_owned(),
        ..OpenOptions::default()
    };
    let cycle = with(vec![link(1), link(2), link(0)]);
    let error = open_with(&link(1), 0, &cycle).await.err().unwrap();
    assert_eq!((error.code(), error.to_string().contains("cycle")), ("denied.chain", true));
    let deep = with((0..40).map(|n| link(n + 1)).collect());
    let error = open_with(&link(1), 0, &deep).await.err().unwrap();
    assert_eq!((error.code(), error.to_string().contains("deep")), ("denied.chain", true));
}

/// A whole layer of `size` bytes with facts.
fn identified(size: u64, kind: ExtentKind, facts: &[(&str, &str)]) -> Script {
    let mut script = one_page(size, vec![extent(0, size, kind, 0, 0)]);
    script.info.facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    script
}

async fn over(mut top: Script, below: Vec<Script>) -> Result<Disk, EngineError> {
    top.sources = vec![primary(), parent("0")];
    let chain = below.into_iter().map(|script| (script, vec![5; 4096])).collect();
    let options = OpenOptions {
        resolver: Arc::new(Chain(chain)),
        identity: "top".to_owned(),
        ..OpenOptions::default()
    };
    open_with(&top, 4096, &options).await
}

#[tokio::test]
async fn a_parent_is_the_one_that_the_layer_was_made_on() {
    let child = |facts: &[(&str, &str)]| identified(K, ExtentKind::Hole, facts);
    let base = |facts: &[(&str, &str)]| vec![identified(K, ExtentKind::Data, facts)];
    assert!(over(child(&[("parent-id", "aa")]), base(&[("id", "aa")])).await.is_ok());
    assert!(over(child(&[("parent-id", "aa")]), base(&[])).await.is_ok(), "not every format has ids");
    let either = child(&[("parent-id", "aa"), ("parent-id-2", "bb")]);
    assert!(over(either, base(&[("id", "bb")])).await.is_ok(), "a second id is as good");
    assert!(
        over(child(&[("id", "cc")]), base(&[("id", "aa")])).await.is_ok(),
        "nor do all name their parent's"
    );
    let error = over(child(&[("parent-id", "aa")]), base(&[("id", "bb")])).await.err().unwrap();
    assert_eq!(error.code(), "chain.parent-mismatch");
    for part in ["'0'", "layer 1", "aa", "bb"] {
        assert!(error.report().contains(part), "{part}: {}", error.report());
    }
    // Further down, too.
    let mut middle = identified(K, ExtentKind::Hole, &[("id", "aa"), ("parent-id", "bb")]);
    middle.sources = vec![primary(), parent("1")];
    let bottom = |id| identified(K, ExtentKind::Data, &[("id", id)]);
    assert!(over(child(&[("parent-id", "aa")]), vec![middle.clone(), bottom("bb")]).await.is_ok());
    middle.pages.lock().unwrap().push_back(page(vec![extent(0, K, ExtentKind::Hole, 0, 0)], true));
    let error = over(child(&[("parent-id", "aa")]), vec![middle, bottom("xx")]).await.err().unwrap();
    assert_eq!(error.code(), "chain.parent-mismatch");
    assert!(error.report().contains("layer 2"), "{}", error.report());
}

#[tokio::test]
async fn a_larger_parent_is_cut_and_a_smaller_one_continues_as_zeroes() {
    for (own, below) in [(2, 3), (3, 2), (2, 2)] {
        let base = vec![identified(below * K, ExtentKind::Data, &[])];
        let disk = over(identified(own * K, ExtentKind::Hole, &[]), base).await.unwrap();
        assert_eq!(disk.size(), own * K);
        let mut bytes = vec![9; usize::try_from(own * K).unwrap()];
        disk.read_at(&mut bytes, 0).unwrap();
        let shared = usize::try_from(own.min(below) * K).unwrap();
        assert!(bytes[..shared].iter().all(|byte| *byte == 5));
        assert!(bytes[shared..].iter().all(|byte| *byte == 0));
    }
}

#[tokio::test]
async fn the_layer_that_is_broken_is_named() {
    let broken = PortError::host(imprint_ports::ErrorClass::Corrupt, "fake.table", "a broken table");
    let error = over(identified(K, ExtentKind::Hole, &[]), vec![Script::new(K, vec![Err(broken)])]).await;
    let error = error.err().unwrap();
    assert_eq!((error.code(), error.class()), ("fake.table", imprint_ports::ErrorClass::Corrupt));
    assert!(error.report().contains("'0', layer 1") && error.report().contains("a broken table"));
}

#[tokio::test]
async fn a_parent_may_have_several_names() {
    let mut top = identified(K, ExtentKind::Hole, &[]);
    top.sources = vec![primary(), parent("unknown parent"), parent("0"), parent("1")];
    let chain = vec![(identified(K, ExtentKind::Data, &[]), vec![5; 4096]), (one_page(K, vec![]), vec![])];
    let with = |chain| OpenOptions {
        resolver: Arc::new(Chain(chain)),
        identity: "top".to_owned(),
        ..OpenOptions::default()
    };
    let disk = open_with(&top, 4096, &with(chain)).await.unwrap();
    assert_eq!((disk.layers(), disk.size()), (2, K));
    top.pages.lock().unwrap().push_back(page(vec![extent(0, K, ExtentKind::Hole, 0, 0)], true));
    let error = open_with(&top, 4096, &with(Vec::new())).await.err().unwrap();
    assert_eq!(error.code(), "denied.external-reference");
    assert!(error.report().contains("unknown parent"));
}

#[tokio::test]
async fn a_chain_has_at_most_sixteen_layers() {
    for (below, expected) in [(15, "opened"), (16, "denied.chain")] {
        let mut layers: Vec<Script> = (1..=below)
            .map(|next| {
                let mut layer = identified(K, ExtentKind::Hole, &[]);
                layer.sources = vec![primary(), parent(&next.to_string())];
                layer
            })
            .collect();
        if let Some(last) = layers.last_mut() {
            last.sources = vec![primary()];
        }
        let outcome = over(identified(K, ExtentKind::Hole, &[]), layers).await;
        let code = outcome.err().map_or_else(|| "opened".to_owned(), |error| error.code().to_owned());
        assert_eq!(code, expected);
    }
}

fn part(reference: &str) -> SourceRef {
    SourceRef { role: "extent".to_owned(), ..parent(reference) }
}

fn of(source: u16, extent: Extent) -> Extent {
    Extent { source, ..extent }
}

/// Two parts of 4 KiB, of the bytes 7 and 8.
fn two_parts() -> OpenOptions {
    let nothing = || one_page(K, vec![]);
    let parts = Chain(vec![(nothing(), vec![7; 4096]), (nothing(), vec![8; 4096])]);
    OpenOptions { resolver: Arc::new(parts), identity: "top".to_owned(), ..OpenOptions::default() }
}

#[tokio::test]
async fn parts_of_a_disk_are_read_where_they_are_granted() {
    let mut script =
        one_page(4 * K, vec![of(2, data(0, K, K)), data(K, K, 0), of(1, data(2 * K, 2 * K, 2 * K))]);
    script.sources = vec![primary(), part("0"), part("1")];
    assert_eq!(code(&script, 4096).await, "denied.external-reference");
    assert!(script.attached.lock().unwrap().is_empty());
    let disk = open_with(&script, 4096, &two_parts()).await.unwrap();
    let mut bytes = vec![0; 4096];
    disk.read_at(&mut bytes, 0).unwrap();
    let expected: Vec<u8> = [8, 1, 7, 7].iter().flat_map(|value| [*value; 1024]).collect();
    assert_eq!(bytes, expected);
    assert_eq!(disk.layers(), 1);
    assert_eq!(*script.attached.lock().unwrap(), [(1, 4096), (2, 4096)]);
}

#[tokio::test]
async fn parts_are_checked_like_the_image_itself() {
    let check = async |extents: Vec<Extent>| {
        let mut script = one_page(8 * K, extents);
        script.sources = vec![primary(), part("0"), part("1"), parent("1")];
        open_with(&script, 4096, &two_parts()).await.err().map(|error| error.code().to_owned())
    };
    let refused = |code: &str| Some(code.to_owned());
    let twice = vec![of(1, data(0, 4 * K, 0)), of(1, data(4 * K, 4 * K, 0))];
    assert_eq!(check(twice).await, refused("corrupt.aliased"));
    let behind = vec![of(1, data(0, 4 * K, 0)), of(2, data(4 * K, 4 * K, 1))];
    assert_eq!(check(behind).await, refused("corrupt.truncated"));
    let the_parent = vec![of(3, data(0, 8 * K, 0))];
    assert_eq!(check(the_parent).await, refused("plugin.map-index"));
    let mut script = one_page(K, vec![data(0, K, 0)]);
    script.sources = vec![primary(), part("0"), part("0")];
    let error = open_with(&script, 4096, &two_parts()).await.err().unwrap();
    assert_eq!(error.code(), "corrupt.aliased", "one file as two parts");
    script = one_page(K, vec![data(0, K, 0)]);
    script.sources = vec![primary(), part("0"), part("x")];
    let error = open_with(&script, 4096, &two_parts()).await.err().unwrap();
    assert_eq!(error.code(), "denied.external-reference", "one of two is not granted");
}

#[tokio::test]
async fn parts_are_attached_again_after_a_trap() {
    let pages =
        vec![page(vec![of(1, data(0, K, 0))], false), Err(trap()), page(vec![of(1, data(K, K, K))], true)];
    let mut script = Script::new(2 * K, pages);
    script.sources = vec![primary(), part("0")];
    assert!(open_with(&script, 0, &two_parts()).await.is_ok());
    assert_eq!(*script.attached.lock().unwrap(), [(1, 4096), (1, 4096)]);
}

#[tokio::test]
async fn a_layer_below_has_parts_of_its_own() {
    let hole = |offset, length| extent(offset, length, ExtentKind::Hole, 0, 0);
    let mut below = one_page(2 * K, vec![of(1, data(0, K, 0)), data(K, K, 0)]);
    below.sources = vec![primary(), part("2")];
    let mut top = one_page(3 * K, vec![hole(0, 2 * K), of(2, data(2 * K, K, 0))]);
    top.sources = vec![primary(), parent("0"), part("1")];
    let nothing = || one_page(K, vec![]);
    let chain = Chain(vec![(below, vec![3; 2048]), (nothing(), vec![4; 1024]), (nothing(), vec![5; 1024])]);
    let options =
        OpenOptions { resolver: Arc::new(chain), identity: "top".to_owned(), ..OpenOptions::default() };
    let disk = open_with(&top, 0, &options).await.unwrap();
    let mut bytes = vec![0; 3072];
    disk.read_at(&mut bytes, 0).unwrap();
    assert_eq!([bytes[0], bytes[1024], bytes[2048]], [5, 3, 4]);
    assert_eq!(disk.layers(), 2);
}

#[tokio::test]
async fn a_map_that_is_too_large_for_memory_needs_a_scratch_file() {
    use crate::map::scratch::Scratch;
    let extents = || (0..1000).map(|n| data(n * 512, 512, (n ^ 1) * 512)).collect();
    let opened = async |folder: &std::path::Path| {
        let scratch = Scratch::in_folder(folder).with_limits(1000, 1000);
        let options = OpenOptions { scratch, ..OpenOptions::default() };
        open_with(&one_page(1000 * 512, extents()), 1000 * 512, &options).await
    };
    let error = opened("/nowhere".as_ref()).await.err().unwrap();
    assert_eq!((error.code(), error.class()), ("scratch.open", imprint_ports::ErrorClass::Transient));
    let folder = tempfile::tempdir().unwrap();
    let large = opened(folder.path()).await.unwrap();
    assert!(large.map().scratch().is_some());
    let small = open(&one_page(1000 * 512, extents()), 1000 * 512).await.unwrap();
    assert!(large.map().iter().eq(small.map().iter()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

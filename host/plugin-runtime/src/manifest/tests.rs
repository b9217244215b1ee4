use std::time::Duration;

use super::{probe::MAX_MARKS, *};

const GOOD: &str = r#"
schema = 1
[plugin]
id = "hypervisor-qemu"
version = "0.1.0"
kinds = ["hypervisor"]
requires.host = ">=0.1, <0.2"
[[capabilities.channel]]
id = "qmp"
kind = "unix"
framing = "lines"
allow = ["query-*"]
[[capabilities.channel.guard]]
arm = "stop"
disarm = "cont"
limit-ms = 500
undo = '{"execute":"cont"}'
[limits]
memory = "32MiB"
cpu-per-call = "500ms"
wall-per-call = "2m"
log-rate = "5/s"
"#;

fn parse(text: &str) -> Result<Manifest, LoadError> {
    Manifest::parse(text, &Limits::caps())
}

fn refused(from: &str, to: &str, reason: &str) {
    assert!(GOOD.contains(from), "{from} is in the manifest");
    let error = parse(&GOOD.replace(from, to)).expect_err(to).to_string();
    assert!(error.contains(reason), "{to} is refused with {error:?}, not with {reason:?}");
}

#[test]
fn a_manifest_is_read() {
    let manifest = parse(GOOD).unwrap();
    assert_eq!((manifest.kind, manifest.provides.as_str()), (Kind::Hypervisor, "qemu"));
    assert_eq!(manifest.limits.memory, 32 << 20);
    assert_eq!(manifest.limits.cpu_per_call, Duration::from_millis(500));
    assert_eq!(manifest.limits.wall_per_call, Duration::from_secs(120));
    assert_eq!(manifest.limits.log_rate, 5);
    assert_eq!(
        manifest.limits.instances,
        Limits::default().instances,
        "a limit that is not named has its default"
    );
    assert_eq!(manifest.channels[0].guards[0].limit_ms, 500);
}

#[test]
fn the_host_caps_what_a_manifest_asks_for() {
    let greedy = GOOD.replace("32MiB", "900GiB").replace("2m", "9000m");
    let limits = parse(&greedy).unwrap().limits;
    assert_eq!((limits.memory, limits.wall_per_call), (Limits::caps().memory, Limits::caps().wall_per_call));
}

#[test]
fn errors_name_the_place_of_the_mistake() {
    refused("schema = 1", "schema = 2", "schema 2");
    refused(r#"version = "0.1.0""#, r#"version = "new""#, "plugin.version");
    refused(r#"["hypervisor"]"#, r#"["hypervisor", "format"]"#, "exactly one");
    refused(r#"["hypervisor"]"#, r#"["toaster"]"#, "plugin.kinds");
    refused(r#"id = "hypervisor-qemu""#, r#"id = "../etc""#, "plugin.id");
    refused(r#"memory = "32MiB""#, r#"memory = "32 parsecs""#, "`limits.memory` is \"32 parsecs\"");
    refused(r#"wall-per-call = "2m""#, r#"wall-per-call = "2""#, "`limits.wall-per-call`");
    refused(r#"log-rate = "5/s""#, r#"log-rate = "5""#, "`limits.log-rate`");
    refused("limit-ms = 500", "limit-ms = 0", "limit-ms");
    refused(r#"undo = '{"execute":"cont"}'"#, r#"undo = '{"run":"cont"}'"#, "execute");
    refused("[limits]", "[limit]", "limit");
    refused(r#"">=0.1, <0.2""#, r#"">=3""#, "this is host");
    assert!(parse(&"x".repeat(MAX_MANIFEST + 1)).is_err());
}

#[test]
fn commands_that_are_never_granted_are_refused_in_the_manifest() {
    for pattern in ["migrate", "migrate*", "migrate-set-capabilities", "human-monitor-command", "guest-exec"]
    {
        let error = parse(&GOOD.replace("query-*", pattern)).expect_err(pattern);
        assert!(matches!(error, LoadError::NeverGrantable { .. }), "{pattern}: {error}");
    }
}

#[test]
fn capabilities_of_another_kind_are_refused() {
    let dir = "[[capabilities.dir]]\nid = \"pool\"\n[limits]";
    refused("[limits]", dir, "[[capabilities.dir]]` is for plugins of the kind storage");
    refused(r#"["hypervisor"]"#, r#"["storage"]"#, "[[capabilities.channel]]");
}

#[test]
fn a_format_names_the_parts_of_a_file_that_it_needs() {
    let with = |probe: &str| {
        let line = format!("requires.host = \">=0.1, <0.2\"\nprobe = {probe}");
        parse(&GOOD.replace("requires.host = \">=0.1, <0.2\"", &line))
    };
    assert_eq!(parse(GOOD).unwrap().probe, Probe { head: 65536, tail: 4096, marks: None });
    let little = with(r#"{ head = "512B", tail = "0B" }"#).unwrap();
    assert_eq!(little.probe, Probe { head: 512, tail: 0, marks: None });
    assert_eq!(with(r#"{ head = "1GiB" }"#).unwrap().probe, Probe::default());
    assert!(with(r#"{ head = "much" }"#).unwrap_err().to_string().contains("much"));
    let marked = with(
        r#"{ head = "8B", tail = "6B", marks = [{ at = 2, text = "ab" }, { at = 6, hex = "ff00" }, { at = -5, text = "xy" }] }"#,
    );
    let marked = marked.unwrap().probe;
    for (head, tail, admitted) in [
        (b"..ab....", b"......", true),
        (b"......\xff\0", b"......", true),
        (b"........", b".xy...", true),
        (b".ab.....", b"xy.xy.", false),
        (b".......\xff", b"....xy", false),
    ] {
        assert_eq!(marked.admits(head, tail), admitted, "{head:?} {tail:?}");
    }
    assert!(marked.admits(b"..ab", b"") && marked.admits(b"", b"xy...") && !marked.admits(b"..a", b"xy.."));
    assert!(!with("{ marks = [] }").unwrap().probe.admits(b"anything", b"anything"));
    assert!(Probe::default().admits(b"", b""));
    for (probe, reason) in [
        (r#"{ head = "3B", marks = [{ at = 2, text = "ab" }] }"#, "at 2 is outside"),
        (r#"{ tail = "4B", marks = [{ at = -5, text = "ab" }] }"#, "at -5 is outside"),
        (r#"{ marks = [{ at = -1, text = "ab" }] }"#, "at -1 is outside"),
        ("{ marks = [{ at = 0 }] }", "either `text` or `hex`"),
        (r#"{ marks = [{ at = 0, hex = "f" }] }"#, "either `text` or `hex`"),
        (r#"{ marks = [{ at = 0, text = "" }] }"#, "at least one byte"),
        (r#"{ marks = [{ at = 0, text = "a", hex = "00" }] }"#, "either `text` or `hex`"),
    ] {
        let error = with(probe).expect_err(probe).to_string();
        assert!(error.contains(reason), "{probe}: {error}");
    }
    let many = format!("{{ marks = [{}] }}", r#"{ at = 0, text = "a" },"#.repeat(MAX_MARKS + 1));
    assert!(with(&many).unwrap_err().to_string().contains("more than 64 marks"));
}

#[test]
fn only_a_format_that_reads_nothing_recognises_others() {
    const FOREIGN: &str = r#"
schema = 1
[plugin]
id = "format-foreign"
version = "0.1.0"
kinds = ["format"]
requires.host = ">=0.1, <0.2"
read-only = true
recognises = ["gzip", "7z"]
"#;
    assert_eq!(parse(FOREIGN).unwrap().recognises.len(), 2);
    let refused = |from: &str, to: &str| parse(&FOREIGN.replace(from, to)).unwrap_err().to_string();
    assert!(refused("read-only = true", "").contains("read-only"));
    assert!(refused(r#"["format"]"#, r#"["storage"]"#).contains("recognises"));
    assert!(refused(r#""7z""#, r#""7Z""#).contains("recognises"));
    let many = (0..65).map(|n| format!("\"f{n}\"")).collect::<Vec<_>>().join(",");
    assert!(refused(r#""gzip", "7z""#, &many).contains("more than 64"));
}

#[test]
fn a_schema_of_the_settings_is_read_or_refused_with_the_reason() {
    let with = |schema: &str| parse(&format!("{GOOD}\n[config]\nschema = '{schema}'\n"));
    let manifest =
        with(r#"{"type": "object", "properties": {"key": {"type": "string", "writeOnly": true}}}"#).unwrap();
    assert_eq!(manifest.config.unwrap().secrets().collect::<Vec<_>>(), ["key"]);
    assert!(parse(GOOD).unwrap().config.is_none());
    for (schema, reason) in [
        ("config.schema.json", "still names a file"),
        ("{", "not JSON"),
        (r#"{"type": "object", "allOf": []}"#, "the keyword `allOf`"),
        (r#"{"type": "object", "properties": {"a": {"type": "number"}}}"#, "at /properties/a: the type"),
    ] {
        let error = with(schema).expect_err(schema).to_string();
        assert!(error.contains(reason), "{schema} is refused with {error:?}");
    }
    let error = parse(&format!("{GOOD}\n[config]\nschemata = '{{}}'\n")).unwrap_err().to_string();
    assert!(error.contains("schemata"), "{error}");
}

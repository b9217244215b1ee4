use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::secret::{SecretText, Secrets};

fn object_store() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "S3",
        "properties": {
            "endpoint": {"type": "string", "format": "uri", "pattern": "^https?://", "x-order": 1},
            "bucket": {"type": "string", "minLength": 3, "maxLength": 63},
            "style": {"type": "string", "oneOf": [
                {"const": "path", "title": "In the path"}, {"const": "host"}], "default": "path"},
            "connections": {"type": "integer", "minimum": 1, "maximum": 64, "default": 8},
            "checksums": {"type": "boolean", "default": true},
            "sign-in": {"type": "string", "enum": ["keys", "none"], "default": "keys"},
            "key-id": {"type": "string"},
            "secret-key": {"type": "string", "writeOnly": true, "minLength": 8},
            "session-token": {"type": "string", "writeOnly": true}
        },
        "required": ["endpoint", "bucket"],
        "dependentRequired": {"session-token": ["secret-key"]},
        "oneOf": [
            {"title": "Keys", "properties": {"sign-in": {"const": "keys"}}, "required": ["key-id", "secret-key"]},
            {"title": "Public", "properties": {"sign-in": {"const": "none"}}}
        ]
    })
}

fn schema() -> SettingsSchema {
    SettingsSchema::parse(&object_store().to_string()).unwrap()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn secrets(pairs: &[(&str, &str)]) -> Secrets {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretText::new((*value).to_owned()))).collect()
}

const GOOD: [(&str, &str); 3] =
    [("endpoint", "https://s3.example"), ("bucket", "images"), ("key-id", "AKIA")];

#[test]
fn defaults_are_filled_in_and_secrets_are_named() {
    let schema = schema();
    let filled =
        schema.check(&texts(&GOOD), &secrets(&[("secret-key", "very secret")]), &BTreeSet::new()).unwrap();
    for (name, value) in [("style", "path"), ("connections", "8"), ("checksums", "true"), ("sign-in", "keys")]
    {
        assert_eq!(filled[name], value);
    }
    assert_eq!(filled.len(), 7, "no secret is among the settings: {filled:?}");
    assert_eq!(schema.secrets().collect::<Vec<_>>(), ["secret-key", "session-token"]);
    let kept = BTreeSet::from(["secret-key".to_owned()]);
    assert_eq!(schema.check(&texts(&GOOD), &Secrets::new(), &kept).unwrap(), filled);
}

#[test]
fn a_wrong_setting_is_named_and_its_value_is_not_repeated() {
    let schema = schema();
    let key: &[(&str, &str)] = &[("secret-key", "very secret")];
    for (changed, value, pointer, words) in [
        ("endpoint", "ftp://very secret", "/settings/endpoint", "must match"),
        ("bucket", "ab", "/settings/bucket", "at least 3"),
        ("style", "both", "/settings/style", "path, host"),
        ("connections", "0", "/settings/connections", "the least is 1"),
        ("connections", "65", "/settings/connections", "the most is 64"),
        ("connections", "08", "/settings/connections", "decimal"),
        ("checksums", "yes", "/settings/checksums", "`true` or `false`"),
        ("colour/x", "red", "/settings/colour~1x", "no such setting"),
        ("secret-key", "very secret", "/settings/secret-key", "send it in `secrets`"),
    ] {
        let mut settings = texts(&GOOD);
        settings.insert(changed.to_owned(), value.to_owned());
        let problem = schema.check(&settings, &secrets(key), &BTreeSet::new()).unwrap_err();
        assert_eq!(problem.pointer(), pointer);
        assert!(problem.detail.contains(words), "{changed}={value}: {problem}");
        assert!(!problem.detail.contains("very secret"), "{problem}");
    }
    for (given, pointer, words) in [
        (&[("bucket", "images")][..], "/secrets/bucket", "no secret"),
        (&[("other", "x")], "/secrets/other", "secret-key, session-token"),
        (&[("secret-key", "short")], "/secrets/secret-key", "at least 8"),
        (&[("session-token", "x")], "/secrets/secret-key", "together with `session-token`"),
        (&[], "/secrets/secret-key", "with sign-in=keys"),
    ] {
        let problem = schema.check(&texts(&GOOD), &secrets(given), &BTreeSet::new()).unwrap_err();
        assert_eq!(problem.pointer(), pointer, "{problem}");
        assert!(problem.detail.contains(words), "{problem}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let without = |name: &str| {
        let mut settings = texts(&GOOD);
        settings.remove(name);
        schema().check(&settings, &secrets(&[("secret-key", "very secret")]), &BTreeSet::new())
    };
    assert_eq!(without("bucket").unwrap_err().pointer(), "/settings/bucket");
    assert_eq!(without("key-id").unwrap_err().pointer(), "/settings/key-id");
    let mut public = texts(&GOOD);
    public.remove("key-id");
    public.insert("sign-in".to_owned(), "none".to_owned());
    schema().check(&public, &Secrets::new(), &BTreeSet::new()).unwrap();
}

#[test]
fn alternatives_without_a_value_depend_on_what_is_set() {
    let either = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    let schema = SettingsSchema::parse(&either.to_string()).unwrap();
    let check = |pairs: &[(&str, &str)]| schema.check(&texts(pairs), &Secrets::new(), &BTreeSet::new());
    check(&[("a", "1")]).unwrap();
    assert_eq!(check(&[]).unwrap_err().to_string(), "set one of these: a; or b");
    assert_eq!(check(&[("a", "1"), ("b", "2")]).unwrap_err().to_string(), "set only one of these: a; or b");
}

#[test]
fn a_schema_that_the_host_cannot_use_is_refused_with_the_place() {
    let with = |pointer: &str, value: Value| {
        let mut schema = object_store();
        *schema.pointer_mut(pointer).unwrap() = value;
        SettingsSchema::parse(&schema.to_string()).expect_err(pointer)
    };
    for (pointer, value, at) in [
        ("/type", json!("array"), "/type"),
        ("/$schema", json!("http://json-schema.org/draft-07/schema#"), "/$schema"),
        ("/required", json!(["nothing"]), "/required"),
        ("/properties/bucket", json!({"type": "object"}), "/properties/bucket"),
        ("/properties/bucket", json!({"type": "string", "contentEncoding": "base64"}), "/properties/bucket"),
        ("/properties/bucket", json!({"type": "string", "pattern": "(?=a)"}), "/properties/bucket/pattern"),
        ("/properties/bucket/minLength", json!(-1), "/properties/bucket/minLength"),
        ("/properties/connections/default", json!(65), "/properties/connections/default"),
        ("/properties/connections/default", json!("8"), "/properties/connections/default"),
        ("/properties/connections/minimum", json!(65), "/properties/connections"),
        (
            "/properties/secret-key",
            json!({"type": "string", "writeOnly": true, "default": "x"}),
            "/properties/secret-key/default",
        ),
        ("/properties/sign-in/enum", json!([]), "/properties/sign-in/enum"),
        ("/properties/endpoint/x-order", json!("1"), "/properties/endpoint/x-order"),
        ("/dependentRequired/session-token", json!("secret-key"), "/dependentRequired/session-token"),
        ("/oneOf/0/properties/sign-in/const", json!(7), "/oneOf/0/properties/sign-in"),
    ] {
        assert_eq!(with(pointer, value.clone()).at, at, "{pointer} = {value}");
    }
    for text in ["", "[]", "{", "{\"type\":\"object\",\"properties\":{\"Upper\":{\"type\":\"string\"}}}"] {
        SettingsSchema::parse(text).expect_err(text);
    }
    assert!(SettingsSchema::parse(&" ".repeat(MAX_SCHEMA + 1)).unwrap_err().problem.contains("larger"));
    let text = "{\"type\":\"object\", \"allOf\": []}";
    assert_eq!(
        SettingsSchema::parse(text).unwrap_err().to_string(),
        "at the top: the host does not support the keyword `allOf`"
    );
}

proptest! {
    #[test]
    fn checked_settings_are_valid_again(
        names in proptest::collection::btree_map("(endpoint|bucket|style|connections|checksums|sign-in|key-id|x)",
            "(https://a|path|host|keys|none|true|7|abc|)", 0..8),
        with_key in any::<bool>(),
    ) {
        let schema = schema();
        let given = if with_key { secrets(&[("secret-key", "very secret")]) } else { Secrets::new() };
        if let Ok(filled) = schema.check(&names, &given, &BTreeSet::new()) {
            prop_assert_eq!(schema.check(&filled, &given, &BTreeSet::new()).unwrap(), filled);
        }
    }

    #[test]
    fn any_text_is_a_schema_or_refused(text in "[\\[\\]{}\":,a-z0-9$ -]{0,200}") {
        let _read_or_refused = SettingsSchema::parse(&text);
    }
}

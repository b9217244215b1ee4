//! Reads a schema, and refuses what is outside of the profile.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{
    Alternative, InvalidSchema, MAX_NAME, MAX_PROPERTIES, MAX_SCHEMA, Property, SettingsSchema, TextRules,
    ValueKind,
};

/// The dialect that `$schema` may name.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The most bytes of a compiled pattern.
const MAX_PATTERN_SIZE: usize = 1 << 20;
/// The most choices of a property, and the most alternatives of a schema.
const MAX_CHOICES: usize = 64;

/// Keywords that describe and have no effect on what is valid.
const ANNOTATIONS: [&str; 6] = ["title", "description", "$comment", "examples", "deprecated", "format"];

type Parsed<T> = Result<T, InvalidSchema>;

fn invalid(at: &str, problem: impl Into<String>) -> InvalidSchema {
    InvalidSchema { at: at.to_owned(), problem: problem.into() }
}

impl SettingsSchema {
    /// Reads a schema.
    ///
    /// # Errors
    ///
    /// It is not JSON, too large, or has something that the host cannot use; the error says where.
    pub fn parse(text: &str) -> Parsed<Self> {
        if text.len() > MAX_SCHEMA {
            return Err(invalid("", format!("the schema is larger than {MAX_SCHEMA} bytes")));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| invalid("", format!("it is not JSON: {error}")))?;
        let map = object(&value, "")?;
        let own =
            ["$schema", "$id", "type", "properties", "required", "dependentRequired", "oneOf"].as_slice();
        keywords(map, "", &[own, &["additionalProperties"]].concat())?;
        check_top(map)?;
        let properties = properties(map)?;
        let known = |name: &str, at: &str| match properties.contains_key(name) {
            true => Ok(()),
            false => Err(invalid(at, format!("there is no property `{name}`"))),
        };
        let required = names(map.get("required"), "/required", &known)?;
        let dependent = dependent(map.get("dependentRequired"), &known)?;
        let alternatives = alternatives(map.get("oneOf"), &properties, &known)?;
        Ok(Self { text: value.to_string(), properties, required, dependent, alternatives })
    }
}

fn check_top(map: &Map<String, Value>) -> Parsed<()> {
    if map.get("type").and_then(Value::as_str) != Some("object") {
        return Err(invalid("/type", "a schema of settings has the type \"object\""));
    }
    if map.get("$schema").is_some_and(|dialect| dialect.as_str() != Some(DIALECT)) {
        return Err(invalid("/$schema", format!("the host reads the dialect {DIALECT}")));
    }
    if map.get("additionalProperties").is_some_and(|more| more.as_bool() != Some(false)) {
        return Err(invalid("/additionalProperties", "unknown settings are always refused: write false"));
    }
    Ok(())
}

fn object<'a>(value: &'a Value, at: &str) -> Parsed<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| invalid(at, "an object is expected"))
}

/// Refuses keywords other than these, annotations and extensions (`x-`).
fn keywords(map: &Map<String, Value>, at: &str, allowed: &[&str]) -> Parsed<()> {
    for (keyword, value) in map {
        let known = allowed.contains(&keyword.as_str()) || keyword.starts_with("x-");
        if !known && !ANNOTATIONS.contains(&keyword.as_str()) {
            return Err(invalid(at, format!("the host does not support the keyword `{keyword}`")));
        }
        let text = ["title", "description", "format"].contains(&keyword.as_str());
        if text && !value.is_string() {
            return Err(invalid(&format!("{at}/{keyword}"), "a text is expected"));
        }
    }
    Ok(())
}

fn properties(map: &Map<String, Value>) -> Parsed<BTreeMap<String, Property>> {
    let at = "/properties";
    let Some(value) = map.get("properties") else { return Ok(BTreeMap::new()) };
    let properties = object(value, at)?;
    if properties.len() > MAX_PROPERTIES {
        return Err(invalid(at, format!("there are more than {MAX_PROPERTIES} properties")));
    }
    let parse = |(name, value): (&String, &Value)| {
        let at = format!("{at}/{name}");
        if !is_name(name) {
            return Err(invalid(
                &at,
                format!(
                    "a setting's name has 1 to {MAX_NAME} lower-case letters, digits and hyphens, and starts with a letter"
                ),
            ));
        }
        Ok((name.clone(), property(object(value, &at)?, &at)?))
    };
    properties.iter().map(parse).collect()
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= MAX_NAME && name.bytes().all(plain)
}

/// The keywords of every property.
const OF_ALL: [&str; 3] = ["type", "default", "writeOnly"];

fn property(map: &Map<String, Value>, at: &str) -> Parsed<Property> {
    let kind = match map.get("type").and_then(Value::as_str) {
        Some("string") if map.contains_key("enum") || map.contains_key("oneOf") => {
            keywords(map, at, &[&OF_ALL[..], &["enum", "oneOf"]].concat())?;
            ValueKind::Choice(choices(map, at)?)
        }
        Some("string") => {
            keywords(map, at, &[&OF_ALL[..], &["pattern", "minLength", "maxLength"]].concat())?;
            ValueKind::Text(text_rules(map, at)?)
        }
        Some("integer") => {
            keywords(map, at, &[&OF_ALL[..], &["minimum", "maximum"]].concat())?;
            let minimum = integer(map, "minimum", at)?.unwrap_or(i64::MIN);
            let maximum = integer(map, "maximum", at)?.unwrap_or(i64::MAX);
            if minimum > maximum {
                return Err(invalid(at, "the minimum is above the maximum"));
            }
            ValueKind::Integer { minimum, maximum }
        }
        Some("boolean") => {
            keywords(map, at, &OF_ALL)?;
            ValueKind::Boolean
        }
        Some(_) | None => {
            return Err(invalid(at, "the type of a setting is \"string\", \"integer\" or \"boolean\""));
        }
    };
    let order = map.get("x-order");
    if order.is_some_and(|order| !order.is_i64()) {
        return Err(invalid(&format!("{at}/x-order"), "an integer is expected"));
    }
    let secret = flag(map, "writeOnly", at)?;
    let property = Property { default: default_of(map, &kind, at)?, kind, secret };
    if secret && property.default.is_some() {
        return Err(invalid(&format!("{at}/default"), "a secret has no default"));
    }
    Ok(property)
}

fn flag(map: &Map<String, Value>, keyword: &str, at: &str) -> Parsed<bool> {
    match map.get(keyword) {
        None => Ok(false),
        Some(value) => {
            value.as_bool().ok_or_else(|| invalid(&format!("{at}/{keyword}"), "true or false is expected"))
        }
    }
}

fn integer(map: &Map<String, Value>, keyword: &str, at: &str) -> Parsed<Option<i64>> {
    let parse = |value: &Value| {
        value.as_i64().ok_or_else(|| invalid(&format!("{at}/{keyword}"), "an integer of 64 bits is expected"))
    };
    map.get(keyword).map(parse).transpose()
}

fn length(map: &Map<String, Value>, keyword: &str, at: &str) -> Parsed<Option<usize>> {
    let parse = |value: i64| {
        usize::try_from(value).map_err(|_| invalid(&format!("{at}/{keyword}"), "a length is expected"))
    };
    integer(map, keyword, at)?.map(parse).transpose()
}

fn text_rules(map: &Map<String, Value>, at: &str) -> Parsed<TextRules> {
    let pattern = map.get("pattern").map(|value| pattern(value, &format!("{at}/pattern"))).transpose()?;
    Ok(TextRules {
        pattern,
        min_length: length(map, "minLength", at)?,
        max_length: length(map, "maxLength", at)?,
    })
}

fn pattern(value: &Value, at: &str) -> Parsed<Regex> {
    let text = value.as_str().ok_or_else(|| invalid(at, "a text is expected"))?;
    RegexBuilder::new(text).size_limit(MAX_PATTERN_SIZE).build().map_err(|error| {
        invalid(
            at,
            format!("the host cannot use the pattern, which has no look-around and no references: {error}"),
        )
    })
}

/// Reads the choices of a property: `enum`, or `oneOf` with a `const` and a `title` each.
fn choices(map: &Map<String, Value>, at: &str) -> Parsed<Vec<String>> {
    let (keyword, values) = match (map.get("enum"), map.get("oneOf")) {
        (Some(values), None) => ("enum", values),
        (None, Some(values)) => ("oneOf", values),
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid(at, "choices are written as `enum` or as `oneOf`"));
        }
    };
    let at = format!("{at}/{keyword}");
    let values = values.as_array().ok_or_else(|| invalid(&at, "a list is expected"))?;
    if values.is_empty() || values.len() > MAX_CHOICES {
        return Err(invalid(&at, format!("1 to {MAX_CHOICES} choices are expected")));
    }
    let choice = |value: &Value| {
        let value = if keyword == "enum" {
            value
        } else {
            let choice = object(value, &at)?;
            keywords(choice, &at, &["const"])?;
            choice.get("const").unwrap_or(&Value::Null)
        };
        value.as_str().map(str::to_owned).ok_or_else(|| invalid(&at, "each choice is a text"))
    };
    values.iter().map(choice).collect()
}

/// Reads the default as the text of a setting.
fn default_of(map: &Map<String, Value>, kind: &ValueKind, at: &str) -> Parsed<Option<String>> {
    let Some(value) = map.get("default") else { return Ok(None) };
    let at = format!("{at}/default");
    let text = scalar(value, kind).ok_or_else(|| invalid(&at, "it is of another type than the property"))?;
    match kind.problem(&text) {
        None => Ok(Some(text)),
        Some(problem) => Err(invalid(&at, format!("the default itself is not valid: {problem}"))),
    }
}

/// Returns a JSON value of the property's type as the text of a setting.
fn scalar(value: &Value, kind: &ValueKind) -> Option<String> {
    match kind {
        ValueKind::Text(_) | ValueKind::Choice(_) => value.as_str().map(str::to_owned),
        ValueKind::Integer { .. } => value.as_i64().map(|number| number.to_string()),
        ValueKind::Boolean => value.as_bool().map(|flag| flag.to_string()),
    }
}

type Known<'a> = dyn Fn(&str, &str) -> Parsed<()> + 'a;

fn names(value: Option<&Value>, at: &str, known: &Known<'_>) -> Parsed<BTreeSet<String>> {
    let Some(value) = value else { return Ok(BTreeSet::new()) };
    let list = value.as_array().ok_or_else(|| invalid(at, "a list is expected"))?;
    let name = |value: &Value| {
        let name = value.as_str().ok_or_else(|| invalid(at, "a list of names is expected"))?;
        known(name, at)?;
        Ok(name.to_owned())
    };
    list.iter().map(name).collect()
}

fn dependent(value: Option<&Value>, known: &Known<'_>) -> Parsed<BTreeMap<String, BTreeSet<String>>> {
    let at = "/dependentRequired";
    let Some(value) = value else { return Ok(BTreeMap::new()) };
    let parse = |(name, needs): (&String, &Value)| {
        known(name, at)?;
        Ok((name.clone(), names(Some(needs), &format!("{at}/{name}"), known)?))
    };
    object(value, at)?.iter().map(parse).collect()
}

fn alternatives(
    value: Option<&Value>,
    properties: &BTreeMap<String, Property>,
    known: &Known<'_>,
) -> Parsed<Vec<Alternative>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| invalid("/oneOf", "a list is expected"))?;
    if list.is_empty() || list.len() > MAX_CHOICES {
        return Err(invalid("/oneOf", format!("1 to {MAX_CHOICES} alternatives are expected")));
    }
    let parse = |(index, value): (usize, &Value)| {
        let at = format!("/oneOf/{index}");
        let map = object(value, &at)?;
        keywords(map, &at, &["properties", "required"])?;
        let required = names(map.get("required"), &format!("{at}/required"), known)?;
        let values = chosen(map.get("properties"), properties, &format!("{at}/properties"), known)?;
        Ok(Alternative { values, required })
    };
    list.iter().enumerate().map(parse).collect()
}

/// Reads the values that choose an alternative.
fn chosen(
    value: Option<&Value>,
    properties: &BTreeMap<String, Property>,
    at: &str,
    known: &Known<'_>,
) -> Parsed<BTreeMap<String, String>> {
    let Some(value) = value else { return Ok(BTreeMap::new()) };
    let parse = |(name, value): (&String, &Value)| {
        let at = format!("{at}/{name}");
        known(name, &at)?;
        let map = object(value, &at)?;
        keywords(map, &at, &["const"])?;
        let wrong = || invalid(&at, "an alternative is chosen by a `const` of a property that is no secret");
        let property = properties.get(name).filter(|property| !property.secret).ok_or_else(wrong)?;
        let text = map.get("const").and_then(|value| scalar(value, &property.kind)).ok_or_else(wrong)?;
        Ok((name.clone(), text))
    };
    object(value, at)?.iter().map(parse).collect()
}

//! A reader of just enough XML for a description: elements and their attributes. There are no
//! document types and no entities but the five of the language itself, so nothing can grow and
//! nothing outside can be named.

use imprint_plugin_sdk::format::FormatError;

use crate::tar::clip;

/// Elements inside of each other, at most.
const MAX_DEPTH: usize = 32;
/// Attributes of an element, at most.
const MAX_ATTRIBUTES: usize = 64;

/// The start of an element. Names are without their prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) name: &'a str,
    /// The name of the element around it.
    pub(crate) parent: Option<&'a str>,
    attributes: Vec<(&'a str, String)>,
}

impl Element<'_> {
    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }
}

/// Hands every element to `visit`, in the order of the document.
pub(crate) fn read<'a>(
    text: &'a str,
    mut visit: impl FnMut(&Element<'a>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut open: Vec<&'a str> = Vec::new();
    let mut roots = 0;
    while let Some(start) = rest.find('<') {
        let between = &rest[..start];
        if open.is_empty() && !between.trim().is_empty() {
            return Err(bad("there is text outside of its root"));
        }
        unescaped(between)?;
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix("<!--") {
            rest = behind(after, "-->")?;
        } else if let Some(after) = rest.strip_prefix("<?") {
            rest = behind(after, "?>")?;
        } else if let Some(after) = rest.strip_prefix("<![CDATA[").filter(|_| !open.is_empty()) {
            rest = behind(after, "]]>")?;
        } else if rest.starts_with("<!") {
            return Err(entities("the description declares a document type"));
        } else if let Some(after) = rest.strip_prefix("</") {
            let (name, after) = after.split_once('>').ok_or_else(|| bad("a tag has no end"))?;
            if open.pop() != Some(name.trim_end()) {
                return Err(bad("its elements do not end as they begin"));
            }
            rest = after;
        } else {
            let tag = tag(&rest[1..])?;
            roots += usize::from(open.is_empty());
            if open.len() >= MAX_DEPTH || roots > 1 {
                return Err(bad("its elements are nested too deeply, or it has several roots"));
            }
            let parent = open.last().map(|name| local(name));
            visit(&Element { name: local(tag.name), parent, attributes: tag.attributes })?;
            if !tag.empty {
                open.push(tag.name);
            }
            rest = tag.after;
        }
    }
    if !open.is_empty() || roots == 0 || !rest.trim().is_empty() {
        return Err(bad("it is not complete"));
    }
    Ok(())
}

struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, String)>,
    empty: bool,
    after: &'a str,
}

/// A start tag, behind its `<`.
fn tag(text: &str) -> Result<Tag<'_>, FormatError> {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/' | '=' | '<' | '"'));
    let (name, mut rest) = text.split_at(end.ok_or_else(|| bad("a tag has no end"))?);
    if name.is_empty() {
        return Err(bad("a tag has no name"));
    }
    let mut attributes: Vec<(&str, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        for (end, empty) in [("/>", true), (">", false)] {
            if let Some(after) = rest.strip_prefix(end) {
                return Ok(Tag { name, attributes, empty, after });
            }
        }
        let (key, after) = rest.split_once('=').ok_or_else(|| bad("a tag has no end"))?;
        let key = key.trim();
        let after = after.trim_start();
        let quote = after
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
            .ok_or_else(|| bad("a value has no quotes"))?;
        let (value, after) = after[1..].split_once(quote).ok_or_else(|| bad("a value has no end"))?;
        if key.is_empty()
            || key.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'' | '/'))
            || value.contains('<')
        {
            return Err(bad("a tag cannot be parsed"));
        }
        // Namespaces are declared by attributes; they are no names of ours.
        if key != "xmlns" && !key.starts_with("xmlns:") {
            let key = local(key);
            if attributes.iter().any(|(known, _)| *known == key) {
                return Err(bad("an element has an attribute twice"));
            }
            attributes.push((key, unescaped(value)?));
        }
        if attributes.len() > MAX_ATTRIBUTES {
            return Err(bad("an element has too many attributes"));
        }
        rest = after;
    }
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn behind<'a>(text: &'a str, end: &str) -> Result<&'a str, FormatError> {
    text.split_once(end).map(|(_, after)| after).ok_or_else(|| bad("something in it has no end"))
}

/// Text with the five entities of the language, and characters by number, replaced.
fn unescaped(text: &str) -> Result<String, FormatError> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let (entity, after) = after
            .split_once(';')
            .filter(|(entity, _)| entity.len() <= 10)
            .ok_or_else(|| bad("an entity has no end"))?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => character(other)
                .ok_or_else(|| entities(&format!("the description uses the entity {:?}", clip(other))))?,
        });
        rest = after;
    }
    plain.push_str(rest);
    Ok(plain)
}

/// `#65` or `#x41`.
fn character(entity: &str) -> Option<char> {
    let number = entity.strip_prefix('#')?;
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

fn entities(what: &str) -> FormatError {
    FormatError::Entities(format!("{what}; remove the document type and its entities from the .ovf"))
}

fn bad(what: &str) -> FormatError {
    FormatError::Header(format!("the description (.ovf) is no XML that can be read: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, FormatError> {
        let mut names = Vec::new();
        read(text, |element| {
            let href = element.attribute("href").unwrap_or("-");
            names.push(format!("{}/{}:{href}", element.parent.unwrap_or(""), element.name));
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn elements_and_attributes() {
        let text = "\u{feff}<?xml version='1.0'?>\n<!-- <x> --><a:A xmlns='u' xmlns:ovf=\"v\">t &amp; &#65;<B ovf:href='x&lt;&quot;y' z = \"1\"/><![CDATA[<&]]><C></C ></a:A>\n";
        assert_eq!(names(text).unwrap(), ["/A:-", "A/B:x<\"y", "A/C:-"]);
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        let deep = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
        let cases = [
            ("<!DOCTYPE a><a/>", "denied.entities"),
            ("<!DOCTYPE a [<!ENTITY lol \"lol\">]><a>&lol;</a>", "denied.entities"),
            ("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "denied.entities"),
            ("<a>&xxe;</a>", "denied.entities"),
            ("<a b='&xxe;'/>", "denied.entities"),
            ("<![CDATA[x]]>", "denied.entities"),
            ("<a", "corrupt.header"),
            ("<a b", "corrupt.header"),
            ("<a b=c/>", "corrupt.header"),
            ("<a b='c/>", "corrupt.header"),
            ("<a b='1' x:b='2'/>", "corrupt.header"),
            ("<a><b></a></b>", "corrupt.header"),
            ("<a>", "corrupt.header"),
            ("</a>", "corrupt.header"),
            ("<a/><b/>", "corrupt.header"),
            ("<a/>text", "corrupt.header"),
            ("text<a/>", "corrupt.header"),
            ("<a>&amp</a>", "corrupt.header"),
            ("< a/>", "corrupt.header"),
            ("<!-- ", "corrupt.header"),
            ("", "corrupt.header"),
            (&deep, "corrupt.header"),
        ];
        for (text, expected) in cases {
            assert_eq!(names(text).unwrap_err().code(), expected, "{text}");
        }
    }
}

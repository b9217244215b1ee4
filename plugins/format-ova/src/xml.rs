//! Elements and attributes of a description, in bounds that hold for any document: no document
//! type, no entities except the five of the language, bounded depth, a bounded number of
//! attributes. So nothing can grow, and nothing outside can be named.

use imprint_plugin_sdk::format::FormatError;
use quick_xml::{
    Reader,
    escape::{EscapeError, unescape},
    events::{BytesStart, Event},
};

use crate::name::clip;

/// Elements inside of each other, at most.
const MAX_DEPTH: usize = 32;
/// Attributes of an element, at most.
const MAX_ATTRIBUTES: usize = 64;

/// The start of an element. Names are without their prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) name: String,
    /// The name of the element around it.
    pub(crate) parent: Option<&'a str>,
    attributes: Vec<(String, String)>,
}

impl<'a> Element<'a> {
    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    fn read(start: &BytesStart<'_>, parent: Option<&'a str>) -> Result<Self, FormatError> {
        let name = local(start.name().0).to_owned();
        if name.is_empty() {
            return Err(bad("a tag has no name"));
        }
        let mut attributes: Vec<(String, String)> = Vec::new();
        for (count, attribute) in start.attributes().enumerate() {
            if count == MAX_ATTRIBUTES {
                return Err(bad("an element has too many attributes"));
            }
            let attribute = attribute.map_err(|error| bad(&error.to_string()))?;
            // Namespaces are declared by attributes; they are no names of the description.
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let key = local(attribute.key.0);
            if attributes.iter().any(|(known, _)| known == key) {
                return Err(bad("an element has an attribute twice"));
            }
            if attribute.value.contains('<') {
                return Err(bad("a value has a tag in it"));
            }
            attributes.push((key.to_owned(), unescaped(&attribute.value)?));
        }
        Ok(Self { name, parent, attributes })
    }
}

/// Gives every element to `visit`, in the order of the document.
pub(crate) fn read(
    text: &str,
    mut visit: impl FnMut(&Element<'_>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut open: Vec<String> = Vec::new();
    let mut roots = 0;
    loop {
        let event = reader.read_event().map_err(|error| bad(&error.to_string()))?;
        let (start, is_empty) = match event {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(_) => {
                open.pop();
                continue;
            }
            Event::Text(text) if !open.is_empty() || text.trim().is_empty() => continue,
            Event::CData(_) if !open.is_empty() => continue,
            Event::GeneralRef(reference) if !open.is_empty() => {
                unescaped(&format!("&{};", &*reference))?;
                continue;
            }
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                return Err(bad("there is text outside of its root"));
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            Event::DocType(_) => return Err(entities("the description declares a document type")),
            Event::Eof => break,
        };
        roots += usize::from(open.is_empty());
        if open.len() >= MAX_DEPTH || roots > 1 {
            return Err(bad("its elements are nested too deeply, or it has several roots"));
        }
        let element = Element::read(&start, open.last().map(String::as_str))?;
        visit(&element)?;
        let Element { name, .. } = element;
        if !is_empty {
            open.push(name);
        }
    }
    if !open.is_empty() || roots == 0 {
        return Err(bad("it is not complete"));
    }
    Ok(())
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Text with the five entities of the language, and characters by number, replaced.
fn unescaped(text: &str) -> Result<String, FormatError> {
    match unescape(text) {
        Ok(plain) => Ok(plain.into_owned()),
        Err(EscapeError::UnrecognizedEntity(_, entity)) => {
            Err(entities(&format!("the description uses the entity {:?}", clip(&entity))))
        }
        Err(error) => Err(bad(&error.to_string())),
    }
}

fn entities(what: &str) -> FormatError {
    FormatError::Entities(format!("{what}; remove the document type and its entities from the .ovf"))
}

/// `what` may repeat untrusted text.
fn bad(what: &str) -> FormatError {
    FormatError::Header(format!("the description (.ovf) is no XML that can be read: {}", clip(what)))
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
            ("<![CDATA[x]]>", "corrupt.header"),
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

//! The answers of S3: small XML documents without attributes that matter. No document type, no
//! entities except the five of the language, bounded depth.

use imprint_plugin_sdk::error::{Error, Result};
use quick_xml::{Reader, events::Event};

/// Elements inside of each other, at most.
const MAX_DEPTH: usize = 12;

/// Returns the error for an answer that is none of S3.
pub(crate) fn not_s3(what: &str) -> Error {
    let message = format!("the endpoint does not answer like S3 ({what}); check the setting \"endpoint\"");
    Error::invalid_input("s3.not-s3", message).about_setting("endpoint")
}

/// Gives each element with its text to `visit`, at its end: its path (names without prefixes) and
/// the text directly inside of it.
pub(crate) fn read(bytes: &[u8], mut visit: impl FnMut(&[String], &str)) -> Result<()> {
    let text = std::str::from_utf8(bytes).map_err(|_| not_s3("it is not UTF-8"))?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut open: Vec<String> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut seen = false;
    loop {
        let event = reader.read_event().map_err(|error| not_s3(&error.to_string()))?;
        match event {
            Event::Start(start) => {
                if open.len() == MAX_DEPTH {
                    return Err(not_s3("its elements are nested too deeply"));
                }
                open.push(local(start.name().0).to_owned());
                texts.push(String::new());
                seen = true;
            }
            Event::Empty(start) => {
                open.push(local(start.name().0).to_owned());
                visit(&open, "");
                open.pop();
                seen = true;
            }
            Event::End(_) => {
                let text = texts.pop().unwrap_or_default();
                visit(&open, &text);
                open.pop();
            }
            Event::Text(part) => add(&mut texts, &part),
            Event::CData(part) => add(&mut texts, &part),
            Event::GeneralRef(reference) => {
                let name = reference.to_string();
                let character = match name.as_str() {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().ok().flatten(),
                };
                let character = character.ok_or_else(|| not_s3("it has an unknown entity"))?;
                add(&mut texts, character.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(not_s3("it has a document type")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if seen && open.is_empty() => return Ok(()),
            Event::Eof => return Err(not_s3("it is no whole document")),
        }
    }
}

fn add(texts: &mut [String], part: &str) {
    if let Some(text) = texts.last_mut() {
        text.push_str(part);
    }
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Writes a text as the content of an element.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

//! Tags of images: short labels by which customers group and find them (S87).

use std::{collections::BTreeSet, fmt, ops::Deref};

use serde::{Deserialize, Serialize};

use crate::name::hides_or_controls;

/// The most tags of an image.
pub const MAX_TAGS: usize = 32;

/// The longest tag, in characters.
pub const MAX_TAG_CHARS: usize = 64;

/// Why a text is not a tag, or several are not the tags of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Nothing but white space.
    #[error("a tag needs at least one visible character")]
    Empty,
    /// Longer than [`MAX_TAG_CHARS`].
    #[error("a tag has at most {MAX_TAG_CHARS} characters, this one has {0}")]
    TooLong(usize),
    /// A control character, one that hides or reorders text, or a comma, which separates tags.
    #[error("a tag must not contain commas, control or invisible characters")]
    Character,
    /// Two tags that differ in nothing, or only in upper and lower case.
    #[error("the tag `{0}` is given twice; upper and lower case make no difference")]
    Repeated(Tag),
    /// More than [`MAX_TAGS`].
    #[error("an image has at most {MAX_TAGS} tags, these are {0}")]
    TooMany(usize),
}

/// A tag: 1 to 64 visible characters other than commas, without white space at the ends. Tags that
/// differ only in upper and lower case are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tag(String);

/// The tags of an image: at most 32, each once, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tags(Vec<Tag>);

impl Tag {
    /// Parses typed text; surrounding white space is removed.
    ///
    /// # Errors
    ///
    /// [`TagError`] when nothing is left, when it is too long, or when it has a comma, control or
    /// invisible characters.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let text = text.trim();
        let chars = text.chars().count();
        if chars == 0 {
            return Err(TagError::Empty);
        }
        if chars > MAX_TAG_CHARS {
            return Err(TagError::TooLong(chars));
        }
        if text.chars().any(|c| c == ',' || hides_or_controls(c)) {
            return Err(TagError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what tags are compared by: the text in lower case.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Tags {
    /// Checks the tags of an image, and sorts them.
    ///
    /// # Errors
    ///
    /// [`TagError`] when there are too many, or one of them is repeated.
    pub fn new(mut tags: Vec<Tag>) -> Result<Self, TagError> {
        if tags.len() > MAX_TAGS {
            return Err(TagError::TooMany(tags.len()));
        }
        let mut keys = BTreeSet::new();
        for tag in &tags {
            if !keys.insert(tag.key()) {
                return Err(TagError::Repeated(tag.clone()));
            }
        }
        tags.sort_by_cached_key(Tag::key);
        Ok(Self(tags))
    }
}

impl Deref for Tags {
    type Target = [Tag];

    fn deref(&self) -> &[Tag] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap()
    }

    #[test]
    fn tags_are_trimmed_and_bounded() {
        assert_eq!(tag("  env=production ").as_str(), "env=production");
        assert_eq!(tag("Ünder Prüfung").key(), "ünder prüfung");
        assert_eq!(Tag::parse(" \t"), Err(TagError::Empty));
        assert_eq!(tag(&"ä".repeat(64)).as_str().chars().count(), 64);
        assert_eq!(Tag::parse(&"a".repeat(65)), Err(TagError::TooLong(65)));
        for wrong in ["a,b", "a\nb", "a\u{202e}b", "a\u{200b}"] {
            assert_eq!(Tag::parse(wrong), Err(TagError::Character), "{wrong:?}");
        }
    }

    #[test]
    fn an_image_has_each_tag_once() {
        let tags = Tags::new(vec![tag("web"), tag("Debian"), tag("a")]).unwrap();
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "Debian", "web"]);
        assert_eq!(Tags::new(vec![tag("Web"), tag("web")]), Err(TagError::Repeated(tag("web"))));
        let many = |count: usize| (0..count).map(|number| tag(&number.to_string())).collect::<Vec<_>>();
        assert_eq!(Tags::new(many(32)).unwrap().len(), 32);
        assert_eq!(Tags::new(many(33)), Err(TagError::TooMany(33)));
        assert!(serde_json::from_str::<Tags>(r#"["a","A"]"#).is_err());
    }
}

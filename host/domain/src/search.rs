//! Searching: what is typed into a search box, and the text that it is compared with.

/// The most words of a search.
pub const MAX_SEARCH_WORDS: usize = 8;

/// The longest search, in characters.
pub const MAX_SEARCH_CHARS: usize = 128;

/// The separator of the parts of a searched text. No word of a search contains it, so none matches
/// across two parts.
const SEPARATOR: char = '\n';

/// Why a text is not a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// Longer than [`MAX_SEARCH_CHARS`].
    #[error("a search has at most {MAX_SEARCH_CHARS} characters, this one has {0}")]
    TooLong(usize),
    /// More than [`MAX_SEARCH_WORDS`] words.
    #[error("a search has at most {MAX_SEARCH_WORDS} words, this one has {0}")]
    TooManyWords(usize),
    /// A control character.
    #[error("a search must not contain control characters")]
    Control,
}

/// A search: something is found if its text contains every word, in upper or lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    words: Vec<String>,
}

impl Search {
    /// Parses typed text; `None` when it is nothing but white space, which finds everything.
    ///
    /// # Errors
    ///
    /// [`SearchError`] when it is too long, or has too many words or control characters.
    pub fn parse(text: &str) -> Result<Option<Self>, SearchError> {
        let text = text.trim();
        let chars = text.chars().count();
        if chars > MAX_SEARCH_CHARS {
            return Err(SearchError::TooLong(chars));
        }
        if text.chars().any(char::is_control) {
            return Err(SearchError::Control);
        }
        let mut words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        if words.len() > MAX_SEARCH_WORDS {
            return Err(SearchError::TooManyWords(words.len()));
        }
        words.sort();
        words.dedup();
        Ok((!words.is_empty()).then_some(Self { words }))
    }

    /// Returns the words in lower case, each once; there is at least one.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

/// Returns the text that searches are compared with, from the parts of what can be found. It is
/// never empty, so that a stored empty text means that it has to be made yet.
pub fn searched_text<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for part in parts {
        text.push_str(&part.to_lowercase());
        text.push(SEPARATOR);
    }
    if text.is_empty() {
        text.push(SEPARATOR);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_words_in_lower_case() {
        let words = |text: &str| Search::parse(text).unwrap().map(|search| search.words().to_vec());
        assert_eq!(words("  Web  SERVER web "), Some(vec!["server".to_owned(), "web".to_owned()]));
        assert_eq!(words("ÄRGER"), Some(vec!["ärger".to_owned()]));
        assert_eq!(words(" \t "), None);
        assert_eq!(Search::parse(&"a".repeat(129)), Err(SearchError::TooLong(129)));
        assert_eq!(Search::parse("a b c d e f g h i"), Err(SearchError::TooManyWords(9)));
        assert_eq!(Search::parse("a\u{7}b"), Err(SearchError::Control));
    }

    #[test]
    fn parts_are_apart_from_each_other() {
        let text = searched_text(["Web", "", "Über uns"]);
        assert_eq!(text, "web\n\nüber uns\n");
        assert!(!searched_text([]).is_empty());
    }
}

//! How customers reach the provider's support, and where it says what does not work (S29, S30,
//! S51).

use crate::checked_text::checked_text;

/// The longest text, in characters.
pub const MAX_SUPPORT_TEXT: usize = 500;
/// The longest address of a page, in bytes.
pub const MAX_WEB_LINK: usize = 2048;

/// Why a text is not one that customers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text for customers has 1 to 500 characters in one line, and no control characters")]
pub struct InvalidSupportText;

/// Why a text is not the address of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address of a page starts with `https://` or `http://` and has at most 2048 characters, without spaces"
)]
pub struct InvalidWebLink;

fn check_text(text: &str) -> Result<(), InvalidSupportText> {
    let is_short = (1..=MAX_SUPPORT_TEXT).contains(&text.chars().count());
    if is_short && !text.trim().is_empty() && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(InvalidSupportText)
}

fn check_link(text: &str) -> Result<(), InvalidWebLink> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = text.len() <= MAX_WEB_LINK && text.chars().all(|c| c.is_ascii_graphic() && c != '"');
    match host {
        Some(rest) if is_plain && rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') => Ok(()),
        Some(_) | None => Err(InvalidWebLink),
    }
}

checked_text! {
    check_text, InvalidSupportText;

    /// What the provider tells customers about its support: one line of 1 to [`MAX_SUPPORT_TEXT`]
    /// characters.
    SupportText;
}

checked_text! {
    check_link, InvalidWebLink;

    /// The address of a web page, of `http` or `https`.
    WebLink;
}

/// How customers of a location reach the provider's support.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// What to do, such as a telephone number and its hours.
    pub text: Option<SupportText>,
    /// The page of the support.
    pub url: Option<WebLink>,
    /// The page that says which parts of the system do not work.
    pub status_url: Option<WebLink>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_lines_and_links_lead_to_the_web() {
        assert!("Call +49 30 1234, Monday to Friday".parse::<SupportText>().is_ok());
        for wrong in ["", "  ", "two\nlines", &"x".repeat(501)] {
            assert_eq!(wrong.parse::<SupportText>(), Err(InvalidSupportText), "{wrong:?}");
        }
        for link in ["https://status.example.com/", "http://[::1]:8080/a?b=c#d"] {
            assert!(link.parse::<WebLink>().is_ok(), "{link}");
        }
        let long = format!("https://a/{}", "x".repeat(MAX_WEB_LINK));
        for wrong in
            ["", "status.example.com", "javascript:alert(1)", "https://", "https:///x", "https://a b", &long]
        {
            assert_eq!(wrong.parse::<WebLink>(), Err(InvalidWebLink), "{wrong:?}");
        }
    }
}

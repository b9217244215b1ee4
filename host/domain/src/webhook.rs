//! Webhooks: which events of an account are sent to a server of its own, and what becomes of those
//! that do not arrive.
//!
//! The messages follow the Standard Webhooks specification (standardwebhooks.com), and its schedule
//! of retries.

use std::{fmt, str::FromStr};

use chrono::TimeDelta;

use crate::{
    error::{Code, Error},
    event::EventKind,
};

/// The longest address in bytes.
pub const MAX_URL: usize = 2048;
/// The most patterns of events of a webhook.
pub const MAX_PATTERNS: usize = 50;
/// The pauses in seconds after each attempt that has failed: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h,
/// 14 h, 20 h, 24 h.
const PAUSES_S: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Returns the pause after that many attempts of a message that have failed; `None` when there is
/// no other attempt and the webhook is switched off.
pub fn pause_after(failures: u32) -> Option<TimeDelta> {
    let index = usize::try_from(failures.checked_sub(1)?).ok()?;
    PAUSES_S.get(index).map(|seconds| TimeDelta::seconds(*seconds))
}

/// Checks the address of a webhook: `http` or `https`, without a user and a fragment.
///
/// # Errors
///
/// [`Code::InvalidRequest`] at `/url`.
pub fn check_url(url: &str) -> Result<(), Error> {
    let refuse = |detail: &str| Err(Error::new(Code::InvalidRequest, detail).at("/url"));
    if url.len() > MAX_URL || !url.chars().all(|c| c.is_ascii_graphic()) {
        return refuse("the address has at most 2048 characters, all of them visible ASCII");
    }
    let rest = ["https://", "http://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
    let Some(rest) = rest else { return refuse("give an address that begins with https:// or http://") };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains('@') || url.contains('#') {
        return refuse("give an address with a host, and without a user and a fragment");
    }
    Ok(())
}

/// Which events are sent: patterns such as `image.*` and `billing.month_closed`. None stands for
/// all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPatterns(Vec<String>);

impl EventPatterns {
    /// Checks patterns: each matches at least one kind of event.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] at `/events`.
    pub fn new(patterns: Vec<String>) -> Result<Self, Error> {
        let refuse = |detail: String| Err(Error::new(Code::InvalidRequest, detail).at("/events"));
        if patterns.len() > MAX_PATTERNS {
            return refuse(format!("at most {MAX_PATTERNS} patterns"));
        }
        if let Some(odd) =
            patterns.iter().find(|pattern| !EventKind::ALL.iter().any(|kind| fits(pattern, *kind)))
        {
            let shown: String = odd.chars().filter(|c| !c.is_control()).take(40).collect();
            return refuse(format!(
                "`{shown}` is no event; write a kind such as `image.changed`, or a group such as `image.*`"
            ));
        }
        Ok(Self(patterns))
    }

    /// Returns the patterns.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Returns whether events of a kind are sent.
    pub fn take(&self, kind: EventKind) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| fits(pattern, kind))
    }
}

fn fits(pattern: &str, kind: EventKind) -> bool {
    match pattern.strip_suffix(".*") {
        Some(group) => kind.as_str().split_once('.').is_some_and(|(of, _)| of == group),
        None => kind.as_str() == pattern,
    }
}

impl fmt::Display for EventPatterns {
    /// Writes the patterns with commas in between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for EventPatterns {
    type Err = Error;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text.split(',').filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_retried_for_three_days() {
        assert_eq!(pause_after(0), None);
        let pauses: Vec<_> = (1..).map_while(pause_after).collect();
        assert_eq!(pauses.first(), Some(&TimeDelta::seconds(5)));
        assert!(pauses.is_sorted() && pauses.len() == 9);
        let all = pauses.iter().fold(TimeDelta::zero(), |sum, pause| sum + *pause);
        assert!(all > TimeDelta::days(3), "{all}");
    }

    #[test]
    fn an_address_is_one_of_the_web() {
        for right in ["https://hooks.example/in?key=1", "http://10.0.0.1:8080"] {
            check_url(right).unwrap();
        }
        let long = format!("https://h/{}", "x".repeat(MAX_URL));
        for wrong in [
            "",
            "hooks.example",
            "ftp://h/x",
            "https://",
            "https://u:p@h/",
            "https://h/#x",
            "https://h/ x",
            &long,
        ] {
            assert_eq!(check_url(wrong).unwrap_err().pointer.as_deref(), Some("/url"), "{wrong}");
        }
    }

    #[test]
    fn patterns_choose_events() {
        let some: EventPatterns = "image.*,billing.month_closed".parse().unwrap();
        assert_eq!(some.to_string(), "image.*,billing.month_closed");
        assert!(some.take(EventKind::ImageDeleted) && some.take(EventKind::BillingMonthClosed));
        assert!(!some.take(EventKind::TaskChanged) && !some.take(EventKind::BillingRateChanged));
        assert!(EventPatterns::default().take(EventKind::TaskAlert));
        assert_eq!("".parse::<EventPatterns>().unwrap(), EventPatterns::default());
        for wrong in ["usage.*", "image", "image.", "*", "image.*.x"] {
            assert!(wrong.parse::<EventPatterns>().is_err(), "{wrong}");
        }
    }
}

//! Single ranges of bytes (RFC 9110, section 14).

/// The bytes of an object that an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of them: no range was asked for, or one in a form that may be ignored.
    All,
    /// Those from the first on, up to the second without it.
    Part(u64, u64),
    /// None: the range begins behind the end.
    Unsatisfiable,
}

/// Returns what a field `Range` asks for of an object of that size. Several ranges and other units
/// may be ignored, and are.
pub(super) fn wanted(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range
        .trim()
        .strip_prefix("bytes=")
        .filter(|set| !set.contains(','))
        .and_then(|set| set.split_once('-'))
    else {
        return Wanted::All;
    };
    let (first, last) = (first.trim(), last.trim());
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Wanted::All;
    }
    // A number that is too large is as good as the largest.
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => Wanted::All,
        // The last so many bytes.
        (true, false) => match number(last) {
            0 => Wanted::Unsatisfiable,
            _ if size == 0 => Wanted::Unsatisfiable,
            count => Wanted::Part(size.saturating_sub(count), size),
        },
        (false, true) if number(first) >= size => Wanted::Unsatisfiable,
        (false, true) => Wanted::Part(number(first), size),
        (false, false) if number(last) < number(first) => Wanted::All,
        (false, false) if number(first) >= size => Wanted::Unsatisfiable,
        (false, false) => Wanted::Part(number(first), number(last).saturating_add(1).min(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_answered_and_everything_else_is_all() {
        for (range, size, expected) in [
            ("bytes=0-0", 10, Wanted::Part(0, 1)),
            ("bytes=2-4", 10, Wanted::Part(2, 5)),
            (" bytes=2 - 4 ", 10, Wanted::Part(2, 5)),
            ("bytes=2-", 10, Wanted::Part(2, 10)),
            ("bytes=-3", 10, Wanted::Part(7, 10)),
            ("bytes=-30", 10, Wanted::Part(0, 10)),
            ("bytes=5-99999999999999999999999", 10, Wanted::Part(5, 10)),
            ("bytes=10-", 10, Wanted::Unsatisfiable),
            ("bytes=10-12", 10, Wanted::Unsatisfiable),
            ("bytes=-0", 10, Wanted::Unsatisfiable),
            ("bytes=0-0", 0, Wanted::Unsatisfiable),
            ("bytes=-1", 0, Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Wanted::Unsatisfiable),
            ("bytes=4-2", 10, Wanted::All),
            ("bytes=-", 10, Wanted::All),
            ("bytes=", 10, Wanted::All),
            ("bytes=0-1,3-4", 10, Wanted::All),
            ("bytes=+1-2", 10, Wanted::All),
            ("bytes=--2", 10, Wanted::All),
            ("pages=1-2", 10, Wanted::All),
            ("", 10, Wanted::All),
        ] {
            assert_eq!(wanted(range, size), expected, "{range:?} of {size}");
        }
    }
}

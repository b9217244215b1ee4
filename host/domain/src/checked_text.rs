//! Texts that are checked where they enter: a type for each, with one rule for a family of them.

/// Defines types that hold a text which a function accepted.
///
/// `check` is `fn(&str) -> Result<(), Invalid>`. Each type gets `as_str`, `Display`, `FromStr`,
/// `TryFrom<String>`, `Into<String>` and serde, which reads through the same check.
macro_rules! checked_text {
    ($check:path, $invalid:ty; $($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $invalid;

            fn from_str(text: &str) -> Result<Self, $invalid> {
                $check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $invalid;

            fn try_from(text: String) -> Result<Self, $invalid> {
                $check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(checked: $name) -> Self {
                checked.0
            }
        }
    )+};
}

pub(crate) use checked_text;

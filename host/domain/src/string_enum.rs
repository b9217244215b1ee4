//! Closed vocabularies: each value has one spelling, written down once.

/// The text is none of the values of a closed vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of: {}", .expected.join(", "))]
pub struct UnknownValue {
    /// The spellings that are accepted.
    pub expected: &'static [&'static str],
}

/// Defines enums whose values have a fixed spelling, the same in the database and on the wire.
///
/// Each gets `ALL`, `NAMES`, `as_str`, `Display`, `FromStr`, serde, and with the feature `schema`
/// also `utoipa::ToSchema`.
macro_rules! string_enum {
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $text:tt,)+
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The spellings of all values, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// Returns the stored and serialised spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::string_enum::UnknownValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::string_enum::UnknownValue { expected: Self::NAMES }),
                }
            }
        }
    )+};
}

pub(crate) use string_enum;

#[cfg(test)]
mod tests {
    use crate::task::TaskKind;

    #[test]
    fn a_value_has_one_spelling_in_every_representation() {
        for (value, name) in TaskKind::ALL.iter().zip(TaskKind::NAMES) {
            assert_eq!(value.as_str(), *name);
            assert_eq!(value.to_string(), *name);
            assert_eq!(name.parse(), Ok(*value));
            let json = serde_json::Value::from(*name);
            assert_eq!(serde_json::to_value(value).unwrap(), json);
            assert_eq!(serde_json::from_value::<TaskKind>(json).unwrap(), *value);
        }
    }

    #[test]
    fn an_unknown_text_is_answered_with_what_is_expected() {
        let error = "Image.capture".parse::<TaskKind>().unwrap_err();
        assert_eq!(error.to_string(), format!("expected one of: {}", TaskKind::NAMES.join(", ")));
    }
}

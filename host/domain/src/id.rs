//! Typed identifiers: a prefix for the kind of resource and a UUIDv7, so that ids sort by age.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an id like `{prefix}_0190f3c2-...`, got `{got}`")]
pub struct ParseIdError {
    prefix: &'static str,
    got: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The start of the text form, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID that was created for this kind of resource.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID without the prefix, as databases store it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bad = || ParseIdError { prefix: $prefix, got: text.chars().take(64).collect() };
                let uuid = text.strip_prefix(concat!($prefix, "_")).ok_or_else(bad)?;
                // Only the hyphenated form: an id has one spelling.
                if uuid.len() != 36 {
                    return Err(bad());
                }
                Uuid::try_parse(uuid).map(Self).map_err(|_| bad())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                schema::of_id($prefix)
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
    )*};
}

#[cfg(feature = "schema")]
mod schema {
    use utoipa::openapi::{ObjectBuilder, RefOr, Type, schema::Schema};

    /// Returns the schema of ids with this prefix.
    pub(super) fn of_id(prefix: &str) -> RefOr<Schema> {
        let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(format!("An id with the prefix `{prefix}`; ids sort by age.")))
            .pattern(Some(format!("^{prefix}_{uuid}$")))
            .examples([format!("{prefix}_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")])
            .into()
    }
}

ids! {
    /// An account: a customer or an administrator.
    AccountId = "acc";
    /// A place with its own flags, rates and limits.
    LocationId = "loc";
    /// A machine that runs instances.
    HypervisorId = "hyp";
    /// A back end that holds image files.
    StorageId = "sto";
    /// A virtual machine.
    InstanceId = "ins";
    /// A disk of an instance.
    DiskId = "dsk";
    /// An image.
    ImageId = "img";
    /// An ISO.
    IsoId = "iso";
    /// A task.
    TaskId = "tsk";
    /// A media group: images that are shown together.
    MediaGroupId = "mgr";
    /// A share of an image.
    ShareId = "shr";
    /// An export of an image.
    ExportId = "exp";
    /// An API token.
    TokenId = "tok";
    /// A saved public SSH key.
    SshKeyId = "key";
    /// A saved user script.
    UserScriptId = "scr";
    /// A webhook.
    WebhookId = "whk";
    /// An attempt to deliver a message to a webhook.
    DeliveryId = "dlv";
    /// A browser session.
    SessionId = "ses";
    /// An interval of usage.
    UsageIntervalId = "usg";
    /// A version of a rate.
    RateId = "rat";
    /// A correction of a closed month.
    AdjustmentId = "adj";
    /// A running agent process; new at every start.
    AgentId = "agt";
    /// One HTTP request, or one run of a reconciler.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = ImageId::new(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "img_00000000-0000-0000-0000-000000000007");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in
            ["", "img_", "tsk_00000000-0000-0000-0000-000000000007", "img_00000000000000000000000000000007"]
        {
            assert!(wrong.parse::<ImageId>().is_err(), "{wrong}");
        }
    }
}

//! Accounts: the owners of images, and the administrators of the provider.

use std::collections::BTreeSet;

use crate::{id::AccountId, name::Name, size::ByteSize, string_enum::string_enum, time::Timestamp};

string_enum! {
    /// What an account may do.
    pub enum Role {
        /// Runs the provider's side: sees and changes everything.
        Admin = "admin",
        /// Owns instances and images.
        Customer = "customer",
    }
}

string_enum! {
    /// What a token may do; a session may do everything that its account may.
    #[derive(PartialOrd, Ord)]
    pub enum Scope {
        /// Read images, instances and tasks.
        ImagesRead = "images:read",
        /// Capture, deploy, rename and delete.
        ImagesWrite = "images:write",
        /// Everything under `/admin`; only for tokens of admins.
        Admin = "admin",
        /// The agents' endpoints; only for tokens of hypervisors.
        Agent = "agent",
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The unique name that its owner signs in with.
    pub name: Name,
    /// What the account may do.
    pub role: Role,
    /// The number of images that it may have in all locations together; `None` takes the default
    /// of each location (S122, S123).
    pub image_limit: Option<u32>,
    /// The bytes that its images may take in all locations together; `None` takes the default of
    /// each location.
    pub image_bytes_limit: Option<ByteSize>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Role {
    /// Returns what an account of this role may do when no token narrows it.
    pub fn scopes(self) -> BTreeSet<Scope> {
        match self {
            Self::Admin => BTreeSet::from([Scope::ImagesRead, Scope::ImagesWrite, Scope::Admin]),
            Self::Customer => BTreeSet::from([Scope::ImagesRead, Scope::ImagesWrite]),
        }
    }
}

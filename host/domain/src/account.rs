//! Accounts: who owns images, and who looks after the provider's side.

use crate::{id::AccountId, name::Name, string_enum::string_enum, time::Timestamp};

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
    /// Its id.
    pub id: AccountId,
    /// What its owner signs in with; unique.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Images it may have; `None` takes the location's default (S122, S123).
    pub image_limit: Option<u32>,
    /// When it came to be.
    pub created_at: Timestamp,
}

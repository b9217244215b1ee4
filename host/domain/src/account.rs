//! Accounts: who owns images, and who looks after the provider's side.

use serde::{Deserialize, Serialize};

use crate::{id::AccountId, name::Name, time::Timestamp};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the provider's side: sees and changes everything.
    Admin,
    /// Owns instances and images.
    Customer,
}

/// What a token may do; a session may do everything that its account may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Read images, instances and tasks.
    #[serde(rename = "images:read")]
    ImagesRead,
    /// Capture, deploy, rename and delete.
    #[serde(rename = "images:write")]
    ImagesWrite,
    /// Everything under `/admin`, for admins' tokens only.
    #[serde(rename = "admin")]
    Admin,
    /// The agent's own endpoints; tokens of hypervisors only.
    #[serde(rename = "agent")]
    Agent,
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

impl Role {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Customer => "customer",
        }
    }
}

impl Scope {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImagesRead => "images:read",
            Self::ImagesWrite => "images:write",
            Self::Admin => "admin",
            Self::Agent => "agent",
        }
    }
}

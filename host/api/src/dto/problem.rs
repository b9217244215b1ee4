//! Errors on the wire: RFC 9457, `application/problem+json`.

use std::collections::BTreeMap;

use imprint_agent_protocol::ProtocolError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was refused or failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A page about this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems#image_limit_reached")]
    pub kind: String,
    /// A short text that never changes for a code.
    #[schema(example = "Maximum image limit reached")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 409)]
    pub status: u16,
    /// What happened here, and what to do about it.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// The stable code; programs decide by it.
    #[schema(example = "image_limit_reached")]
    pub code: String,
    /// Names the request in the log of the provider; also in the header `X-Request-Id`.
    pub request_id: String,
    /// Whether the same request may succeed later without anybody changing anything.
    pub retryable: bool,
    /// Wait at least so many seconds before trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The members of the request that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// Figures that belong to the code, such as `limit` and `used`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub context: BTreeMap<String, String>,
    /// For agents: the refusal as their protocol names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub protocol_error: Option<ProtocolError>,
}

/// A member of the request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Where it is in the request body, as a JSON pointer (RFC 6901); for a query parameter its
    /// name after `?`.
    #[schema(example = "/name")]
    pub pointer: String,
    /// The stable code.
    #[schema(example = "invalid_name")]
    pub code: String,
    /// What is wrong with it.
    pub detail: String,
}

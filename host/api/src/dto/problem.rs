//! Errors on the wire: RFC 9457, `application/problem+json`.

use std::collections::BTreeMap;

use imprint_agent_protocol::ProtocolError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The reason why a request was refused or failed (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The address of a page about this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems#image_limit_reached")]
    pub kind: String,
    /// A short text, always the same for a code.
    #[schema(example = "Maximum image limit reached")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 409)]
    pub status: u16,
    /// What happened in this case, and what to do about it.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// The stable code, for programs.
    #[schema(example = "image_limit_reached")]
    pub code: String,
    /// The id of the request, which is also in the provider's log and in the header `X-Request-Id`.
    pub request_id: String,
    /// Whether the same request can succeed later without a change of anything else.
    pub retryable: bool,
    /// The number of seconds to wait before the request is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The members and parameters of the request that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// Values that belong to the code, such as `limit` and `used`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub context: BTreeMap<String, String>,
    /// The error of the agents' protocol, for agents only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub protocol_error: Option<ProtocolError>,
}

/// A wrong member or parameter of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// The position in the request body as a JSON pointer (RFC 6901); for a query parameter its
    /// name after `?`.
    #[schema(example = "/name")]
    pub pointer: String,
    /// The stable code.
    #[schema(example = "invalid_name")]
    pub code: String,
    /// What is wrong with it.
    pub detail: String,
}

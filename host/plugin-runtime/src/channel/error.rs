//! Why a channel does not do what a plugin asked for.

use std::{io, path::PathBuf};

use super::{
    filter::CommandRefused,
    limits::{MAX_CHANNELS, MAX_ENDPOINTS, MAX_LINE, MAX_NAME, MAX_SOCKET_PATH},
};
use crate::text::truncate;

/// The longest part of a plugin's own text that is shown.
const SHOWN: usize = 100;

/// A refusal or a failure of a channel. The texts are for the plugin and for the operator's log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("channel {:?} is not granted", truncate(.0, SHOWN))]
    NotGranted(String),
    #[error("channel {0} is granted with another framing")]
    OtherFraming(String),
    #[error(
        "channel parameter {:?} must be 1 to {MAX_NAME} letters, digits, `.`, `_`, `-`",
        truncate(.0, SHOWN)
    )]
    InvalidParameter(String),
    #[error("channel parameter {:?} is unknown; there is `vm`", truncate(.0, SHOWN))]
    UnknownParameter(String),
    #[error("this call is about instance {own}, not about {requested}")]
    OtherInstance { own: String, requested: String },
    #[error("channel {0} needs the parameter `vm`")]
    ParameterMissing(String),
    #[error("endpoint {:?} is not granted", truncate(.0, SHOWN))]
    EndpointNotGranted(String),
    #[error("a message is one line: it must not contain a line feed")]
    LineFeed,
    #[error(transparent)]
    Command(#[from] CommandRefused),
    #[error("this call has {MAX_CHANNELS} channels open")]
    TooManyChannels,
    #[error("this call has {MAX_ENDPOINTS} endpoints")]
    TooManyEndpoints,
    #[error(
        "socket path {} is longer than {MAX_SOCKET_PATH} bytes; configure a shorter run folder",
        .0.display()
    )]
    EndpointPath(PathBuf),
    #[error("a message of {0} bytes is longer than {MAX_LINE}")]
    MessageTooLong(usize),
    #[error("too many commands are waiting for their answers")]
    TooManyPending,
    #[error("{0}")]
    GuardFired(String),
    #[error("channel {channel} cannot be opened at {}", .path.display())]
    Unreachable { channel: String, path: PathBuf, source: io::Error },
    #[error("the peer does not accept messages")]
    NotAccepted(#[source] io::Error),
    #[error("the peer closed the connection")]
    Closed,
}

//! Limits of channels.

/// Open channels of one call.
pub(super) const MAX_CHANNELS: usize = 8;
/// Endpoints of one call.
pub(super) const MAX_ENDPOINTS: usize = 4;
/// The longest path in `sun_path` of a unix socket address, without the terminating zero.
pub(super) const MAX_SOCKET_PATH: usize = 107;
/// The longest parameter of a channel and the longest hint of an endpoint, in bytes.
pub(super) const MAX_NAME: usize = 64;
/// The longest message, and the longest line of a peer, in bytes.
pub(super) const MAX_LINE: usize = 4 << 20;

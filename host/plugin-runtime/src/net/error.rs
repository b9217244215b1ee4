//! Why a request of a plugin was not sent, or has no answer.

use imprint_http_client::HttpError;
use imprint_ports::{PortError, error_chain};

use crate::{bindings::host::imprint::types::types as wit, codes::Code, wit_error};

/// The failure of a plugin's request or connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NetError {
    #[error(
        "{address} is not among the addresses that the plugin's manifest names ({permitted}); correct the \
         storage's settings"
    )]
    NotGranted { address: String, permitted: String },
    #[error("the request is not valid: {0}")]
    Request(String),
    #[error("the secret {0:?} is not set; set it in the storage's settings")]
    SecretMissing(String),
    #[error("the plugin's manifest does not ask for the secret {0:?} with the scheme {1:?}")]
    SecretNotGranted(String, String),
    #[error("the session {0:?} is over; sign in again")]
    SessionOver(String),
    #[error("a request has a body of at most {} MiB", .0 >> 20)]
    BodyTooLong(usize),
    #[error("the answer is longer than {0} bytes")]
    AnswerTooLong(u64),
    #[error("the answer to the sign-in has no header {0:?}; check that the address is that of the service")]
    NoCredential(String),
    #[error("the storage's setting {setting:?} cannot be used: {why}")]
    Setting { setting: String, why: String },
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The failure of a request, and the setting that it is about.
    #[error("{error}")]
    About { error: HttpError, setting: String },
}

impl NetError {
    fn code(&self) -> Code {
        match self {
            Self::NotGranted { .. } => Code::NetAddress,
            Self::Request(_) | Self::BodyTooLong(_) => Code::HttpRequest,
            Self::SecretMissing(_) => Code::SecretMissing,
            Self::SecretNotGranted(..) | Self::SessionOver(_) => Code::Denied,
            Self::AnswerTooLong(_) => Code::HttpAnswer,
            Self::NoCredential(_) => Code::HttpCredential,
            Self::Setting { .. } => Code::NetSetting,
            Self::Http(error) | Self::About { error, .. } => code_of(error),
        }
    }

    /// Returns the setting or secret that the failure is about.
    fn setting(&self) -> Option<&str> {
        match self {
            Self::SecretMissing(name) => Some(name),
            Self::Setting { setting, .. } | Self::About { setting, .. } => Some(setting),
            Self::NotGranted { .. }
            | Self::Request(_)
            | Self::BodyTooLong(_)
            | Self::SecretNotGranted(..)
            | Self::SessionOver(_)
            | Self::AnswerTooLong(_)
            | Self::NoCredential(_)
            | Self::Http(_) => None,
        }
    }

    /// Returns whether the same request may succeed soon.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Http(error) | Self::About { error, .. } if error.is_transient())
    }

    /// Returns the failure of a request of the data path. A session that is over is what a server
    /// says with the status 401.
    pub(crate) fn for_source(self) -> HttpError {
        if let Self::SessionOver(_) = self {
            return HttpError::Status { status: 401, detail: String::new(), retry_after: None };
        }
        if let Self::Http(error) | Self::About { error, .. } = self {
            return error;
        }
        HttpError::Authorise { why: self.to_string() }
    }

    /// Returns the failure for the plugin.
    pub(crate) fn for_plugin(&self) -> wit::Error {
        wit_error::from_port_error(&self.for_host())
    }

    /// Returns the failure for the host's own callers.
    pub(crate) fn for_host(&self) -> PortError {
        let error = self.code().error(error_chain(self));
        match self.setting() {
            Some(setting) => error.about_setting(setting),
            None => error,
        }
    }
}

fn code_of(error: &HttpError) -> Code {
    match error {
        HttpError::PrivateNetwork { .. } => Code::NetPrivate,
        HttpError::Connect { .. } | HttpError::Stalled { .. } | HttpError::Status { .. } => Code::NetConnect,
        HttpError::ReservedPort { .. } => Code::NetReservedPort,
        HttpError::Certificate { .. }
        | HttpError::Tls { .. }
        | HttpError::NoAuthorities
        | HttpError::Authority { .. } => Code::NetCertificate,
        HttpError::Url { .. } | HttpError::Authorise { .. } => Code::HttpRequest,
        HttpError::NoRanges
        | HttpError::Changed
        | HttpError::Redirect { .. }
        | HttpError::Page
        | HttpError::Protocol { .. } => Code::HttpProtocol,
    }
}

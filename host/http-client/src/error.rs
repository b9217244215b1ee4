//! What can go wrong with an HTTP server.

use std::{io, net::IpAddr, time::Duration};

use rustls::CertificateError;

/// The failure of an HTTP source. Inside an [`io::Error`] it is found with `get_ref` and
/// `downcast_ref`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The address is not valid.
    #[error("'{url}' is no http:// or https:// address of an object")]
    Url {
        /// The address as it was given, without what only the server may know.
        url: String,
    },
    /// The server redirects to an address that is not followed.
    #[error("the server redirects to {to}, {why}; give the address of the file itself")]
    Redirect {
        /// Where it redirects to, without what only the server may know.
        to: String,
        /// Why that is not followed.
        why: &'static str,
    },
    /// The address leads to a web page.
    #[error(
        "the address leads to a web page and to no file; give the address of the file itself, such as the one behind \
         the page's download link"
    )]
    Page,
    /// The server stopped, or almost stopped, in the middle of an answer.
    #[error("{host} stopped in the middle of an answer; try again later, or download the file first")]
    Stalled {
        /// The host in the URL.
        host: String,
    },
    /// The address is in a network that may not be connected to.
    #[error(
        "{host} is in a private network ({address}), which is refused; allow private networks \
         for this source, or give this address itself"
    )]
    PrivateNetwork {
        /// The host in the URL.
        host: String,
        /// The address that the host resolved to.
        address: IpAddr,
    },
    /// The server cannot be reached.
    #[error("{host} cannot be reached: {why}; check the address and that the server runs")]
    Connect {
        /// The host in the URL.
        host: String,
        /// The cause.
        why: String,
    },
    /// This process cannot connect from a port below 1024.
    #[error(
        "no port below 1024 can be connected from ({why}); run the agent as root or with CAP_NET_BIND_SERVICE, or have \
         the server accept other ports"
    )]
    ReservedPort {
        /// The cause.
        why: String,
    },
    /// The server's certificate is not accepted.
    #[error("the certificate of {host} {problem}")]
    Certificate {
        /// The host in the URL.
        host: String,
        /// What is wrong with the certificate, and what to do.
        problem: CertificateProblem,
    },
    /// No encrypted connection could be negotiated.
    #[error(
        "no encrypted connection to {host}: {why}; check that the address is one for https and that the server offers TLS 1.2 or 1.3"
    )]
    Tls {
        /// The host in the URL.
        host: String,
        /// The cause.
        why: String,
    },
    /// No certificate authority is known.
    #[error(
        "this system has no certificate authorities; install them (the package ca-certificates), or give the one of the server"
    )]
    NoAuthorities,
    /// A file is not a list of authorities.
    #[error(
        "{name} cannot be used as certificates of authorities: {what}; give a PEM file with 1 to 4096 of them, of at most 4 MiB"
    )]
    Authority {
        /// The name of the file.
        name: String,
        /// What is wrong with the file.
        what: String,
    },
    /// The server answers with something other than the object.
    #[error("the server answers with status {status}{detail}; check the address and the access to it")]
    Status {
        /// The HTTP status code.
        status: u16,
        /// The beginning of what the server says about it, in brackets after a space; empty when it
        /// says nothing.
        detail: String,
        /// The pause that the server asks for before the request is repeated.
        retry_after: Option<Duration>,
    },
    /// A request cannot be signed.
    #[error("the request cannot be signed: {why}")]
    Authorise {
        /// The cause, and what to do.
        why: String,
    },
    /// The server only sends whole objects.
    #[error("the server does not support range requests; download the file first")]
    NoRanges,
    /// The object is not the version that was opened.
    #[error("the object changed while it was read; start again")]
    Changed,
    /// The answer contradicts the request or itself.
    #[error("the server's answer is wrong: {what}; its data cannot be trusted")]
    Protocol {
        /// What is wrong with the answer.
        what: &'static str,
    },
}

impl HttpError {
    /// Returns the dotted code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "http.url",
            Self::Redirect { .. } => "http.redirect",
            Self::Page => "http.page",
            Self::Stalled { .. } => "http.stalled",
            Self::PrivateNetwork { .. } => "denied.private-network",
            Self::Connect { .. } => "http.connect",
            Self::ReservedPort { .. } => "http.reserved-port",
            Self::Certificate { .. } => "http.certificate",
            Self::Tls { .. } => "http.tls",
            Self::NoAuthorities => "http.no-authorities",
            Self::Authority { .. } => "invalid.authority",
            Self::Status { .. } => "http.status",
            Self::Authorise { .. } => "http.authorise",
            Self::NoRanges => "http.no-ranges",
            Self::Changed => "conflict.source-changed",
            Self::Protocol { .. } => "http.protocol",
        }
    }

    /// Returns whether the same request may succeed soon.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
            Self::Url { .. }
            | Self::Redirect { .. }
            | Self::Page
            | Self::PrivateNetwork { .. }
            | Self::ReservedPort { .. }
            | Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::NoAuthorities
            | Self::Authority { .. }
            | Self::Authorise { .. }
            | Self::NoRanges
            | Self::Changed
            | Self::Protocol { .. } => false,
        }
    }
}

impl From<HttpError> for io::Error {
    fn from(error: HttpError) -> Self {
        Self::other(error)
    }
}

/// What is wrong with a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// No known authority has signed it.
    #[error(
        "is not signed by an authority that this machine trusts; if the server is the right one, give the certificate of its authority (imprint disk: --ca-file FILE)"
    )]
    UnknownAuthority,
    /// It has expired.
    #[error("has expired; have it renewed, and check this machine's clock")]
    Expired,
    /// It is not valid yet.
    #[error("is not valid yet; check the clocks of both machines")]
    NotYetValid,
    /// It was made for another server.
    #[error("is for another name; use the name that it was made for")]
    OtherName,
    /// It is not the one that the server was announced with.
    #[error(
        "is not the one that was announced; check that the address leads to the right server, and that nothing is in between"
    )]
    OtherFingerprint,
    /// Everything else.
    #[error("is not acceptable ({0}); have it replaced")]
    Other(String),
}

impl CertificateProblem {
    pub(super) fn of(error: &CertificateError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum, and it may grow")]
        match error {
            // The latter is signed by an authority that only has the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            CertificateError::ApplicationVerificationFailure => Self::OtherFingerprint,
            other => {
                Self::Other(format!("{other:?}").chars().filter(|c| !c.is_control()).take(200).collect())
            }
        }
    }
}

//! Who is trusted behind `https://`: the certificate authorities of the system, and those that the caller adds.

use std::sync::Arc;

use rustls::{
    CertificateError,
    pki_types::{CertificateDer, pem::PemObject},
};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::HttpError;

/// Most certificates of one file.
const MAX_CERTIFICATES: usize = 4096;

/// The certificate of an authority that may vouch for servers, beside those of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(CertificateDer<'static>);

impl Authority {
    /// All certificates of a PEM file (RFC 7468). `name` is for the message.
    pub fn of_pem(pem: &[u8], name: &str) -> Result<Vec<Self>, HttpError> {
        let wrong = |what: String| HttpError::Authority { name: name.to_owned(), what };
        let mut found = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem).take(MAX_CERTIFICATES) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            // What cannot be an authority is told now, and not as a server that nobody vouches for.
            let mut store = rustls::RootCertStore::empty();
            store.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
            found.push(Self(certificate));
        }
        match found.is_empty() {
            true => Err(wrong("there is none in it".to_owned())),
            false => Ok(found),
        }
    }
}

/// What is wrong with a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// No authority that is known here has signed it.
    #[error(
        "is signed by nobody that this machine trusts; if the server is the right one, give the certificate of its authority (imprint disk: --ca-file FILE)"
    )]
    UnknownAuthority,
    /// It is too old.
    #[error("has expired; have it renewed, and check this machine's clock")]
    Expired,
    /// It is not valid yet.
    #[error("is not valid yet; check the clocks of both machines")]
    NotYetValid,
    /// It was made for another server.
    #[error("is for another name; use the name that it was made for")]
    OtherName,
    /// Everything else.
    #[error("is not acceptable ({0}); have it replaced")]
    Other(String),
}

impl CertificateProblem {
    fn of(error: &CertificateError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum, and it may grow")]
        match error {
            // The latter by an authority that only has the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            other => {
                Self::Other(format!("{other:?}").chars().filter(|c| !c.is_control()).take(200).collect())
            }
        }
    }
}

/// For connections to `https://` addresses. Reads the system's authorities: where they are is what OpenSSL says, or the
/// variables `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub(super) fn config(added: &[Authority]) -> Result<TlsConfig, HttpError> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "some certificate authorities of the system cannot be read");
    }
    let all = system.certs.iter().chain(added.iter().map(|authority| &authority.0));
    let roots: Vec<_> = all.map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    if roots.is_empty() {
        return Err(HttpError::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// What a failed request says of the server's certificate or of the encryption, if that was the trouble.
pub(super) fn trouble(host: &str, error: &ureq::Error) -> Option<HttpError> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum")]
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    let host = host.to_owned();
    Some(if let rustls::Error::InvalidCertificate(error) = error {
        HttpError::Certificate { host, problem: CertificateProblem::of(error) }
    } else {
        HttpError::Tls { host, why: error.to_string() }
    })
}

//! The certificate authorities that are trusted with `https://`: those of the system, and those
//! that the caller adds.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::error::{CertificateProblem, HttpError};

/// The largest number of certificates in one file. The error's text has it, too.
const MAX_CERTIFICATES: usize = 4096;

/// The certificate of an authority that is trusted in addition to those of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(CertificateDer<'static>);

impl Authority {
    /// The longest PEM file, in bytes. The error's text has it, too.
    pub const MAX_PEM: u64 = 4 << 20;

    /// Returns all certificates of a PEM file (RFC 7468). `name` is for error messages.
    ///
    /// A caller that reads a file need not read more than one byte beyond [`Self::MAX_PEM`]: a list
    /// that is longer, or has too many certificates, is an error. With its end missing, some
    /// servers would not be trusted.
    ///
    /// # Errors
    ///
    /// [`HttpError::Authority`] for such a list, for one without certificates, and for a
    /// certificate that cannot be an authority.
    pub fn of_pem(pem: &[u8], name: &str) -> Result<Vec<Self>, HttpError> {
        let wrong = |what: String| HttpError::Authority { name: name.to_owned(), what };
        if u64::try_from(pem.len()).is_ok_and(|length| length > Self::MAX_PEM) {
            return Err(wrong("it is too long".to_owned()));
        }
        let mut found = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            if found.len() == MAX_CERTIFICATES {
                return Err(wrong("there are too many in it".to_owned()));
            }
            // A certificate that cannot be an authority is reported now, and not as a server that
            // is not trusted.
            let mut store = rustls::RootCertStore::empty();
            store.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
            found.push(Self(certificate));
        }
        if found.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(found) }
    }
}

/// Returns the configuration for `https://` addresses. Reads the system's authorities from where
/// OpenSSL has them, or from the variables `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub(crate) fn config(added: &[Authority]) -> Result<TlsConfig, HttpError> {
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

/// Returns the error for a failed request whose cause is the server's certificate or the
/// encryption.
pub(crate) fn tls_error(host: &str, error: &ureq::Error) -> Option<HttpError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An authority that was made for this test; its key is deleted.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBcDCCARWgAwIBAgIUC7yyUpWO9YgiM9p5OOfoJzK3bjMwCgYIKoZIzj0EAwIw\n\
DDEKMAgGA1UEAwwBYTAgFw0yNjExMjgwMDExMTBaGA8yMTI2MTEwNDAwMTExMFow\n\
DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBCZhOzm+pOU\n\
g30+KcCSCOtUj9o1176+SOVeOWbQ4svS7V4Rv8MeJn5MimY0Zfgp34taMFqohSAF\n\
jOiB/yddSQKjUzBRMB0GA1UdDgQWBBQDtAMXvxOB3MuSgAo2GvqltJquQTAfBgNV\n\
HSMEGDAWgBQDtAMXvxOB3MuSgAo2GvqltJquQTAPBgNVHRMBAf8EBTADAQH/MAoG\n\
CCqGSM49BAMCA0kAMEYCIQCpNsd7z+GJDFQcuzsCQ10Ebm9y9Cfc8hTJ0L2E2vjg\n\
2QIhANPZuvCqlxmfOU1mRt31SKaw8/ZvMw9Y9MU4jCAnXL3A\n\
-----END CERTIFICATE-----\n\
";

    /// A list that is too long is refused, and not shortened.
    #[test]
    fn a_list_has_as_many_authorities_as_its_file_or_is_refused() {
        let found = |pem: &str| Authority::of_pem(pem.as_bytes(), "ca.pem").map(|found| found.len());
        let refused = |pem: &str| {
            let error = found(pem).unwrap_err();
            assert_eq!(error.code(), "invalid.authority");
            let said = error.to_string();
            assert!(["ca.pem", "4096", "4 MiB"].iter().all(|part| said.contains(part)), "{said}");
            said
        };
        assert_eq!(found(CERTIFICATE), Ok(1));
        assert_eq!(found(&CERTIFICATE.repeat(4096)), Ok(4096));
        assert!(refused(&CERTIFICATE.repeat(4097)).contains("too many"));
        let padding = "\n".repeat((4 << 20) - CERTIFICATE.len());
        assert_eq!(found(&format!("{padding}{CERTIFICATE}")), Ok(1));
        assert!(refused(&format!("\n{padding}{CERTIFICATE}")).contains("too long"));
        assert!(refused("no certificate").contains("none"));
    }
}

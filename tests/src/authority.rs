//! A certificate authority that is made for a test. Nothing trusts it that is not given its
//! certificate.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd,
};

/// An authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// The key pair that the certificate certifies.
    pub key: KeyPair,
}

impl Authority {
    /// Returns a new authority. All have the same name, so that a key has to be looked at.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Returns the authority's certificate (PEM).
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Returns a certificate for a server's name, valid until the end of `year`.
    pub fn issue(&self, name: &str, year: i32) -> Result<Issued> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate()?;
        Ok(Issued { certificate: params.signed_by(&key, &self.issuer)?, key })
    }
}

impl Issued {
    /// Writes certificate and key into a folder, and returns the paths of both.
    pub fn write(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, self.certificate.pem())?;
        std::fs::write(&key, self.key.serialize_pem())?;
        Ok([certificate, key])
    }
}

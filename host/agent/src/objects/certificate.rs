//! The certificate of the object server: made once, and kept, so that its fingerprint stays the
//! same when the agent restarts.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use imprint_agent_protocol::Fingerprint;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::durable;

/// The longest file in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The certificate with its key.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    pub(super) fingerprint: Fingerprint,
}

/// Reads the file with the certificate and its key, or makes it.
pub(super) fn load_or_make(path: &Path) -> Result<Identity, String> {
    match read(path) {
        Ok(pem) => identity(&pem),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pem = make().map_err(|error| error.to_string())?;
            write(path, &pem).map_err(|error| error.to_string())?;
            identity(pem.as_bytes())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut pem)?;
    Ok(pem)
}

fn make() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["imprint-agent".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "Imprint agent");
    let certificate = params.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

/// Writes the file under another name first, so that a crash leaves none that is cut short.
fn write(path: &Path, pem: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    durable::sync_parent(path)
}

fn identity(pem: &[u8]) -> Result<Identity, String> {
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    let fingerprint = Fingerprint::new(Sha256::digest(&certificate).into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_file_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects.pem");
        let first = load_or_make(&path).unwrap().fingerprint;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_make(&path).unwrap().fingerprint, first);
        fs::remove_file(&path).unwrap();
        assert_ne!(load_or_make(&path).unwrap().fingerprint, first);
        fs::write(&path, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(load_or_make(&path).is_err());
    }
}

//! The client of storages that a link redirects to: without the account's token, and over HTTPS
//! with the authorities of the system and those of `--ca-file`.
//!
//! The signed address is a permission of its own, and is in no message.

use std::{path::Path, sync::Arc};

use futures::{StreamExt as _, stream::BoxStream};
use imprint_http_client::{
    Authority, Client, ClientOptions, HttpError, PrivateNetworks,
    http::{HeaderMap, HeaderName, Request, StatusCode, Uri},
};

use crate::{answer_body::pieces, authorities, client::failure::Failure, terminal::printable};

/// Reads from storages.
pub(super) struct StorageClient {
    authorities: Vec<Authority>,
}

/// The answer of a storage.
pub(super) struct StorageAnswer {
    /// The storage, `https://NAME:PORT`.
    storage: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: BoxStream<'static, std::io::Result<bytes::Bytes>>,
}

impl StorageClient {
    /// Returns a client that also trusts the authorities in a file.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] where the file is no list of certificates.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = ca_file else { return Ok(Self { authorities: Vec::new() }) };
        let shown = printable(&path.to_string_lossy());
        let read = authorities::read(path, &shown);
        let authorities = read.map_err(|error| {
            Failure::Usage(format!("{shown} cannot be used: {error}; choose another file with --ca-file"))
        })?;
        Ok(Self { authorities })
    }

    /// Asks a storage for an object, or for a part of it.
    ///
    /// # Errors
    ///
    /// [`Failure::Storage`] where it cannot be reached.
    pub(super) async fn get(
        &self,
        address: &str,
        fields: &[(HeaderName, String)],
    ) -> Result<StorageAnswer, Failure> {
        let uri: Option<Uri> = address.parse().ok();
        let Some((uri, storage)) = uri.and_then(|uri| Some((uri.clone(), server(&uri)?))) else {
            let detail = "the server redirects to what is no address".to_owned();
            return Err(Failure::Storage { storage: "storage".to_owned(), detail });
        };
        let failed = |detail: String| Failure::Storage { storage: storage.clone(), detail };
        let mut request = Request::get(uri);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(&[][..]).map_err(|error| failed(error.to_string()))?;
        // Who uses the link could reach the address by other means, too.
        let options = ClientOptions {
            private_networks: PrivateNetworks::All,
            tls: request.uri().scheme_str() == Some("https"),
            authorities: self.authorities.clone(),
            pinned: None,
        };
        let asking = tokio::task::spawn_blocking(move || {
            let client = Arc::new(Client::new(&options)?);
            client.send(request)
        });
        let answered = asking.await.map_err(|error| failed(error.to_string()))?;
        let answer = answered.map_err(|error| failed(advice(&error)))?;
        Ok(StorageAnswer {
            storage,
            status: answer.status(),
            headers: answer.headers().clone(),
            body: pieces(answer),
        })
    }
}

impl StorageAnswer {
    /// Returns the next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Failure::Storage`] where the connection broke.
    pub(super) async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        let next = self.body.next().await.transpose();
        next.map_err(|error| self.failure(error.to_string()))
    }

    /// Returns the failure that a status stands for. What the storage says about it is not shown:
    /// it may repeat the signed address.
    pub(super) fn refusal(&self) -> Failure {
        match self.status {
            StatusCode::NOT_FOUND => {
                Failure::NotFound(format!("{} has no such object; scan the storage again", self.storage))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.failure(format!(
                "it refuses the signed address (status {}); check the keys in the storage's settings, and the clocks",
                self.status.as_u16()
            )),
            status => self.failure(format!("it answers with the status {}", status.as_u16())),
        }
    }

    pub(super) fn failure(&self, detail: String) -> Failure {
        Failure::Storage { storage: self.storage.clone(), detail }
    }
}

/// Returns the server of an address, without the path and the signature.
fn server(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let port = uri.port_u16().map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{scheme}://{}{port}", uri.host()?))
}

/// Returns what failed, with the option that helps.
fn advice(error: &HttpError) -> String {
    if matches!(error, HttpError::Certificate { .. } | HttpError::NoAuthorities) {
        return format!("{error}; an authority of your own is named with --ca-file");
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;

    /// A storage that answers one request with that text.
    #[expect(clippy::disallowed_methods, reason = "tests run what they test in the background")]
    fn storage(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap().to_ascii_lowercase()
        });
        (address, asked)
    }

    #[tokio::test]
    async fn a_storage_gets_conditions_and_no_token_and_its_address_is_not_shown() {
        let (address, asked) = storage("HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nhi");
        let client = StorageClient::new(None).unwrap();
        let fields = [(HeaderName::from_static("range"), "bytes=5-".to_owned())];
        let mut answer = client.get(&format!("{address}/a?sig=precious"), &fields).await.unwrap();
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.chunk().await.unwrap().as_deref(), Some(b"hi".as_slice()));
        assert!(answer.chunk().await.unwrap().is_none());
        let asked = asked.join().unwrap();
        assert!(asked.contains("range: bytes=5-") && asked.contains("?sig=precious"), "{asked}");
        assert!(!asked.contains("authorization"), "{asked}");

        let refusing = "HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nprecious";
        let (address, asked) = storage(refusing);
        let refused = client.get(&format!("{address}/a?sig=precious"), &[]).await.unwrap().refusal();
        asked.join().unwrap();
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi";
        let (address, asked) = storage(cut);
        let mut answer = client.get(&format!("{address}/a?sig=precious"), &[]).await.unwrap();
        asked.join().unwrap();
        let mut broken = None;
        while broken.is_none() {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a body that is cut short is no whole one"),
                Err(failure) => broken = Some(failure),
            }
        }
        let nowhere = client.get("http://127.0.0.1:1/a?sig=precious", &[]).await.err();
        let no_address = client.get("precious", &[]).await.err();
        for failure in [Some(refused), broken, nowhere, no_address] {
            let Some(failure @ Failure::Storage { .. }) = failure else { panic!("{failure:?}") };
            assert!(!format!("{failure} {failure:?}").contains("precious"), "{failure}");
        }
    }
}

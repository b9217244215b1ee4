//! Objects that are read by ranged requests, which the host signs and sends.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use imprint_http_client::{Authorise, HttpError, HttpObject, HttpSource, http::request::Parts};
use imprint_ports::{BlockSource, ClientUrlTerms, PortError, RemoteObject, SecretText};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::storage_context::StorageContext;
use crate::{
    bindings::host::imprint::types::locators,
    codes::Code,
    net::{NetContext, NetError, Template, client_url, complete},
};

/// An object that a plugin located behind HTTP. Nothing is open yet.
pub(super) struct HttpLocator {
    context: Arc<StorageContext>,
    key: String,
    object: Located,
}

/// A checked locator.
#[derive(Clone)]
struct Located {
    template: Template,
    size: u64,
    etag: Option<String>,
    preferred_chunk: u32,
}

/// Signs the requests of one object.
#[derive(Debug)]
struct Signer {
    net: NetRef,
    template: Template,
}

/// The storage's network, which has secrets and is never printed.
struct NetRef(Arc<NetContext>);

impl fmt::Debug for NetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetContext")
    }
}

impl Authorise for Signer {
    fn authorise(&self, request: &mut Parts) -> Result<(), HttpError> {
        let signed = complete(&self.template, &self.net.0, request, [].as_slice().into());
        signed.map(drop).map_err(NetError::for_source)
    }
}

impl fmt::Debug for HttpLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpLocator({}, {:?})", self.context.plugin.manifest.id, self.key)
    }
}

impl HttpLocator {
    /// Checks a plugin's locator.
    pub(super) fn new(
        context: Arc<StorageContext>,
        key: &str,
        source: locators::HttpSource,
    ) -> Result<Self, PortError> {
        let object = located(source)?;
        Ok(Self { context, key: key.to_owned(), object })
    }
}

fn located(source: locators::HttpSource) -> Result<Located, PortError> {
    let (template, _) = Template::parse(source.request).map_err(|error| error.for_host())?;
    Ok(Located { template, size: source.size, etag: source.etag, preferred_chunk: source.preferred_chunk })
}

impl StorageContext {
    fn http_source(&self, object: &Located) -> Result<HttpSource, NetError> {
        let client = self.net.client(&object.template.uri)?;
        let signer = Signer { net: NetRef(self.net.clone()), template: object.template.clone() };
        Ok(HttpSource::known(HttpObject {
            client,
            request: object.template.head()?,
            authorise: Arc::new(signer),
            size: object.size,
            etag: object.etag.clone(),
            preferred_read: u64::from(object.preferred_chunk),
        }))
    }
}

#[async_trait]
impl RemoteObject for HttpLocator {
    async fn open(&self, cancel: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError> {
        let source = self.context.http_source(&self.object).map_err(|error| error.for_host())?;
        tracing::debug!(key = self.key, path = "http", "an object is read by the host");
        Ok(Arc::new(HttpObjectSource {
            context: self.context.clone(),
            key: self.key.clone(),
            size: self.object.size,
            etag: self.object.etag.clone(),
            template: self.object.template.clone(),
            runtime: Handle::current(),
            cancel,
            source: RwLock::new(Arc::new(source)),
        }))
    }

    fn client_url(&self, terms: &ClientUrlTerms) -> Result<Option<SecretText>, PortError> {
        client_url(&self.object.template, &self.context.net, terms).map_err(|error| error.for_host())
    }
}

/// An open object. Where the server no longer accepts a session, the plugin is asked again.
struct HttpObjectSource {
    context: Arc<StorageContext>,
    key: String,
    size: u64,
    etag: Option<String>,
    template: Template,
    runtime: Handle,
    cancel: CancellationToken,
    source: RwLock<Arc<HttpSource>>,
}

impl HttpObjectSource {
    fn current(&self) -> Arc<HttpSource> {
        self.source.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the plugin where the object is now.
    fn located(&self) -> Result<locators::ReadLocator, PortError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(PortError::cancelled()),
                found = self.context.locate(&self.key) => found,
            }
        })
    }

    /// Uses what the plugin says where the object is, after the server refused a session.
    fn locate_again(&self) -> Result<(), PortError> {
        self.template.secret_names().for_each(|name| self.context.net.end_session(name));
        let found = self.located()?;
        let locators::ReadLocator::Http(source) = found else { return Err(self.changed()) };
        let object = located(source)?;
        if object.size != self.size || object.etag != self.etag {
            return Err(self.changed());
        }
        let source = self.context.http_source(&object).map_err(|error| error.for_host())?;
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(source);
        Ok(())
    }

    fn changed(&self) -> PortError {
        Code::SourceChanged.error(format!(
            "{:?} was replaced while it was read; start again when it no longer changes",
            self.key
        ))
    }

    fn with_source<T>(&self, read: impl Fn(&HttpSource) -> io::Result<T>) -> io::Result<T> {
        if self.cancel.is_cancelled() {
            return Err(PortError::cancelled().into());
        }
        let error = match read(&self.current()) {
            Err(error) => error,
            outcome => return outcome,
        };
        match http_error(&error) {
            Some(HttpError::Status { status: 401, .. }) => {
                self.locate_again()?;
                read(&self.current()).map_err(|error| self.explained(error))
            }
            _ => Err(self.explained(error)),
        }
    }

    /// Returns a failure with the setting that it is about. The plugin says what a refusal means:
    /// it meets the same one.
    fn explained(&self, error: io::Error) -> io::Error {
        let Some(http) = http_error(&error) else { return error };
        if let HttpError::Status { .. } = http {
            return self.located().err().map_or(error, io::Error::from);
        }
        let about = self.context.net.about(&self.template.uri, http.clone());
        if matches!(about, NetError::About { .. }) { about.for_host().into() } else { error }
    }
}

fn http_error(error: &io::Error) -> Option<&HttpError> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

impl BlockSource for HttpObjectSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn preferred_read(&self) -> u64 {
        self.current().preferred_read()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        // The closure may run twice, with the same buffer.
        let buf = std::cell::RefCell::new(buf);
        self.with_source(|source| source.read_exact_at(&mut buf.borrow_mut(), offset))
    }

    fn unchanged(&self) -> io::Result<bool> {
        self.with_source(BlockSource::unchanged)
    }
}

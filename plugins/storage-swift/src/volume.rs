//! The storage's functions.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{HttpStorageHost, Space},
    http::{
        Auth, HttpSource, Request, Response,
        objects::{decode, features},
    },
    storage::{Features, Listing, Object, Storage, WriteRequest},
    types::{Props, ReadLocator},
};

use crate::{
    account::Account,
    failure::{failure, not_swift},
    settings::Settings,
    signin::path,
    upload::{PARTS, SwiftUpload},
};

/// The number of bytes that one read asks for.
const READ: u32 = 8 << 20;
/// The secret that signs the addresses of downloads.
const TEMP_URL_KEY: &str = "temp-url-key";
/// For how long such an address is valid, in seconds, and the longest time that the host signs for.
const TEMP_URL_VALID: &str = "900";
const TEMP_URL_LONGEST: &str = "604800";

/// A container as a storage.
#[derive(Debug)]
pub struct SwiftVolume {
    account: Account,
}

/// Returns the room that a quota leaves; `None` where the answer has none.
fn room(answer: &Response, quota: &str, used: &str) -> Option<Space> {
    let number = |name: &str| answer.headers.get(name).and_then(|text| text.trim().parse::<u64>().ok());
    let total = number(quota)?;
    Some(Space { total, available: total.saturating_sub(number(used).unwrap_or(0)) })
}

impl SwiftVolume {
    /// Returns the room that the account's quota leaves. Who may not see the account sees none.
    fn account_room(&self, host: &dyn HttpStorageHost) -> Result<Option<Space>> {
        let (quota, used) = ("x-account-meta-quota-bytes", "x-account-bytes-used");
        let answer =
            self.account.ask(host, "HEAD", "", &|request| request.capture(&[quota, used]).max_response(0))?;
        Ok(if matches!(answer.status, 200 | 204) { room(&answer, quota, used) } else { None })
    }

    /// Returns how an object is read by a signed address, after a look whether the object store
    /// accepts it.
    fn temp_url(&self, host: &dyn HttpStorageHost, key: &str) -> Result<Request> {
        let (url, object) = (self.account.url(host)?, self.account.path(key));
        let base = path(&url).unwrap_or_default();
        let signed = decode(&format!("{base}{object}").replace('+', "%2B"));
        let signed = signed.ok_or_else(|| not_swift("its address is no text"))?;
        let request = |valid: &str| {
            let mut auth = Auth::new("temp-url")
                .param("path", &signed)
                .param("valid-for-s", valid)
                .param("algorithm", &self.account.settings.temp_url_digest)
                .secret("key", TEMP_URL_KEY);
            if self.account.settings.direct_downloads {
                auth = auth.client_scheme("temp-url");
            }
            self.account.request(&url, "GET", &object).auth(auth).max_response(0)
        };
        let accepted = |valid: &str| -> Result<bool> {
            let first = request(valid).header("range", "bytes=0-0");
            let answer = host.send(&first)?;
            match answer.status {
                // An object without bytes has no such range.
                200 | 206 | 404 | 416 => Ok(true),
                401 | 403 | 409 => Ok(false),
                _ => Err(failure(&answer)),
            }
        };
        if accepted(TEMP_URL_VALID)? {
            return Ok(request(TEMP_URL_VALID));
        }
        // One that is valid for a week is accepted although the clocks differ.
        if accepted(TEMP_URL_LONGEST)? {
            let message = "the clock of the hypervisor is behind that of the object store by more than a quarter of an \
                           hour, so signed addresses have expired: synchronise it (NTP)";
            return Err(Error::new(ErrorClass::Denied, "swift.clock", message).about_setting(TEMP_URL_KEY));
        }
        let message = "the object store refuses addresses that are signed with the TempURL key: set the key that the \
                       account has (X-Account-Meta-Temp-URL-Key; one of the container does not reach the segments), and a \
                       digest that the service knows";
        Err(Error::new(ErrorClass::Denied, "swift.temp-url", message).about_setting(TEMP_URL_KEY))
    }
}

impl Storage for SwiftVolume {
    type Host = dyn HttpStorageHost;
    type Upload = SwiftUpload;

    fn open(host: &dyn HttpStorageHost, settings: &Props) -> Result<Self> {
        let settings = Settings::parse(settings)?;
        if settings.direct_downloads && !host.has_secret(TEMP_URL_KEY) {
            let message = "direct downloads need the TempURL key of the account: set the secret \"temp-url-key\", or turn \
                           \"direct-downloads\" off";
            return Err(Error::invalid_input("swift.settings", message).about_setting(TEMP_URL_KEY));
        }
        Ok(Self { account: Account { settings } })
    }

    fn features(&self, _host: &dyn HttpStorageHost) -> Result<Features> {
        Ok(features(PARTS.max_object))
    }

    fn space(&self, host: &dyn HttpStorageHost) -> Result<Option<Space>> {
        let settings = &self.account.settings;
        let images = self.account.head_container(host, &settings.container)?;
        let images = images.ok_or_else(|| self.account.no_container())?;
        let segments = self.account.head_container(host, &settings.segments)?;
        let (quota, used) = ("x-container-meta-quota-bytes", "x-container-bytes-used");
        let containers = [Some(&images), segments.as_ref()].into_iter().flatten();
        let rooms = containers.filter_map(|answer| room(answer, quota, used));
        Ok(rooms.chain(self.account_room(host)?).min_by_key(|room| room.available))
    }

    fn stat(&self, host: &dyn HttpStorageHost, key: &str) -> Result<Object> {
        self.account.get(host, key).map(|found| found.object)
    }

    fn list(
        &self,
        host: &dyn HttpStorageHost,
        prefix: &str,
        resume: Option<&str>,
        max: u32,
    ) -> Result<Listing> {
        self.account.list(host, prefix, resume, max)
    }

    fn open_read(&self, host: &dyn HttpStorageHost, key: &str) -> Result<ReadLocator> {
        let object = self.account.get(host, key)?.object;
        let request = if host.has_secret(TEMP_URL_KEY) {
            self.temp_url(host, key)?
        } else {
            self.account.request(&self.account.url(host)?, "GET", &self.account.path(key)).max_response(0)
        };
        Ok(ReadLocator::Http(Box::new(HttpSource {
            request,
            size: object.size,
            etag: object.etag,
            max_parallel: self.account.settings.parallel,
            preferred_chunk: READ,
            valid_for_s: None,
        })))
    }

    fn delete(&self, host: &dyn HttpStorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        let failed = |key: &String| Some((key.clone(), self.account.delete(host, key).err()?));
        Ok(keys.iter().filter_map(failed).collect())
    }

    fn begin_upload(&self, host: &dyn HttpStorageHost, request: &WriteRequest) -> Result<SwiftUpload> {
        SwiftUpload::begin(self.account.clone(), host, request)
    }

    fn resume_upload(&self, _host: &dyn HttpStorageHost, token: &[u8]) -> Result<SwiftUpload> {
        SwiftUpload::parse(self.account.clone(), token)
    }

    fn cleanup(&self, host: &dyn HttpStorageHost, token: &[u8]) -> Result<()> {
        SwiftUpload::parse(self.account.clone(), token)?.discard(host)
    }
}

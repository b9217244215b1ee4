//! Listings of images. What is a segment of an image is none.

use imprint_plugin_sdk::{
    debug,
    error::Result,
    host::HttpStorageHost,
    http::objects::{MAX_KEY, is_key, iso_date},
    storage::{Listing, Object},
    types::Props,
};

use crate::{
    account::Account,
    container::{Kind, is_foreign_segment, quoted},
    failure::not_swift,
    segments::{Entry, PAGE},
};

/// Sorts behind every name that begins alike.
const LAST: char = '\u{10ffff}';

/// The prefixes under which the segments of dynamic large objects are, in the container itself.
#[derive(Default)]
struct Hidden(Vec<String>);

impl Hidden {
    fn of(&self, name: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|prefix| name.starts_with(prefix))
    }
}

impl Account {
    /// Returns a page of the objects with keys that begin with `prefix`, after `resume`.
    pub(crate) fn list(
        &self,
        host: &dyn HttpStorageHost,
        prefix: &str,
        resume: Option<&str>,
        max: u32,
    ) -> Result<Listing> {
        let own = &self.settings.prefix;
        let below = format!("{own}{prefix}");
        let mut hidden = Hidden::default();
        if let Some(key) = resume {
            // The segments of the last object of the page before may begin this one.
            self.note_segments(host, key, &mut hidden)?;
        }
        let most = usize::try_from(max.clamp(1, PAGE)).unwrap_or(1);
        let mut marker = resume.map(|key| format!("{own}{key}")).unwrap_or_default();
        let mut objects = Vec::new();
        loop {
            let wanted = u32::try_from(most - objects.len()).unwrap_or(1);
            let page = self.entries(host, &self.settings.container, &below, &marker, wanted)?;
            let page = page.ok_or_else(|| self.no_container())?;
            let full = page.len() >= most - objects.len();
            let Some(last) = page.last().map(|entry| entry.name.clone()) else {
                return Ok(Listing { objects, prefixes: Vec::new(), resume: None });
            };
            if !last.starts_with(&below) || last <= marker {
                return Err(not_swift("a listing makes no progress"));
            }
            for entry in page {
                objects.extend(self.object(host, entry, &mut hidden)?);
            }
            marker = match hidden.of(&last) {
                // What else is under that prefix is not worth a request.
                Some(segments) if segments.len() + own.len() < MAX_KEY => format!("{segments}{LAST}"),
                Some(_) | None => last,
            };
            if !full {
                return Ok(Listing { objects, prefixes: Vec::new(), resume: None });
            }
            if objects.len() >= most {
                let resume = marker.strip_prefix(own.as_str()).map(str::to_owned);
                return Ok(Listing { objects, prefixes: Vec::new(), resume });
            }
        }
    }

    fn note_segments(&self, host: &dyn HttpStorageHost, key: &str, hidden: &mut Hidden) -> Result<()> {
        if !is_key(key) || key.ends_with(LAST) {
            return Ok(());
        }
        if let Some(found) = self.find(host, key)?
            && let Kind::Dynamic { container, prefix } = found.kind
            && container == self.settings.container
            && !prefix.is_empty()
        {
            hidden.0.push(prefix);
        }
        Ok(())
    }

    /// Returns an entry as an object; `None` for a segment, for what is no key, and for what is
    /// gone.
    fn object(
        &self,
        host: &dyn HttpStorageHost,
        entry: Entry,
        hidden: &mut Hidden,
    ) -> Result<Option<Object>> {
        let key = entry.name.strip_prefix(self.settings.prefix.as_str()).unwrap_or_default();
        if !is_key(key) {
            debug!("an object of the name {:?} is left out of the listing", entry.name);
            return Ok(None);
        }
        // A dynamic large object is listed with the size of its manifest, which is nothing.
        if entry.bytes == 0 {
            let Some(found) = self.find(host, key)? else { return Ok(None) };
            if let Kind::Dynamic { container, prefix } = &found.kind {
                if *container == self.settings.container && !prefix.is_empty() {
                    hidden.0.push(prefix.clone());
                }
                return Ok(Some(found.object));
            }
        }
        if hidden.of(&entry.name).is_some() || is_foreign_segment(key) {
            return Ok(None);
        }
        Ok(Some(Object {
            key: key.to_owned(),
            size: entry.bytes,
            stored: Some(entry.bytes),
            modified_ms: entry.last_modified.as_deref().and_then(iso_date),
            etag: entry.slo_etag.or(entry.hash).map(|etag| quoted(&etag)),
            extra: Props::new(),
        }))
    }
}

//! Storages.

use std::{cell::RefCell, marker::PhantomData};

use super::{
    HostSide,
    shapes::{props_in, props_out},
};
use crate::{
    bindings::{
        host::imprint::types::{http_types, locators, types as shapes},
        storage::exports::imprint::storage::backend as wit,
    },
    storage::{Features, Multipart, Object, Part, PartResult, Storage, Upload, WriteRequest, WriteTarget},
    types::Digest,
};

/// What `export_storage!` exports.
pub struct Backend<S>(PhantomData<S>);

/// An open storage behind its handle.
pub struct VolumeCell<S>(S);

/// An upload behind its handle.
pub struct UploadCell<S: Storage>(RefCell<S::Upload>);

fn object(object: Object) -> wit::Object {
    wit::Object {
        key: object.key,
        size: object.size,
        stored: object.stored,
        modified_ms: object.modified_ms,
        etag: object.etag,
        extra: props_out(object.extra),
    }
}

impl<S: Storage> wit::Guest for Backend<S> {
    type Volume = VolumeCell<S>;
    type Upload = UploadCell<S>;

    fn cleanup(vol: wit::VolumeBorrow<'_>, token: Vec<u8>) -> Result<(), shapes::Error> {
        Ok(vol.get::<VolumeCell<S>>().0.cleanup(S::Host::side(), &token)?)
    }
}

impl<S: Storage> wit::GuestVolume for VolumeCell<S> {
    fn open(settings: shapes::Props) -> Result<wit::Volume, shapes::Error> {
        Ok(wit::Volume::new(VolumeCell(S::open(S::Host::side(), &props_in(settings))?)))
    }

    fn features(&self) -> Result<wit::Features, shapes::Error> {
        let Features {
            random_read,
            random_write,
            append,
            server_side_copy,
            atomic_replace,
            max_object,
            extra,
        } = self.0.features(S::Host::side())?;
        let extra = props_out(extra);
        Ok(wit::Features {
            random_read,
            random_write,
            append,
            server_side_copy,
            atomic_replace,
            max_object,
            extra,
        })
    }

    fn space(&self) -> Result<Option<wit::Space>, shapes::Error> {
        let space = self.0.space(S::Host::side())?;
        Ok(space.map(|space| wit::Space { total: space.total, available: space.available }))
    }

    fn stat(&self, key: String) -> Result<wit::Object, shapes::Error> {
        Ok(object(self.0.stat(S::Host::side(), &key)?))
    }

    fn list(&self, prefix: String, resume: Option<String>, max: u32) -> Result<wit::Listing, shapes::Error> {
        let listing = self.0.list(S::Host::side(), &prefix, resume.as_deref(), max)?;
        let objects = listing.objects.into_iter().map(object).collect();
        Ok(wit::Listing { objects, prefixes: listing.prefixes, resume: listing.resume })
    }

    fn open_read(&self, key: String) -> Result<locators::ReadLocator, shapes::Error> {
        Ok(self.0.open_read(S::Host::side(), &key)?.into())
    }

    fn delete(&self, keys: Vec<String>) -> Result<Vec<(String, shapes::Error)>, shapes::Error> {
        let failed = self.0.delete(S::Host::side(), &keys)?;
        Ok(failed.into_iter().map(|(key, error)| (key, error.into())).collect())
    }
}

impl<S: Storage> wit::GuestUpload for UploadCell<S> {
    fn begin(vol: wit::VolumeBorrow<'_>, request: wit::WriteRequest) -> Result<wit::Upload, shapes::Error> {
        let request = WriteRequest {
            key: request.key,
            size: request.size,
            upper_bound: request.upper_bound,
            needs_random: request.needs_random,
            if_absent: request.if_absent,
            extra: props_in(request.extra),
        };
        let upload = vol.get::<VolumeCell<S>>().0.begin_upload(S::Host::side(), &request)?;
        Ok(wit::Upload::new(UploadCell::<S>(RefCell::new(upload))))
    }

    fn token(&self) -> Vec<u8> {
        self.0.borrow().token()
    }

    fn resume(vol: wit::VolumeBorrow<'_>, token: Vec<u8>) -> Result<wit::Upload, shapes::Error> {
        let upload = vol.get::<VolumeCell<S>>().0.resume_upload(S::Host::side(), &token)?;
        Ok(wit::Upload::new(UploadCell::<S>(RefCell::new(upload))))
    }

    fn target(&self) -> wit::WriteTarget {
        match self.0.borrow().target() {
            WriteTarget::File(file) => wit::WriteTarget::File(file.into()),
            WriteTarget::Multipart(Multipart { part_size, max_parts, max_parallel, unordered }) => {
                let target = wit::Multipart { part_size, max_parts, max_parallel, unordered };
                wit::WriteTarget::Multipart(target)
            }
            WriteTarget::GuestStream => wit::WriteTarget::GuestStream,
        }
    }

    fn describe_parts(&self, parts: Vec<wit::Part>) -> Result<Vec<http_types::Request>, shapes::Error> {
        let parts: Vec<_> =
            parts.into_iter().map(|part| Part { number: part.number, length: part.length }).collect();
        let requests = self.0.borrow_mut().describe_parts(S::Host::side(), &parts)?;
        Ok(requests.into_iter().map(Into::into).collect())
    }

    fn completed(&self, results: Vec<wit::PartResult>) -> Result<(), shapes::Error> {
        let results: Vec<_> = results
            .into_iter()
            .map(|result| PartResult {
                number: result.number,
                response: result.response.into(),
                digests: result.digests.into_iter().map(Into::into).collect(),
            })
            .collect();
        Ok(self.0.borrow_mut().completed(S::Host::side(), &results)?)
    }

    fn commit(&self, total: u64, digests: Vec<shapes::Digest>) -> Result<wit::Object, shapes::Error> {
        let digests: Vec<Digest> = digests.into_iter().map(Into::into).collect();
        Ok(object(self.0.borrow_mut().commit(S::Host::side(), total, &digests)?))
    }

    fn abort(&self) -> Result<(), shapes::Error> {
        Ok(self.0.borrow_mut().abort(S::Host::side())?)
    }
}

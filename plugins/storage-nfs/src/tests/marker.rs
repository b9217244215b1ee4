//! The marker by which an export is recognised.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    mock::{Medium as _, MockHost},
    storage::Storage as _,
};
use nfs3_types::nfs3::nfsstat3;

use super::{open, put, server::Server, settings};
use crate::{NfsVolume, procedure};

const MARKER: &str = ".imprint-storage.7";

fn opened(server: &Server, is_required: bool) -> (MockHost, Result<NfsVolume, Error>) {
    let host = server.host();
    host.set_config("imprint.marker", MARKER);
    host.set_config("imprint.marker-required", if is_required { "true" } else { "false" });
    let volume = NfsVolume::open(&host, &settings());
    (host, volume)
}

#[test]
fn an_export_is_marked_at_its_first_use_and_recognised_from_then_on() {
    let server = Server::new();
    let (host, volume) = opened(&server, false);
    assert_eq!(server.files(), [format!("/customer/{MARKER}")]);
    assert!(!server.bytes(&format!("customer/{MARKER}")).unwrap().is_empty());
    let volume = volume.unwrap();
    put(&host, &volume, "a", b"bytes");
    assert_eq!(volume.list(&host, "", None, 10).unwrap().objects.len(), 1, "the marker is no object");
    assert_eq!(volume.stat(&host, MARKER).unwrap_err().code, "nfs.key");
    let calls = server.0.borrow().calls.len();
    let (host, volume) = opened(&server, true);
    assert_eq!(volume.unwrap().stat(&host, "a").unwrap().size, 5);
    assert!(server.0.borrow().calls.len() < calls + 8, "an opening costs a few calls");
    // It lasts through a restart of the server.
    server.restart();
    assert!(opened(&server, true).1.is_ok());
}

#[test]
fn another_export_in_its_place_is_refused_before_the_first_byte() {
    let with_folder = Server::new();
    let (host, volume) = open(&with_folder);
    put(&host, &volume, "a", b"bytes");
    for (server, files) in [(Server::new(), Vec::new()), (with_folder, vec!["/customer/a".to_owned()])] {
        let error = opened(&server, true).1.err().unwrap();
        assert_eq!(
            (error.class, error.code.as_str()),
            (ErrorClass::Conflict, "storage.marker.setting.export")
        );
        for part in ["nas:/srv/images/customer", &format!("touch /srv/images/customer/{MARKER}")] {
            assert!(error.message.contains(part), "{error}");
        }
        assert_eq!(server.files(), files, "nothing was written");
    }
}

#[test]
fn an_export_that_is_only_read_is_marked_when_it_can_be() {
    let server = Server::new();
    let (host, volume) = open(&server);
    put(&host, &volume, "a", b"bytes");
    server.0.borrow_mut().read_only = true;
    let (host, volume) = opened(&server, false);
    assert_eq!(volume.unwrap().stat(&host, "a").unwrap().size, 5);
    assert_eq!(opened(&server, true).1.err().unwrap().code, "storage.marker.setting.export");
    server.0.borrow_mut().read_only = false;
    assert!(opened(&server, false).1.is_ok());
    assert!(opened(&server, true).1.is_ok());
}

#[test]
fn a_marker_that_cannot_be_looked_for_is_not_taken_for_missing() {
    let server = Server::new();
    assert!(opened(&server, false).1.is_ok());
    for (status, code) in
        [(nfsstat3::NFS3ERR_ACCES, "nfs.access.setting.uid"), (nfsstat3::NFS3ERR_IO, "nfs.server")]
    {
        let host = server.host();
        host.set_config("imprint.marker", MARKER);
        host.set_config("imprint.marker-required", "true");
        // In the export itself the marker is the first name that is looked for.
        let mut settings = settings();
        settings.insert("folder".to_owned(), ".".to_owned());
        server.0.borrow_mut().refuse.push_back((procedure::LOOKUP, status));
        assert_eq!(NfsVolume::open(&host, &settings).err().unwrap().code, code);
    }
    // Another hypervisor marks it at the same moment.
    let server = Server::new();
    server.0.borrow_mut().refuse.push_back((procedure::CREATE, nfsstat3::NFS3ERR_EXIST));
    assert!(opened(&server, false).1.is_ok());
}

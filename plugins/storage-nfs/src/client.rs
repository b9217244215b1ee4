//! The calls to a server: where the export is, and what is done with its files.

use imprint_path_storage::MAX_NAME;
use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{Space, TcpStorageHost},
};
use nfs3_types::{
    mount::{self, dirpath, mountres3},
    nfs3::{
        self, FSINFO3args, FSINFO3res, FSSTAT3args, FSSTAT3res, GETATTR3args, GETATTR3res, LOOKUP3args,
        LOOKUP3res, MKDIR3args, MKDIR3res, Nfs3Option, Nfs3Result, diropargs3, fattr3, filename3, ftype3,
        nfs_fh3, nfsstat3, sattr3,
    },
    portmap::{self, IPPROTO_TCP, PMAP_PORT, mapping},
    rpc::{auth_unix, opaque_auth},
    xdr_codec::{Opaque, Pack, Unpack, Void},
};

use crate::{
    failure::{self, not_nfs},
    listed::Listed,
    procedure,
    rpc::{Call, Program, Rpc},
    settings::Settings,
};

/// The longest read and write, in bytes, whatever a server offers.
const MAX_PIECE: u32 = 1 << 20;
/// The shortest read and write that a server may ask for, in bytes.
const MIN_PIECE: u32 = 512;
/// The name by which this client calls itself.
const MACHINE: &[u8] = b"imprint";
/// The number of AUTH_SYS among the flavours of authentication.
const AUTH_SYS: u32 = 1;
/// The permissions of new folders.
const FOLDER_MODE: u32 = 0o750;
/// The pause before a busy server is asked again, in milliseconds.
const BUSY_MS: u32 = 1_000;

/// A file or folder of the export.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) handle: nfs_fh3,
    pub(crate) attributes: fattr3,
}

impl Node {
    pub(crate) fn is_folder(&self) -> bool {
        self.attributes.type_ == ftype3::NF3DIR
    }

    pub(crate) fn is_file(&self) -> bool {
        self.attributes.type_ == ftype3::NF3REG
    }
}

/// A connection to an export.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    rpc: Rpc,
    export: nfs_fh3,
    /// The storage's folder; `None` until it is made.
    base: Option<nfs_fh3>,
    /// The longest read and write, in bytes.
    pub(crate) read_size: u32,
    pub(crate) write_size: u32,
    /// The folder that was listed last.
    pub(crate) listed: Option<Listed>,
    /// Whether the server answers names without attributes only (READDIR).
    pub(crate) plain_names: bool,
}

impl Client {
    /// Connects to the export, and finds the storage's folder.
    pub(crate) fn open(host: &dyn TcpStorageHost, settings: Settings) -> Result<Self> {
        let export = mount(host, &settings)?;
        let program = Program {
            server: settings.server.clone(),
            port: settings.nfs_port,
            program: nfs3::PROGRAM,
            version: nfs3::VERSION,
            setting: "nfs-port",
            name: "NFS",
        };
        let mut rpc = Rpc::new(host, program, credential(&settings), settings.limit_ms);
        let args = FSINFO3args { fsroot: export.clone() };
        let limits = match rpc.call(host, procedure::FSINFO, &args)? {
            FSINFO3res::Ok(limits) => limits,
            FSINFO3res::Err((status, _)) => {
                return Err(failure::of_nfs(status, "describe the export", &settings));
            }
        };
        let piece = |most: u32| most.clamp(MIN_PIECE, MAX_PIECE);
        let (read_size, write_size) = (piece(limits.rtmax), piece(limits.wtmax));
        let mut client = Self {
            settings,
            rpc,
            export,
            base: None,
            read_size,
            write_size,
            listed: None,
            plain_names: false,
        };
        client.base = match client.settings.folder.clone() {
            None => Some(client.export.clone()),
            Some(name) => {
                let export = client.export.clone();
                let found = client.lookup(host, &export, &name)?;
                found.map(|node| client.folder(node, &name)).transpose()?
            }
        };
        Ok(client)
    }

    fn folder(&self, node: Node, name: &str) -> Result<nfs_fh3> {
        if node.is_folder() {
            return Ok(node.handle);
        }
        let text = format!("{name} on {} is no folder; rename it, or choose another", self.settings.server);
        Err(Error::conflict("nfs.no-folder", text).about_setting("folder"))
    }

    /// Returns the storage's folder, if it is there.
    pub(crate) fn base(&self) -> Option<nfs_fh3> {
        self.base.clone()
    }

    /// Makes the storage's folder where it is missing.
    pub(crate) fn require_base(&mut self, host: &dyn TcpStorageHost) -> Result<nfs_fh3> {
        if let Some(base) = &self.base {
            return Ok(base.clone());
        }
        let (export, name) = (self.export.clone(), self.settings.folder.clone().unwrap_or_default());
        let node = self.make_folder(host, &export, &name)?;
        let base = self.folder(node, &name)?;
        self.base = Some(base.clone());
        Ok(base)
    }

    /// Calls NFS, and asks again while the server is busy.
    pub(crate) fn nfs<T: Unpack, E: Unpack>(
        &mut self,
        host: &dyn TcpStorageHost,
        procedure: u32,
        args: &impl Pack,
        what: &str,
    ) -> Result<Nfs3Result<T, E>> {
        let began = host.monotonic_ms();
        loop {
            let answer = self.rpc.call(host, procedure, args);
            match answer.map_err(|error| error.context(&format!("cannot {what}")))? {
                Nfs3Result::Err((nfsstat3::NFS3ERR_JUKEBOX, _))
                    if host.monotonic_ms().saturating_sub(began) < self.settings.limit_ms =>
                {
                    host.sleep_ms(BUSY_MS);
                }
                answer @ (Nfs3Result::Ok(_) | Nfs3Result::Err(_)) => return Ok(answer),
            }
        }
    }

    /// Sends a call of NFS, the answer to which is waited for later.
    pub(crate) fn start(
        &mut self,
        host: &dyn TcpStorageHost,
        procedure: u32,
        args: &impl Pack,
    ) -> Result<Call> {
        self.rpc.start(host, procedure, args)
    }

    /// Waits for the answer to a call.
    pub(crate) fn wait<T: Unpack>(&mut self, host: &dyn TcpStorageHost, call: Call) -> Result<T> {
        self.rpc.wait(host, call)
    }

    /// Gives calls up.
    pub(crate) fn forget(&mut self, calls: impl IntoIterator<Item = Call>) {
        calls.into_iter().for_each(|call| self.rpc.forget(call));
    }

    /// Returns the failure of an operation.
    pub(crate) fn failure(&self, status: nfsstat3, what: &str) -> Error {
        failure::of_nfs(status, what, &self.settings)
    }

    /// Returns what has a name in a folder.
    pub(crate) fn lookup(
        &mut self,
        host: &dyn TcpStorageHost,
        folder: &nfs_fh3,
        name: &str,
    ) -> Result<Option<Node>> {
        if name.len() > MAX_NAME {
            return Err(self.failure(nfsstat3::NFS3ERR_NAMETOOLONG, &format!("find `{name}`")));
        }
        let what = format!("find `{name}`");
        let args = LOOKUP3args { what: place(folder, name) };
        let found: LOOKUP3res = self.nfs(host, procedure::LOOKUP, &args, &what)?;
        match found {
            LOOKUP3res::Ok(found) => {
                let attributes = match found.obj_attributes {
                    Nfs3Option::Some(attributes) => attributes,
                    Nfs3Option::None => self.attributes(host, &found.object, &what)?,
                };
                Ok(Some(Node { handle: found.object, attributes }))
            }
            LOOKUP3res::Err((nfsstat3::NFS3ERR_NOENT | nfsstat3::NFS3ERR_NOTDIR, _)) => Ok(None),
            LOOKUP3res::Err((status, _)) => Err(self.failure(status, &what)),
        }
    }

    pub(crate) fn attributes(
        &mut self,
        host: &dyn TcpStorageHost,
        handle: &nfs_fh3,
        what: &str,
    ) -> Result<fattr3> {
        let args = GETATTR3args { object: handle.clone() };
        let found: GETATTR3res = self.nfs(host, procedure::GETATTR, &args, what)?;
        match found {
            GETATTR3res::Ok(found) => Ok(found.obj_attributes),
            GETATTR3res::Err((status, _)) => Err(self.failure(status, what)),
        }
    }

    /// Returns what a path below the storage's folder leads to. Links are not followed.
    pub(crate) fn resolve(&mut self, host: &dyn TcpStorageHost, path: &str) -> Result<Option<Node>> {
        let Some(mut folder) = self.base() else { return Ok(None) };
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let Some(node) = self.lookup(host, &folder, name)? else { return Ok(None) };
            if names.peek().is_none() {
                return Ok(Some(node));
            }
            if !node.is_folder() {
                return Ok(None);
            }
            folder = node.handle;
        }
        Ok(None)
    }

    /// Returns the folder of a path below the storage's folder, and the last name of the path.
    pub(crate) fn parent<'p>(
        &mut self,
        host: &dyn TcpStorageHost,
        path: &'p str,
    ) -> Result<(Option<nfs_fh3>, &'p str)> {
        match path.rsplit_once('/') {
            None => Ok((self.base(), path)),
            Some((folder, name)) => {
                let node = self.resolve(host, folder)?;
                Ok((node.filter(Node::is_folder).map(|node| node.handle), name))
            }
        }
    }

    /// Makes a folder; one that is there is as good.
    pub(crate) fn make_folder(
        &mut self,
        host: &dyn TcpStorageHost,
        parent: &nfs_fh3,
        name: &str,
    ) -> Result<Node> {
        if let Some(node) = self.lookup(host, parent, name)? {
            return Ok(node);
        }
        let what = format!("make the folder `{name}`");
        let attributes = sattr3 { mode: Nfs3Option::Some(FOLDER_MODE), ..sattr3::default() };
        let args = MKDIR3args { where_: place(parent, name), attributes };
        let made: MKDIR3res = self.nfs(host, procedure::MKDIR, &args, &what)?;
        match made {
            MKDIR3res::Ok(_) | MKDIR3res::Err((nfsstat3::NFS3ERR_EXIST, _)) => {}
            MKDIR3res::Err((status, _)) => return Err(self.failure(status, &what)),
        }
        let node = self.lookup(host, parent, name)?;
        node.ok_or_else(|| self.failure(nfsstat3::NFS3ERR_NOENT, &what))
    }

    /// Returns the room of the export's file system.
    pub(crate) fn space(&mut self, host: &dyn TcpStorageHost) -> Result<Space> {
        let what = "say how much room there is";
        let args = FSSTAT3args { fsroot: self.export.clone() };
        let found: FSSTAT3res = self.nfs(host, procedure::FSSTAT, &args, what)?;
        match found {
            FSSTAT3res::Ok(found) => Ok(Space { total: found.tbytes, available: found.abytes }),
            FSSTAT3res::Err((status, _)) => Err(self.failure(status, what)),
        }
    }
}

/// Returns a name in a folder.
pub(crate) fn place<'n>(folder: &nfs_fh3, name: &'n str) -> diropargs3<'n> {
    diropargs3 { dir: folder.clone(), name: filename3(Opaque::borrowed(name.as_bytes())) }
}

fn credential(settings: &Settings) -> opaque_auth<'static> {
    opaque_auth::auth_unix(&auth_unix {
        stamp: 0,
        machinename: Opaque::borrowed(MACHINE),
        uid: settings.uid,
        gid: settings.gid,
        gids: Vec::new(),
    })
}

/// Asks the mount service for the export's handle.
fn mount(host: &dyn TcpStorageHost, settings: &Settings) -> Result<nfs_fh3> {
    let server = &settings.server;
    let port = match settings.mount_port {
        Some(port) => port,
        None => mount_port(host, settings)?,
    };
    let program = Program {
        server: server.clone(),
        port,
        program: mount::PROGRAM,
        version: mount::VERSION,
        setting: "mount-port",
        name: "the mount service",
    };
    let mut rpc = Rpc::new(host, program, credential(settings), settings.limit_ms);
    let path = dirpath(Opaque::borrowed(settings.export.as_bytes()));
    let mounted = match rpc.call(host, procedure::MNT, &path)? {
        mountres3::Ok(mounted) => mounted,
        mountres3::Err(status) => {
            let exports = if failure::is_refusal(status) { exports(host, &mut rpc) } else { None };
            return Err(failure::of_mount(status, exports.as_deref(), settings));
        }
    };
    if !mounted.auth_flavors.is_empty() && !mounted.auth_flavors.contains(&AUTH_SYS) {
        let text = format!(
            "the server {server} exports {} for other kinds of authentication than user ids; export it with `sec=sys`",
            settings.export
        );
        return Err(Error::denied("nfs.authentication", text).about_setting("export"));
    }
    Ok(nfs_fh3 { data: mounted.fhandle.0 })
}

/// Asks the mount service for the paths of all exports: servers refuse those that they do not have
/// like those that are not permitted. `None` where it does not say.
fn exports(host: &dyn TcpStorageHost, rpc: &mut Rpc) -> Option<Vec<String>> {
    let answer: Result<mount::exports<'static, 'static>> = rpc.call(host, procedure::EXPORT, &Void);
    let paths = answer.ok()?.into_inner().into_iter();
    Some(paths.map(|export| String::from_utf8_lossy(&export.ex_dir.0).into_owned()).collect())
}

/// Asks the port mapper for the port of the mount service.
fn mount_port(host: &dyn TcpStorageHost, settings: &Settings) -> Result<u16> {
    let server = &settings.server;
    let program = Program {
        server: server.clone(),
        port: PMAP_PORT,
        program: portmap::PROGRAM,
        version: portmap::VERSION,
        setting: "server",
        name: "the port mapper",
    };
    let mut rpc = Rpc::new(host, program, opaque_auth::default(), settings.limit_ms);
    let asked = mapping { prog: mount::PROGRAM, vers: mount::VERSION, prot: IPPROTO_TCP, port: 0 };
    let answer: Result<u32> = rpc.call(host, procedure::GETPORT, &asked);
    let port = answer.map_err(|error| {
        let text = "the port of the mount service cannot be asked for (set it in `mount-port` where the server has no port \
                    mapper)";
        if error.class == ErrorClass::Transient { error.context(text) } else { error }
    })?;
    match u16::try_from(port) {
        Ok(port) if port != 0 => Ok(port),
        Ok(_) | Err(_) => {
            Err(not_nfs("server", &format!("the server {server} has no mount service of NFS version 3")))
        }
    }
}

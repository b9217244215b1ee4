//! An NFS server in memory: its files, its mount service and its port mapper, with faults where a
//! test wants them. What it has not committed it loses when it restarts.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use imprint_plugin_sdk::mock::{Medium, MockHost};
use nfs3_types::{
    mount::{self, dirpath, export_node, fhandle3, mountres3, mountres3_ok, mountstat3},
    nfs3::{self, *},
    portmap,
    rpc::*,
    xdr_codec::{Opaque, Pack, Unpack},
};

/// The export that the server has.
pub(super) const EXPORT: &str = "/srv/images";
/// The port of the mount service, which the port mapper knows.
pub(super) const MOUNT_PORT: u32 = 20_048;
const ROOT: u64 = 1;

#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    /// What a restart leaves.
    pub(super) stable: Vec<u8>,
    key: Option<[u8; 8]>,
    links: u32,
}

enum Content {
    Folder(BTreeMap<String, u64>),
    File(File),
    Link,
}

/// A name of a folder, with its place in a listing.
struct Named {
    name: filename3<'static>,
    id: u64,
    cookie: u64,
}

pub(super) struct State {
    content: BTreeMap<u64, Content>,
    next: u64,
    boots: u64,
    time: u32,
    /// The longest write and read, in bytes.
    pub(super) piece: u32,
    pub(super) full: bool,
    pub(super) silent: bool,
    pub(super) read_only: bool,
    /// What is answered for a procedure instead of doing it, once.
    pub(super) refuse: VecDeque<(u32, nfsstat3)>,
    /// Procedures with an answer that is lost, once.
    pub(super) lose: VecDeque<u32>,
    /// Restarts after that many further calls.
    pub(super) restart_in: Option<u32>,
    /// The status of every mount.
    pub(super) mount_status: mountstat3,
    /// Whether listings have no attributes.
    pub(super) bare_listings: bool,
    /// Whether names are listed without attributes only (READDIR).
    pub(super) plain_names: bool,
    /// The names of one page of a listing.
    pub(super) page: usize,
    /// The procedures that were called, with the user.
    pub(super) calls: Vec<u32>,
    pub(super) uids: BTreeSet<u32>,
}

/// The server, which a mock host reaches.
#[derive(Clone)]
pub(super) struct Server(pub(super) Rc<RefCell<State>>);

impl Server {
    pub(super) fn new() -> Self {
        let root = BTreeMap::from([(ROOT, Content::Folder(BTreeMap::new()))]);
        Self(Rc::new(RefCell::new(State {
            content: root,
            next: ROOT + 1,
            boots: 1,
            time: 1_000,
            piece: 1 << 20,
            full: false,
            silent: false,
            read_only: false,
            refuse: VecDeque::new(),
            lose: VecDeque::new(),
            restart_in: None,
            mount_status: mountstat3::MNT3_OK,
            bare_listings: false,
            plain_names: false,
            page: 500,
            calls: Vec::new(),
            uids: BTreeSet::new(),
        })))
    }

    /// Returns a host that reaches the server.
    pub(super) fn host(&self) -> MockHost {
        let host = MockHost::new();
        let server = self.clone();
        host.serve_tcp("server", move |record| server.0.borrow_mut().answer(record));
        host.set_medium(self.clone());
        host
    }

    pub(super) fn restart(&self) {
        self.0.borrow_mut().restart();
    }

    /// Returns the bytes of a file.
    pub(super) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        match state.content.get(&state.at(path)?)? {
            Content::File(file) => Some(file.bytes.clone()),
            Content::Folder(_) | Content::Link => None,
        }
    }

    /// Puts something that is no file and no folder at the top.
    pub(super) fn put_link(&self, name: &str) {
        let mut state = self.0.borrow_mut();
        let id = state.add(Content::Link);
        state.names(ROOT).unwrap().insert(name.to_owned(), id);
    }
}

impl Medium for Server {
    fn set_full(&self, full: bool) {
        self.0.borrow_mut().full = full;
    }

    fn halve_files(&self) {
        let mut state = self.0.borrow_mut();
        for content in state.content.values_mut() {
            if let Content::File(file) = content {
                file.bytes.truncate(file.bytes.len() / 2);
                file.stable = file.bytes.clone();
            }
        }
    }

    fn files(&self) -> Vec<String> {
        let state = self.0.borrow();
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, id)) = open.pop() {
            match &state.content[&id] {
                Content::Folder(names) => {
                    open.extend(names.iter().map(|(name, id)| (format!("{path}/{name}"), *id)));
                }
                Content::File(_) | Content::Link => found.push(path),
            }
        }
        found.sort();
        found
    }
}

fn id_of(handle: &nfs_fh3) -> u64 {
    handle.data.as_ref().try_into().map_or(0, u64::from_be_bytes)
}

fn handle(id: u64) -> nfs_fh3 {
    nfs_fh3 { data: Opaque::owned(id.to_be_bytes().to_vec()) }
}

fn text(name: &filename3<'_>) -> String {
    String::from_utf8(name.0.to_vec()).unwrap()
}

fn unpack<T: Unpack>(mut bytes: &[u8]) -> T {
    T::unpack(&mut bytes).unwrap().0
}

fn pack(value: &impl Pack) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.pack(&mut bytes).unwrap();
    bytes
}

impl State {
    fn at(&self, path: &str) -> Option<u64> {
        path.split('/').try_fold(ROOT, |id, name| match self.content.get(&id)? {
            Content::Folder(names) => names.get(name).copied(),
            Content::File(_) | Content::Link => None,
        })
    }

    fn restart(&mut self) {
        self.boots += 1;
        for content in self.content.values_mut() {
            if let Content::File(file) = content {
                file.bytes = file.stable.clone();
            }
        }
    }

    fn add(&mut self, content: Content) -> u64 {
        let id = self.next;
        self.next += 1;
        self.content.insert(id, content);
        id
    }

    fn names(&mut self, id: u64) -> Result<&mut BTreeMap<String, u64>, nfsstat3> {
        match self.content.get_mut(&id) {
            Some(Content::Folder(names)) => Ok(names),
            Some(Content::File(_) | Content::Link) => Err(nfsstat3::NFS3ERR_NOTDIR),
            None => Err(nfsstat3::NFS3ERR_STALE),
        }
    }

    fn file(&mut self, id: u64) -> Result<&mut File, nfsstat3> {
        match self.content.get_mut(&id) {
            Some(Content::File(file)) => Ok(file),
            Some(Content::Folder(_) | Content::Link) => Err(nfsstat3::NFS3ERR_INVAL),
            None => Err(nfsstat3::NFS3ERR_STALE),
        }
    }

    fn attributes(&self, id: u64) -> Option<fattr3> {
        let (type_, size) = match self.content.get(&id)? {
            Content::Folder(_) => (ftype3::NF3DIR, 4096),
            Content::File(file) => (ftype3::NF3REG, u64::try_from(file.bytes.len()).unwrap()),
            Content::Link => (ftype3::NF3LNK, 3),
        };
        let time = nfstime3 { seconds: self.time, nseconds: 0 };
        Some(fattr3 {
            type_,
            mode: 0o644,
            nlink: 1,
            uid: 0,
            gid: 0,
            size,
            used: size,
            rdev: specdata3::default(),
            fsid: 7,
            fileid: id,
            atime: time,
            mtime: nfstime3::default(),
            ctime: time,
        })
    }

    fn post(&self, id: u64) -> post_op_attr {
        self.attributes(id).map_or(Nfs3Option::None, Nfs3Option::Some)
    }

    fn verifier(&self) -> writeverf3 {
        writeverf3(self.boots.to_be_bytes())
    }

    /// Answers one call; nothing where the answer is lost.
    fn answer(&mut self, record: &[u8]) -> Vec<u8> {
        if self.silent {
            return Vec::new();
        }
        if let Some(left) = &mut self.restart_in {
            *left -= 1;
            if *left == 0 {
                self.restart_in = None;
                self.restart();
            }
        }
        let mut rest = &record[4..];
        let (message, _) = rpc_msg::unpack(&mut rest).unwrap();
        let msg_body::CALL(call) = message.body else { panic!("a call is expected") };
        let result = match call.prog {
            portmap::PROGRAM => pack(&MOUNT_PORT),
            mount::PROGRAM if call.proc == 5 => pack(&nfs3_types::xdr_codec::List(vec![export_node {
                ex_dir: dirpath(Opaque::borrowed(EXPORT.as_bytes())),
                ex_groups: nfs3_types::xdr_codec::List::default(),
            }])),
            mount::PROGRAM => pack(&self.mount(rest)),
            nfs3::PROGRAM => {
                let user: auth_unix = unpack(call.cred.body.as_ref());
                self.uids.insert(user.uid);
                self.calls.push(call.proc);
                self.nfs(call.proc, rest)
            }
            other => panic!("program {other}"),
        };
        if call.prog == nfs3::PROGRAM && self.lose.front() == Some(&call.proc) {
            self.lose.pop_front();
            return Vec::new();
        }
        let reply = rpc_msg {
            xid: message.xid,
            body: msg_body::REPLY(reply_body::MSG_ACCEPTED(accepted_reply {
                verf: opaque_auth::default(),
                reply_data: accept_stat_data::SUCCESS,
            })),
        };
        let body = [pack(&reply), result].concat();
        // In two fragments, as a server may answer.
        let (first, second) = body.split_at(body.len() / 2);
        let fragment = |part: &[u8], last| {
            let header = fragment_header::new(u32::try_from(part.len()).unwrap(), last);
            [header.into_xdr_buf().to_vec(), part.to_vec()].concat()
        };
        [fragment(first, false), fragment(second, true)].concat()
    }

    fn mount(&self, args: &[u8]) -> mountres3<'static> {
        let path: dirpath<'static> = unpack(args);
        if path.0.as_ref() != EXPORT.as_bytes() {
            // As Linux does: it does not say what it has.
            return mountres3::Err(mountstat3::MNT3ERR_ACCES);
        }
        if !matches!(self.mount_status, mountstat3::MNT3_OK) {
            return mountres3::Err(self.mount_status);
        }
        mountres3::Ok(mountres3_ok { fhandle: fhandle3(handle(ROOT).data), auth_flavors: vec![1] })
    }

    fn nfs(&mut self, procedure: u32, args: &[u8]) -> Vec<u8> {
        let refused =
            self.refuse.front().filter(|(refused, _)| *refused == procedure).map(|(_, status)| *status);
        if refused.is_some() {
            self.refuse.pop_front();
        }
        let writes = [2, 7, 8, 9, 12, 14, 15].contains(&procedure);
        let needs_room = [7, 8, 9, 15].contains(&procedure);
        let refused = refused
            .or((self.read_only && writes).then_some(nfsstat3::NFS3ERR_ROFS))
            .or((self.full && needs_room).then_some(nfsstat3::NFS3ERR_NOSPC));
        let check = |done: Result<Vec<u8>, nfsstat3>| match done {
            Ok(bytes) => [pack(&nfsstat3::NFS3_OK), bytes].concat(),
            // Every failure has attributes that may be left out: `wcc_data` has two of them.
            Err(status) => {
                let data = match procedure {
                    1 => 0,
                    3 | 6 | 16 | 17 | 18 | 19 => 1,
                    15 => 3,
                    14 => 4,
                    _ => 2,
                };
                [pack(&status), vec![0; 4 * data]].concat()
            }
        };
        if let Some(status) = refused {
            return check(Err(status));
        }
        let done = match procedure {
            1 => self.getattr(unpack(args)),
            2 => self.setattr(unpack(args)),
            3 => self.lookup(unpack(args)),
            6 => self.read(&unpack(args)),
            7 => self.write(&unpack(args)),
            8 => self.create(&unpack(args)),
            9 => self.mkdir(&unpack(args)),
            12 => self.remove(&unpack(args)),
            14 => self.rename(&unpack(args)),
            15 => self.link(&unpack(args)),
            16 => self.readdir(&unpack(args)),
            17 if self.plain_names => Err(nfsstat3::NFS3ERR_NOTSUPP),
            17 => self.readdirplus(&unpack(args)),
            18 => Ok(pack(&FSSTAT3resok {
                obj_attributes: self.post(ROOT),
                tbytes: 1 << 40,
                fbytes: 1 << 39,
                abytes: if self.full { 0 } else { 1 << 38 },
                tfiles: 0,
                ffiles: 0,
                afiles: 0,
                invarsec: 0,
            })),
            19 => Ok(pack(&FSINFO3resok {
                obj_attributes: self.post(ROOT),
                rtmax: self.piece,
                rtpref: self.piece,
                rtmult: 1,
                wtmax: self.piece,
                wtpref: self.piece,
                wtmult: 1,
                dtpref: 4096,
                maxfilesize: u64::MAX,
                time_delta: nfstime3::default(),
                properties: FSF3_LINK,
            })),
            21 => self.commit(unpack(args)),
            other => panic!("procedure {other}"),
        };
        check(done)
    }

    fn getattr(&self, args: GETATTR3args) -> Result<Vec<u8>, nfsstat3> {
        let attributes = self.attributes(id_of(&args.object)).ok_or(nfsstat3::NFS3ERR_STALE)?;
        Ok(pack(&attributes))
    }

    fn setattr(&mut self, args: SETATTR3args) -> Result<Vec<u8>, nfsstat3> {
        let file = self.file(id_of(&args.object))?;
        if let Nfs3Option::Some(size) = args.new_attributes.size {
            let size = usize::try_from(size).unwrap();
            file.bytes.resize(size, 0);
            file.stable.resize(size, 0);
        }
        Ok(pack(&wcc_data::default()))
    }

    fn child(&mut self, place: &diropargs3<'_>) -> Result<u64, nfsstat3> {
        let name = text(&place.name);
        self.names(id_of(&place.dir))?.get(&name).copied().ok_or(nfsstat3::NFS3ERR_NOENT)
    }

    fn lookup(&mut self, args: LOOKUP3args<'static>) -> Result<Vec<u8>, nfsstat3> {
        let id = self.child(&args.what)?;
        Ok(pack(&LOOKUP3resok {
            object: handle(id),
            obj_attributes: if self.bare_listings { Nfs3Option::None } else { self.post(id) },
            dir_attributes: Nfs3Option::None,
        }))
    }

    fn read(&mut self, args: &READ3args) -> Result<Vec<u8>, nfsstat3> {
        let id = id_of(&args.file);
        let most = usize::try_from(args.count.min(self.piece)).unwrap();
        let file = self.file(id)?;
        let from = usize::try_from(args.offset).unwrap().min(file.bytes.len());
        let part = file.bytes[from..].iter().take(most).copied().collect::<Vec<_>>();
        let eof = from + part.len() == file.bytes.len();
        Ok(pack(&READ3resok {
            file_attributes: self.post(id),
            count: u32::try_from(part.len()).unwrap(),
            eof,
            data: Opaque::owned(part),
        }))
    }

    fn write(&mut self, args: &WRITE3args<'static>) -> Result<Vec<u8>, nfsstat3> {
        // A server may take less than it is given.
        let taken = args.data.len().min(usize::try_from(self.piece).unwrap());
        let file = self.file(id_of(&args.file))?;
        let from = usize::try_from(args.offset).unwrap();
        let end = from + taken;
        file.bytes.resize(file.bytes.len().max(end), 0);
        file.bytes[from..end].copy_from_slice(&args.data[..taken]);
        Ok(pack(&WRITE3resok {
            file_wcc: wcc_data::default(),
            count: u32::try_from(taken).unwrap(),
            committed: stable_how::UNSTABLE,
            verf: self.verifier(),
        }))
    }

    fn commit(&mut self, args: COMMIT3args) -> Result<Vec<u8>, nfsstat3> {
        let file = self.file(id_of(&args.file))?;
        file.stable = file.bytes.clone();
        Ok(pack(&COMMIT3resok { file_wcc: wcc_data::default(), verf: self.verifier() }))
    }

    fn create(&mut self, args: &CREATE3args<'static>) -> Result<Vec<u8>, nfsstat3> {
        let key = match &args.how {
            createhow3::EXCLUSIVE(key) => Some(key.0),
            createhow3::GUARDED(_) | createhow3::UNCHECKED(_) => None,
        };
        match self.child(&args.where_) {
            Ok(id) if key.is_none() || self.file(id)?.key != key => return Err(nfsstat3::NFS3ERR_EXIST),
            Ok(_) => {}
            Err(nfsstat3::NFS3ERR_NOENT) => {
                let id = self.add(Content::File(File { key, links: 1, ..File::default() }));
                self.names(id_of(&args.where_.dir))?.insert(text(&args.where_.name), id);
            }
            Err(status) => return Err(status),
        }
        Ok(self.made())
    }

    fn made(&self) -> Vec<u8> {
        pack(&CREATE3resok {
            obj: Nfs3Option::None,
            obj_attributes: Nfs3Option::None,
            dir_wcc: wcc_data::default(),
        })
    }

    fn mkdir(&mut self, args: &MKDIR3args<'static>) -> Result<Vec<u8>, nfsstat3> {
        if self.child(&args.where_).is_ok() {
            return Err(nfsstat3::NFS3ERR_EXIST);
        }
        let id = self.add(Content::Folder(BTreeMap::new()));
        self.names(id_of(&args.where_.dir))?.insert(text(&args.where_.name), id);
        Ok(self.made())
    }

    fn unlink(&mut self, id: u64) {
        if let Ok(file) = self.file(id) {
            file.links -= 1;
            if file.links == 0 {
                self.content.remove(&id);
            }
        }
    }

    fn remove(&mut self, args: &REMOVE3args<'static>) -> Result<Vec<u8>, nfsstat3> {
        let id = self.child(&args.object)?;
        self.names(id_of(&args.object.dir))?.remove(&text(&args.object.name));
        self.unlink(id);
        Ok(pack(&wcc_data::default()))
    }

    fn rename(&mut self, args: &RENAME3args<'static, 'static>) -> Result<Vec<u8>, nfsstat3> {
        let id = self.child(&args.from)?;
        let replaced = self.child(&args.to).ok();
        self.names(id_of(&args.from.dir))?.remove(&text(&args.from.name));
        self.names(id_of(&args.to.dir))?.insert(text(&args.to.name), id);
        replaced.into_iter().for_each(|id| self.unlink(id));
        Ok([pack(&wcc_data::default()), pack(&wcc_data::default())].concat())
    }

    fn link(&mut self, args: &LINK3args<'static>) -> Result<Vec<u8>, nfsstat3> {
        if self.child(&args.link).is_ok() {
            return Err(nfsstat3::NFS3ERR_EXIST);
        }
        let id = id_of(&args.file);
        self.file(id)?.links += 1;
        self.names(id_of(&args.link.dir))?.insert(text(&args.link.name), id);
        Ok(pack(&LINK3resok { file_attributes: Nfs3Option::None, linkdir_wcc: wcc_data::default() }))
    }

    /// Returns the names that follow a cookie, and whether these are the last ones. They are in an
    /// order that is not that of the names.
    fn page_of(&mut self, folder: &nfs_fh3, cookie: u64) -> Result<(Vec<Named>, bool), nfsstat3> {
        let all: Vec<_> = self.names(id_of(folder))?.clone().into_iter().rev().collect();
        let from = usize::try_from(cookie).unwrap();
        let to = all.len().min(from + self.page);
        let numbered = all[from..to].iter().zip(cookie + 1..);
        let named = |((name, id), cookie): (&(String, u64), u64)| Named {
            name: filename3(Opaque::owned(name.clone().into_bytes())),
            id: *id,
            cookie,
        };
        Ok((numbered.map(named).collect(), to == all.len()))
    }

    fn readdir(&mut self, args: &READDIR3args) -> Result<Vec<u8>, nfsstat3> {
        let (page, eof) = self.page_of(&args.dir, args.cookie)?;
        let entries = page.into_iter().map(|Named { name, id, cookie }| entry3 { fileid: id, name, cookie });
        Ok(pack(&READDIR3resok {
            dir_attributes: Nfs3Option::None,
            cookieverf: cookieverf3::default(),
            reply: dirlist3 { entries: nfs3_types::xdr_codec::List(entries.collect()), eof },
        }))
    }

    fn readdirplus(&mut self, args: &READDIRPLUS3args) -> Result<Vec<u8>, nfsstat3> {
        let (page, eof) = self.page_of(&args.dir, args.cookie)?;
        let entries = page.into_iter().map(|Named { name, id, cookie }| entryplus3 {
            fileid: id,
            name,
            cookie,
            name_attributes: if self.bare_listings { Nfs3Option::None } else { self.post(id) },
            name_handle: Nfs3Option::None,
        });
        Ok(pack(&READDIRPLUS3resok {
            dir_attributes: Nfs3Option::None,
            cookieverf: cookieverf3::default(),
            reply: dirlistplus3 { entries: nfs3_types::xdr_codec::List(entries.collect()), eof },
        }))
    }
}

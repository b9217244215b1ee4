//! The codes of failures that this crate reports. They are stable: programs decide by them.
//!
//! A plugin's own codes (`qcow2.table`, `qemu.vm-gone`) are handed on as they are and are not
//! listed here. `docs/PLUGIN-AUTHOR.md` has the same table; a test compares the two.

use std::fmt;

use imprint_ports::{ErrorClass, Origin, PortError};

/// What the operator does about an answer that breaks the contract.
const REPLACE: &str = "installs another version of the plugin, and reports the fault to its author";
/// What the operator does about a refusal that the plugin's author has to avoid.
const REPORT: &str = "reports it to the plugin's author";

/// Defines [`Code`] and its table: variant, spelling, origin, class, meaning, the operator's
/// action.
macro_rules! codes {
    ($($variant:ident, $code:literal, $origin:ident, $class:ident, $meaning:literal, $operator:expr;)*) => {
        /// The code of a failure that the plugin runtime reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the spelling, such as `plugin.trap`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// Returns the party that failed.
            pub fn origin(self) -> Origin {
                match self {
                    $(Self::$variant => Origin::$origin,)*
                }
            }

            /// Returns the class, which decides what the caller does.
            pub fn class(self) -> ErrorClass {
                match self {
                    $(Self::$variant => ErrorClass::$class,)*
                }
            }

            /// Returns what happened, for the documentation.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }

            /// Returns what the operator does about it, for the documentation.
            pub fn operator_action(self) -> &'static str {
                match self {
                    $(Self::$variant => $operator,)*
                }
            }
        }
    };
}

codes! {
    NotFound, "plugin.not-found", Host, NotFound,
        "No loaded plugin provides this format, storage, hypervisor or inspector.",
        "installs a plugin that does, or corrects the name in the settings";
    Kind, "plugin.kind", Host, InvalidInput,
        "The plugin is of another kind than the one that is needed.",
        "corrects the name in the settings";
    Load, "plugin.load", Host, Internal,
        "The code of a plugin cannot be loaded.",
        "reads the log; installs Imprint again when the plugin is one of its own";
    GrantMissing, "plugin.grant-missing", Host, InvalidInput,
        "The plugin needs a directory that the settings do not name.",
        "names the directory in the settings";
    Endpoints, "plugin.endpoints", Host, InvalidInput,
        "The folder for sockets has no absolute path.",
        "corrects the folder in the settings";
    Path, "plugin.path", Host, InvalidInput,
        "A path that the plugin needs is not UTF-8.",
        "configures another folder";
    Busy, "plugin.busy", Host, Transient,
        "All instances of the plugin are busy.",
        "runs fewer tasks at once, when it happens often";
    InstanceClosed, "plugin.over", Host, Conflict,
        "The instance of the plugin has ended: an earlier call failed.",
        "looks for the earlier failure in the log";
    Handles, "plugin.handles", Host, LimitExceeded,
        "The plugin holds more resources of the host than one instance may.",
        REPLACE;
    Timeout, "plugin.timeout", Timeout, Transient,
        "A call took longer than `wall-per-call`.",
        "checks what the plugin waits for: the storage, the hypervisor, the machine's load";
    CpuLimit, "plugin.cpu-limit", Timeout, LimitExceeded,
        "A call used more processor time than `cpu-per-call`.",
        "checks whether the image is damaged; reports it to the plugin's author";
    MemoryLimit, "plugin.memory-limit", Trap, LimitExceeded,
        "The plugin needs more memory than it may use.",
        "checks whether the image is damaged; reports it to the plugin's author";
    BoundaryLimit, "plugin.boundary-limit", Trap, LimitExceeded,
        "A call returned more bytes than `boundary-bytes`.",
        REPLACE;
    MetadataLimit, "plugin.metadata-limit", Plugin, LimitExceeded,
        "The plugin read more of the image than `metadata-read`.",
        "checks whether the image is damaged; reports it to the plugin's author";
    Trap, "plugin.trap", Trap, Internal,
        "The plugin crashed in a call.",
        "finds what it printed in the log; installs another version of the plugin, and reports the fault to its author";
    Denied, "plugin.denied", Denied, Denied,
        "The plugin requested what it is not granted.",
        "reads the log; grants it if the plugin is trusted and the manifest allows it";
    GuardFired, "plugin.guard-fired", Plugin, Transient,
        "A guest was frozen or stopped for too long, and the host thawed or continued it.",
        "checks the load of the machine and the guest agent";
    Unsupported, "plugin.unsupported", Host, Unsupported,
        "The plugin returned a locator that this host does not support yet.",
        "upgrades Imprint, or installs an older version of the plugin";
    CaptureId, "capture.id", Host, InvalidInput,
        "The id of a capture is not 1 to 12 lower-case letters and digits.",
        "reports it to the authors of Imprint";
    SourceChanged, "conflict.source-changed", Host, Conflict,
        "An object was replaced while it was read.",
        "starts the task again when the object no longer changes";
    BadList, "plugin.bad-answer.list", BadAnswer, Internal,
        "A list is longer than was requested.", REPLACE;
    BadText, "plugin.bad-answer.text", BadAnswer, Internal,
        "A text is longer than it may be.", REPLACE;
    BadProps, "plugin.bad-answer.props", BadAnswer, Internal,
        "A property bag has too many or too long entries.", REPLACE;
    BadGuess, "plugin.bad-answer.guess", BadAnswer, Internal,
        "`probe` returned a confidence above 100, or a format that the manifest does not name.", REPLACE;
    BadInfo, "plugin.bad-answer.info", BadAnswer, Internal,
        "The size or the unit of a disk is impossible.", REPLACE;
    BadSources, "plugin.bad-answer.sources", BadAnswer, Internal,
        "The first source is not the primary one.", REPLACE;
    BadExtents, "plugin.bad-answer.extents", BadAnswer, Internal,
        "A page of extents has gaps, overlaps or no progress.", REPLACE;
    BadCheck, "plugin.bad-answer.check", BadAnswer, Internal,
        "A check makes no progress.", REPLACE;
    BadSeverity, "plugin.bad-answer.severity", BadAnswer, Internal,
        "A finding of a check has an unknown severity.", REPLACE;
    BadRules, "plugin.bad-answer.rules", BadAnswer, Internal,
        "The placement rules have a unit or an alignment of zero.", REPLACE;
    BadMetadata, "plugin.bad-answer.metadata", BadAnswer, Internal,
        "A page of tables is too long, makes no progress or lacks the file's length.", REPLACE;
    BadKey, "plugin.bad-answer.key", BadAnswer, Internal,
        "A storage returned another object than the requested one, or an invalid key.", REPLACE;
    BadListing, "plugin.bad-answer.listing", BadAnswer, Internal,
        "A listing is not in order, lacks the prefix or makes no progress.", REPLACE;
    BadSize, "plugin.bad-answer.size", BadAnswer, Internal,
        "A committed object has another size than what was written.", REPLACE;
    BadGrant, "plugin.bad-answer.grant", BadAnswer, Internal,
        "A locator names a directory that is not granted, or not for writing.", REPLACE;
    BadPath, "plugin.bad-answer.path", BadAnswer, Internal,
        "A locator has a path outside of its directory.", REPLACE;
    BadStream, "plugin.bad-answer.stream", BadAnswer, Internal,
        "A storage returned `guest-stream` and does not export `stream-io`.", REPLACE;
    BadLength, "plugin.bad-answer.length", BadAnswer, Internal,
        "A read of a stream returned another number of bytes than requested.", REPLACE;
    BadVm, "plugin.bad-answer.vm", BadAnswer, Internal,
        "A driver described another instance than the requested one.", REPLACE;
    BadLocator, "plugin.bad-answer.locator", BadAnswer, Internal,
        "A capture is not served by NBD.", REPLACE;
    BadEndpoint, "plugin.bad-answer.endpoint", BadAnswer, Internal,
        "A capture is served on an endpoint that the same call did not reserve.", REPLACE;
    BadConsistency, "plugin.bad-answer.consistency", BadAnswer, Internal,
        "A capture reached a lower consistency than the minimum.", REPLACE;
    BadProgram, "plugin.bad-answer.program", BadAnswer, Internal,
        "The program of a launch is not a plain name.", REPLACE;
    BadArguments, "plugin.bad-answer.arguments", BadAnswer, Internal,
        "An argument of a launch contains a zero byte.", REPLACE;
    BlobRead, "blob.read", Plugin, LimitExceeded,
        "The plugin requested a read that is longer than it may be.", REPORT;
    BlobPlaces, "blob.places", Plugin, InvalidInput,
        "The plugin requested a read at places that are not numbers.", REPORT;
    BlobTruncated, "blob.truncated", Plugin, Corrupt,
        "A file became shorter while it was read.",
        "checks what writes to the file";
    BlobIo, "blob.io", Plugin, Transient,
        "Reading a file failed.",
        "checks the storage and the log";
    DirsNotFound, "dirs.not-found", Plugin, NotFound,
        "A file or folder does not exist.",
        "checks the storage's folder";
    DirsExists, "dirs.exists", Plugin, AlreadyExists,
        "A name is taken.",
        "checks the storage's folder";
    DirsIsDirectory, "dirs.is-directory", Plugin, Conflict,
        "A directory is where a file was expected.",
        "checks the storage's folder";
    DirsNotEmpty, "dirs.not-empty", Plugin, Conflict,
        "A directory that is to be removed holds names.",
        "checks the storage's folder";
    DirsName, "dirs.name", Plugin, InvalidInput,
        "A name is longer than the file system holds, or not one that it can hold.",
        REPORT;
    DirsIo, "dirs.io", Plugin, Transient,
        "An operation in a granted directory failed.",
        "checks the storage and the log";
    NoSpace, "storage.no-space", Plugin, LimitExceeded,
        "The file system of the storage is full.",
        "makes room";
    ReadOnly, "storage.read-only", Plugin, Conflict,
        "The file system of the storage is mounted read-only.",
        "checks its disk, and mounts it read-write";
    FilesLength, "files.length", Plugin, LimitExceeded,
        "The plugin requested more than 1 MiB in one call.", REPORT;
    FilesOffset, "files.offset", Plugin, InvalidInput,
        "The plugin requested an offset beyond the end of any file.", REPORT;
    NetAddress, "net.address", Plugin, Denied,
        "A plugin wanted to reach a server that its manifest and the settings do not name.",
        "corrects the address in the storage's settings";
    NetPrivate, "net.private-network", Plugin, Denied,
        "The address of a server is in a private network, which the storage's settings do not permit.",
        "permits private networks in the storage's settings, if the server is meant to be there";
    NetReservedPort, "net.reserved-port", Plugin, Denied,
        "The agent cannot connect from a port below 1024, as the storage's settings ask for.",
        "runs the agent as root or with CAP_NET_BIND_SERVICE, or has the server accept other ports";
    NetSetting, "net.setting", Plugin, InvalidInput,
        "An address or a certificate in the storage's settings cannot be used.",
        "corrects the setting";
    NetConnect, "net.connect", Plugin, Transient,
        "A server cannot be reached.",
        "checks the address, the network and that the server runs";
    NetCertificate, "net.certificate", Plugin, Denied,
        "The certificate of a server is not accepted.",
        "gives the certificate of its authority in the storage's settings, or has the server's one mended";
    SecretMissing, "secret.missing", Plugin, InvalidInput,
        "A secret that the storage needs is not set.",
        "sets it in the storage's settings";
    HttpRequest, "http.request", Plugin, InvalidInput,
        "The plugin described a request that cannot be sent.", REPORT;
    HttpAnswer, "http.answer", Plugin, LimitExceeded,
        "The answer of a server is longer than the plugin accepts.",
        "checks that the address is that of the right service";
    HttpProtocol, "http.protocol", Plugin, Corrupt,
        "The answer of a server contradicts the request or itself.",
        "checks that the address is that of the right service, and what is in between";
    HttpCredential, "http.credential", Plugin, InvalidInput,
        "The answer to a sign-in has no credential.",
        "checks that the address is that of the service";
    TcpLength, "tcp.length", Plugin, LimitExceeded,
        "The plugin wanted to send or receive more than 2 MiB in one call.", REPORT;
    TcpLimit, "tcp.limit", Plugin, LimitExceeded,
        "The plugin has 32 connections open.", REPORT;
    TcpBroken, "tcp.broken", Plugin, Transient,
        "A connection to a server broke.",
        "checks the network and that the server runs";
    UploadStatus, "upload.status", Plugin, Transient,
        "A server refused a part of an upload, and the plugin does not say why.",
        "reads the log and checks the server";
    BadFindings, "plugin.bad-answer.findings", BadAnswer, Internal,
        "An inspector reported a file system behind the end of the disk.", REPLACE;
    BadParts, "plugin.bad-answer.parts", BadAnswer, Internal,
        "The description of the parts of an upload is impossible.", REPLACE;
    JournalNote, "journal.note", Plugin, LimitExceeded,
        "A note is longer than 64 KiB.", REPORT;
    JournalFull, "journal.full", Plugin, LimitExceeded,
        "A journal has its 1000 notes.", REPORT;
    JournalIo, "journal.io", Plugin, Transient,
        "The journal cannot be written.",
        "checks the disk with the agent's state folder";
    ChannelUnreachable, "channel.unreachable", Plugin, Transient,
        "A socket of the hypervisor or the guest agent cannot be opened.",
        "checks that the instance runs and that no other client holds the socket";
    ChannelClosed, "channel.closed", Plugin, Transient,
        "The peer of a channel closed the connection or does not accept messages.",
        "checks that the instance runs";
    ChannelGuardFired, "channel.guard-fired", Plugin, Conflict,
        "A command was refused because a guard of the channel had fired.",
        "checks the load of the machine and the guest agent";
    ChannelLimit, "channel.limit", Plugin, LimitExceeded,
        "The plugin has 8 channels open.", REPORT;
    ChannelEndpoints, "channel.endpoints", Plugin, LimitExceeded,
        "The plugin has reserved 4 endpoints.", REPORT;
    ChannelEndpointPath, "channel.endpoint-path", Plugin, LimitExceeded,
        "The path of a socket is longer than 107 bytes.",
        "configures a shorter run folder";
    ChannelMessage, "channel.message", Plugin, LimitExceeded,
        "A message is longer than 4 MiB.", REPORT;
    ChannelPending, "channel.pending", Plugin, LimitExceeded,
        "256 commands are waiting for their answers.",
        "checks that the instance's monitor answers";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Code {
    /// Returns an error with this code. `message` is for the operator: what is wrong and what to
    /// do.
    pub(crate) fn error(self, message: impl fmt::Display) -> PortError {
        PortError {
            origin: self.origin(),
            class: self.class(),
            code: self.as_str().to_owned(),
            message: message.to_string(),
            retry_after_ms: None,
        }
    }
}

//! The closed vocabularies of the wire. Each is the twin of an enum of the domain; the compiler
//! keeps them equal.

use imprint_agent_protocol as agent_protocol;
use imprint_domain as domain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $twin:path { $($(#[$variant_doc:meta])* $variant:ident = $text:tt,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// As it is sent.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl From<$twin> for $name {
            fn from(twin: $twin) -> Self {
                match twin { $(<$twin>::$variant => Self::$variant,)* }
            }
        }

        impl From<$name> for $twin {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("expected one of: {}", [$($text),*].join(", "))),
                }
            }
        }
    )*};
}

words! {
    /// What an account may do.
    Role = domain::account::Role {
        /// Runs the provider's side.
        Admin = "admin",
        /// Owns instances and images.
        Customer = "customer",
    }

    /// What a token may do.
    Scope = domain::account::Scope {
        /// Read images, instances and tasks.
        ImagesRead = "images:read",
        /// Capture, deploy, rename and delete.
        ImagesWrite = "images:write",
        /// Everything under `/admin`; tokens of admins only.
        Admin = "admin",
        /// The agents' endpoints; tokens of hypervisors only.
        Agent = "agent",
    }

    /// How an image came to be.
    ImageKind = domain::image::ImageKind {
        /// Captured from an instance.
        Custom = "custom",
        /// Provided by the operator.
        Stock = "stock",
    }

    /// Where an image is in its life. There is no fifth status; details are in its task.
    ImageStatus = domain::image::ImageStatus {
        /// It is being generated.
        Creating = "creating",
        /// It can be deployed.
        Available = "available",
        /// It could not be created; its task says why.
        Error = "error",
        /// It is being removed.
        Deleting = "deleting",
    }

    /// How consistent a captured disk is, weakest first.
    Consistency = domain::consistency::Consistency {
        /// As after a power cut.
        Crash = "crash",
        /// File systems were frozen.
        Filesystem = "filesystem",
        /// Frozen, and the guest's own hooks ran.
        Application = "application",
        /// The guest was off.
        Stopped = "stopped",
    }

    /// How the bytes of an image are encoded.
    Compression = agent_protocol::Compression {
        /// Not at all.
        None = "none",
        /// Deflate.
        Zlib = "zlib",
        /// Zstandard.
        Zstd = "zstd",
    }

    /// Where an instance is in its life.
    InstanceStatus = domain::instance::InstanceStatus {
        /// Its disk is being written.
        Deploying = "deploying",
        /// It exists; `power` says whether it runs.
        Ready = "ready",
        /// It could not be deployed.
        Error = "error",
        /// It is being removed.
        Deleting = "deleting",
    }

    /// Whether an instance runs.
    Power = domain::instance::Power {
        /// It runs.
        Running = "running",
        /// Its processors are halted.
        Paused = "paused",
        /// It is off.
        Off = "off",
        /// Its hypervisor has not told yet.
        Unknown = "unknown",
    }

    /// Where the primary disk of an instance comes from.
    BootSource = domain::instance::BootSource {
        /// A disk of its own.
        Disk = "disk",
        /// A volume of a block storage.
        Volume = "volume",
    }

    /// What a task does.
    TaskKind = domain::task::TaskKind {
        /// Captures the primary disk of an instance.
        ImageCapture = "image.capture",
        /// Takes a stock image into service.
        ImageAdopt = "image.adopt",
        /// Removes an image.
        ImageDelete = "image.delete",
        /// Makes an instance from an image.
        InstanceDeploy = "instance.deploy",
        /// Starts an instance.
        InstanceStart = "instance.start",
        /// Stops an instance.
        InstanceStop = "instance.stop",
        /// Merges the chain of layers behind an instance's disk into one file.
        InstanceCoalesce = "instance.coalesce",
        /// Removes an instance.
        InstanceDelete = "instance.delete",
    }

    /// Where a task is.
    TaskState = domain::task::TaskState {
        /// Waits for its turn.
        Queued = "queued",
        /// Is being worked on.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Ended without success.
        Failed = "failed",
        /// Ended because somebody asked.
        Cancelled = "cancelled",
    }

    /// What a task is doing.
    Phase = domain::task::Phase {
        /// Not begun.
        Queued = "queued",
        /// Checks before the work.
        Preparing = "preparing",
        /// Merges the chain of layers behind the disk into one file.
        Coalesce = "coalesce",
        /// Takes the point in time.
        Snapshotting = "snapshotting",
        /// Bytes move.
        Copying = "copying",
        /// Makes the result durable and visible, and cleans up.
        Finalizing = "finalizing",
        /// The instance starts, or its power changes.
        Starting = "starting",
        /// Files are removed.
        Removing = "removing",
        /// Over.
        Done = "done",
    }

    /// What an image storage is for.
    StorageRole = domain::storage::StorageRole {
        /// Images of customers.
        Customer = "customer",
        /// The operator's stock images.
        Stock = "stock",
        /// ISO files.
        Iso = "iso",
    }

    /// What an event is about.
    EventKind = domain::event::EventKind {
        /// An image came to be or changed.
        ImageChanged = "image.changed",
        /// An image is gone.
        ImageDeleted = "image.deleted",
        /// An instance came to be or changed.
        InstanceChanged = "instance.changed",
        /// An instance is gone.
        InstanceDeleted = "instance.deleted",
        /// A task came to be, moved on, or ended.
        TaskChanged = "task.changed",
    }
}

#[cfg(test)]
mod tests {
    use imprint_domain::{consistency, event, image, instance, task};

    use super::{Consistency, EventKind, ImageStatus, InstanceStatus, Phase, TaskKind, TaskState};

    #[test]
    fn the_wire_uses_the_words_of_the_domain() {
        assert_eq!(ImageStatus::Creating.as_str(), image::ImageStatus::Creating.as_str());
        assert_eq!(InstanceStatus::Deploying.as_str(), instance::InstanceStatus::Deploying.as_str());
        assert_eq!(TaskState::Cancelled.as_str(), task::TaskState::Cancelled.as_str());
        assert_eq!(TaskKind::InstanceDeploy.as_str(), task::TaskKind::InstanceDeploy.as_str());
        assert_eq!(Phase::Snapshotting.as_str(), task::Phase::Snapshotting.as_str());
        assert_eq!(EventKind::ImageDeleted.as_str(), event::EventKind::ImageDeleted.as_str());
        assert_eq!(Consistency::Filesystem.as_str(), consistency::Consistency::Filesystem.as_str());
    }
}

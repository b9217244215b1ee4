//! One description of each kind of task.

use super::TaskKind;
use crate::instance::Power;

/// The deadline of tasks that copy bytes, in seconds.
const COPY_DEADLINE_S: i64 = 24 * 3600;
/// The deadline of imports, in seconds: a week, as an upload may be paused.
const IMPORT_DEADLINE_S: i64 = 7 * 24 * 3600;
/// How long a task may wait for its turn whose time starts with its work, in seconds: 30 days.
const QUEUE_DEADLINE_S: i64 = 30 * 24 * 3600;
/// The deadline of the others, in seconds.
const SHORT_DEADLINE_S: i64 = 15 * 60;

/// What is special about a kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// How long a task may take before a reconciler fails it, in seconds.
    pub deadline_s: i64,
    /// Whether the time that a task may take starts with its work: then `deadline_s` is how long it
    /// may wait for that, and a setting says how long the work may take (S29).
    pub clock_starts_with_work: bool,
    /// Whether a task needs its instance for itself.
    pub exclusive: bool,
    /// Whether a task can be cancelled.
    pub cancellable: bool,
    /// Whether a failed task is retried by a reconciler until it succeeds.
    pub repeat_until_done: bool,
    /// Whether a task counts against the hypervisor's limit of captures (S28).
    pub counts_as_capture: bool,
    /// Whether a task serves the operator and keeps no image from being changed or deleted.
    pub background: bool,
    /// What an agent reports when a task succeeded.
    pub result: TaskResult,
    /// What success means for the image or the instance.
    pub on_success: OnSuccess,
    /// What a final failure or cancellation means for the image or the instance.
    pub on_failure: OnFailure,
}

/// What an agent reports when a task succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskResult {
    /// The captured image.
    CapturedImage,
    /// The imported image, and what was found out about its file.
    ImportedImage,
    /// The digests and sizes of a stock image.
    RegisteredImage,
    /// The size, the digest and the label of an ISO.
    RegisteredIso,
    /// The deployed instance.
    DeployedInstance,
    /// What a connection test of a storage found.
    TestedStorage,
    /// The size and the digest of the copy of an image's file.
    MovedImage,
    /// The size and the digests of an export.
    ExportedImage,
    /// What a scan of a storage found.
    ScannedStorage,
    /// Nothing but the success.
    Nothing,
}

/// What success means for the image or the instance, beyond the reported result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSuccess {
    /// Nothing.
    Nothing,
    /// The image's row is removed.
    RemoveImage,
    /// The instance's row is removed.
    RemoveInstance,
    /// The instance has that power state.
    SetPower(Power),
}

/// What a final failure or cancellation means for the image or the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing.
    Nothing,
    /// The image is in error.
    FailImage,
    /// The image is in error, if its file is gone or damaged.
    LoseImage,
    /// The ISO is in error.
    FailIso,
    /// The export is in error.
    FailExport,
    /// The image is still there: it could not be removed.
    KeepImage,
    /// The instance is in error.
    FailInstance,
}

/// A short operation on an instance; the others say how they differ.
const POWER: TaskSpec = TaskSpec {
    deadline_s: SHORT_DEADLINE_S,
    clock_starts_with_work: false,
    exclusive: true,
    cancellable: true,
    repeat_until_done: false,
    counts_as_capture: false,
    background: false,
    result: TaskResult::Nothing,
    on_success: OnSuccess::Nothing,
    on_failure: OnFailure::Nothing,
};

/// Work that copies or reads bytes, and needs no instance.
const COPY: TaskSpec = TaskSpec { deadline_s: COPY_DEADLINE_S, exclusive: false, ..POWER };

/// Work on storages, beside what customers do.
const BACKGROUND: TaskSpec = TaskSpec { background: true, ..COPY };

impl TaskKind {
    /// Returns whether the task writes a disk from an image.
    pub const fn deploys_image(self) -> bool {
        matches!(self, Self::InstanceDeploy | Self::InstanceReinstall)
    }

    /// Returns the description of this kind of task.
    pub const fn spec(self) -> TaskSpec {
        match self {
            Self::ImageCapture => TaskSpec {
                deadline_s: QUEUE_DEADLINE_S,
                clock_starts_with_work: true,
                counts_as_capture: true,
                result: TaskResult::CapturedImage,
                on_failure: OnFailure::FailImage,
                ..POWER
            },
            Self::ImageRegister => {
                TaskSpec { result: TaskResult::RegisteredImage, on_failure: OnFailure::FailImage, ..COPY }
            }
            Self::ImageImport => TaskSpec {
                deadline_s: IMPORT_DEADLINE_S,
                result: TaskResult::ImportedImage,
                on_failure: OnFailure::FailImage,
                ..COPY
            },
            Self::ImageDelete => TaskSpec {
                exclusive: false,
                cancellable: false,
                repeat_until_done: true,
                on_success: OnSuccess::RemoveImage,
                on_failure: OnFailure::KeepImage,
                ..POWER
            },
            Self::ImageMove => TaskSpec { result: TaskResult::MovedImage, ..BACKGROUND },
            // Its owner waits for it: unlike a move it keeps the image from being deleted.
            Self::ImageExport => {
                TaskSpec { result: TaskResult::ExportedImage, on_failure: OnFailure::FailExport, ..COPY }
            }
            Self::ObjectDelete => TaskSpec {
                exclusive: false,
                cancellable: false,
                repeat_until_done: true,
                background: true,
                ..POWER
            },
            Self::InstanceDeploy => TaskSpec {
                deadline_s: COPY_DEADLINE_S,
                result: TaskResult::DeployedInstance,
                on_failure: OnFailure::FailInstance,
                ..POWER
            },
            // Until the new disk is complete the old one is as it was.
            Self::InstanceReinstall => {
                TaskSpec { deadline_s: COPY_DEADLINE_S, result: TaskResult::DeployedInstance, ..POWER }
            }
            Self::InstanceStart => TaskSpec { on_success: OnSuccess::SetPower(Power::Running), ..POWER },
            Self::InstanceStop => TaskSpec { on_success: OnSuccess::SetPower(Power::Off), ..POWER },
            Self::InstanceCoalesce => TaskSpec { deadline_s: COPY_DEADLINE_S, ..POWER },
            // A copy of the ISO may come first.
            Self::InstanceMountIso => TaskSpec { deadline_s: COPY_DEADLINE_S, ..POWER },
            Self::InstanceEjectIso | Self::InstanceAttachDisk | Self::InstanceDetachDisk => POWER,
            Self::IsoRegister => {
                TaskSpec { result: TaskResult::RegisteredIso, on_failure: OnFailure::FailIso, ..COPY }
            }
            Self::InstanceDelete => TaskSpec {
                cancellable: false,
                repeat_until_done: true,
                on_success: OnSuccess::RemoveInstance,
                ..POWER
            },
            Self::StorageScan => TaskSpec { result: TaskResult::ScannedStorage, ..BACKGROUND },
            Self::StorageClean => BACKGROUND,
            Self::ImageVerify => TaskSpec {
                result: TaskResult::RegisteredImage,
                on_failure: OnFailure::LoseImage,
                ..BACKGROUND
            },
            Self::StorageTest => TaskSpec { exclusive: false, result: TaskResult::TestedStorage, ..POWER },
        }
    }
}

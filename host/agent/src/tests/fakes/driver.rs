//! A driver with processes that do nothing as instances; `qemu-nbd` serves its captures.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use imprint_ports::{
    CaptureOutcome, CapturePlan, CaptureRequest, CaptureStatus, Consistency, DiskSpec, Driver, ErrorClass,
    JournalNote, Launch, NbdSource, PortError, Power, PowerAction, Props, QuiesceReport, Reclaiming,
    Recovered, SharedJournal, StartedCapture, Vm, VmSpec,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use super::SOON;
use crate::machine::process::Process;

/// How the driver behaves.
#[derive(Clone, Debug)]
pub(in crate::tests) struct Behaviour {
    pub(in crate::tests) level: Consistency,
    pub(in crate::tests) expected: Consistency,
    /// Hangs in `begin_capture` behind this note.
    pub(in crate::tests) hang_behind: Option<&'static str>,
    pub(in crate::tests) panic_in_plan: bool,
    /// How often the guest says that it still gives back space.
    pub(in crate::tests) reclaims_for: u32,
    pub(in crate::tests) broken: Option<String>,
    pub(in crate::tests) refuse_recovery: bool,
    pub(in crate::tests) refuse_devices: bool,
    pub(in crate::tests) ignore_shutdown: bool,
    pub(in crate::tests) program: String,
}

/// The driver.
pub(in crate::tests) struct FakeDriver {
    pub(in crate::tests) behaviour: Mutex<Behaviour>,
    calls: watch::Sender<Vec<String>>,
    folder: PathBuf,
    disk: Mutex<PathBuf>,
    server: tokio::sync::Mutex<Option<Child>>,
    pids: Mutex<BTreeMap<String, PathBuf>>,
}

impl FakeDriver {
    pub(in crate::tests) fn new(folder: PathBuf) -> Self {
        let behaviour = Behaviour {
            level: Consistency::Filesystem,
            expected: Consistency::Filesystem,
            hang_behind: None,
            panic_in_plan: false,
            reclaims_for: 0,
            broken: None,
            refuse_recovery: false,
            refuse_devices: false,
            ignore_shutdown: false,
            program: "guest".to_owned(),
        };
        Self {
            behaviour: Mutex::new(behaviour),
            calls: watch::Sender::default(),
            folder,
            disk: Mutex::default(),
            server: tokio::sync::Mutex::default(),
            pids: Mutex::default(),
        }
    }

    fn reclaiming(&self) -> Reclaiming {
        let mut behaviour = self.behaviour.lock().unwrap();
        match behaviour.reclaims_for.checked_sub(1) {
            Some(left) => {
                behaviour.reclaims_for = left;
                Reclaiming::Running
            }
            None => Reclaiming::Ended,
        }
    }

    fn call(&self, text: impl Into<String>) {
        self.calls.send_modify(|calls| calls.push(text.into()));
    }

    pub(in crate::tests) fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    pub(in crate::tests) fn serves(&self, disk: PathBuf) {
        *self.disk.lock().unwrap() = disk;
    }

    async fn serve(&self, socket: &Path) {
        let disk = self.disk.lock().unwrap().clone();
        let child = Command::new("qemu-nbd")
            .args([
                "--read-only",
                "--persistent",
                "--shared=8",
                "--format=raw",
                "--export-name=disk",
                "--socket",
            ])
            .arg(socket)
            .arg(&disk)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("install qemu-utils");
        *self.server.lock().await = Some(child);
        let connect = async {
            while tokio::net::UnixStream::connect(socket).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, connect).await.expect("qemu-nbd listens in time");
    }

    async fn take_down(&self) {
        if let Some(mut child) = self.server.lock().await.take() {
            child.kill().await.unwrap();
        }
    }
}

fn note(journal: &SharedJournal, step: &str) {
    journal.record(&JournalNote { step: step.to_owned(), data: Props::new() }).unwrap();
}

#[async_trait]
impl Driver for FakeDriver {
    async fn requirements(&self) -> Result<Vec<(String, String)>, PortError> {
        Ok(Vec::new())
    }

    async fn describe(&self, vm_id: &str) -> Result<Vm, PortError> {
        Ok(Vm {
            id: vm_id.to_owned(),
            power: Power::Running,
            hypervisor_version: "1".to_owned(),
            guest_agent: None,
            disks: Vec::new(),
            facts: Props::new(),
        })
    }

    async fn plan_capture(&self, _request: &CaptureRequest) -> Result<CapturePlan, PortError> {
        let behaviour = self.behaviour.lock().unwrap().clone();
        assert!(!behaviour.panic_in_plan, "asked to panic");
        let virtual_size = fs::metadata(&*self.disk.lock().unwrap()).unwrap().len();
        Ok(CapturePlan {
            method: "fake".to_owned(),
            expected: behaviour.expected,
            virtual_size,
            remarks: vec!["no guest agent".to_owned()],
        })
    }

    async fn begin_capture(
        &self,
        request: &CaptureRequest,
        journal: &SharedJournal,
    ) -> Result<StartedCapture, PortError> {
        self.call("begin");
        let behaviour = self.behaviour.lock().unwrap().clone();
        assert!(request.scratch_path.exists(), "the scratch file is there before the capture begins");
        for step in ["adding-scratch", "freezing", "stopping", "resumed", "thawed", "exporting"] {
            note(journal, step);
            if behaviour.hang_behind == Some(step) {
                self.call("hangs");
                std::future::pending::<()>().await;
            }
        }
        let socket = self.folder.join(format!("{}.sock", request.capture_id));
        self.serve(&socket).await;
        let virtual_size = fs::metadata(&*self.disk.lock().unwrap()).unwrap().len();
        Ok(StartedCapture {
            source: NbdSource {
                socket,
                export: "disk".to_owned(),
                meta_contexts: vec!["base:allocation".to_owned()],
                max_connections: 2,
            },
            content: "raw".to_owned(),
            virtual_size,
            quiesce: QuiesceReport {
                level: behaviour.level,
                frozen_filesystems: 1,
                freeze_ms: 10,
                frozen_total_ms: 20,
                vm_stopped_ms: 3,
                downgrade_reason: (behaviour.level == Consistency::Crash)
                    .then(|| "no guest agent".to_owned()),
            },
            method: "fake".to_owned(),
        })
    }

    async fn capture_status(&self, _vm_id: &str, _capture_id: &str) -> Result<CaptureStatus, PortError> {
        self.call("status");
        let broken = self.behaviour.lock().unwrap().broken.clone();
        Ok(CaptureStatus { power: Power::Running, scratch_used: 0, broken })
    }

    async fn end_capture(
        &self,
        _vm_id: &str,
        _capture_id: &str,
        outcome: CaptureOutcome,
        journal: &SharedJournal,
    ) -> Result<(), PortError> {
        note(journal, "ending");
        self.take_down().await;
        self.call(format!("end {outcome:?}"));
        Ok(())
    }

    async fn recover(
        &self,
        _vm_id: &str,
        _capture_id: &str,
        journal: &SharedJournal,
    ) -> Result<Recovered, PortError> {
        let refuse = self.behaviour.lock().unwrap().refuse_recovery;
        let steps: Vec<_> = journal.notes().into_iter().map(|note| note.step).collect();
        self.take_down().await;
        self.call(format!("recover {}", steps.join(" ")));
        if refuse {
            return Err(PortError::host(ErrorClass::Transient, "fake.busy", "the monitor is busy"));
        }
        Ok(Recovered { power: Power::Running, actions: Vec::new() })
    }

    async fn define(&self, spec: &VmSpec) -> Result<Launch, PortError> {
        self.pids.lock().unwrap().insert(spec.id.clone(), PathBuf::from(&spec.paths["pidfile"]));
        Ok(Launch {
            program: self.behaviour.lock().unwrap().program.clone(),
            arguments: vec!["-n0".to_owned(), "-f".to_owned(), spec.disks[0].path.display().to_string()],
            environment: Props::new(),
        })
    }

    async fn set_power(&self, vm_id: &str, action: PowerAction) -> Result<Power, PortError> {
        self.call(format!("{action:?}"));
        let ignored =
            matches!(action, PowerAction::Shutdown) && self.behaviour.lock().unwrap().ignore_shutdown;
        if !ignored {
            let pid_file = self.pids.lock().unwrap()[vm_id].clone();
            let dir = pid_file.parent().unwrap();
            let process = Process::find(&dir.join("process.json"), &pid_file, vm_id);
            process.unwrap().signal(rustix::process::Signal::TERM).unwrap();
        }
        Ok(Power::Running)
    }

    async fn start_reclaim(&self, _vm_id: &str) -> Result<Reclaiming, PortError> {
        self.call("reclaim");
        Ok(self.reclaiming())
    }

    async fn reclaim_status(&self, _vm_id: &str) -> Result<Reclaiming, PortError> {
        self.call("reclaiming");
        Ok(self.reclaiming())
    }

    fn changes_devices(&self) -> bool {
        true
    }

    async fn change_medium(&self, _vm_id: &str, medium: Option<&DiskSpec>) -> Result<(), PortError> {
        let name = medium.and_then(|medium| medium.path.file_name());
        self.call(format!("medium {}", name.map_or("none".into(), |name| name.to_string_lossy())));
        Ok(())
    }

    async fn attach_disk(&self, _vm_id: &str, disk: &DiskSpec) -> Result<(), PortError> {
        assert!(disk.path.exists(), "the host makes the file first");
        self.call(format!("attach {}", disk.serial));
        let refuse = self.behaviour.lock().unwrap().refuse_devices;
        if refuse {
            return Err(PortError::host(ErrorClass::Conflict, "fake.no-room", "there is no room"));
        }
        Ok(())
    }

    async fn detach_disk(&self, _vm_id: &str, serial: &str) -> Result<(), PortError> {
        self.call(format!("detach {serial}"));
        Ok(())
    }
}

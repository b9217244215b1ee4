//! Tests: against a model that fails in every way, and against a real QEMU.

mod capture;
mod crash;
mod devices;
mod launch;
mod model;
mod real;
mod reclaim;

use imprint_plugin_sdk::hypervisor::{CaptureRequest, Consistency};

fn request(want: Consistency, minimum: Consistency) -> CaptureRequest {
    CaptureRequest {
        vm_id: model::VM.to_owned(),
        capture_id: "c1".to_owned(),
        want,
        minimum,
        scratch_path: "/scratch/c1.qcow2".to_owned(),
        scratch_limit: 1 << 30,
        freeze_limit_ms: 2_000,
    }
}

//! Conversions of the service's views to wire types.

mod catalogue;
mod event;
mod export;
mod iso;
mod place;
mod saved;
mod usage;
mod webhook;

use imprint_domain::{
    Error, estimate::CaptureEstimate, size::ByteSize, storage_test as domain, windows as domain_windows,
};
use imprint_service as service;

use super::import::ImageImport;
use super::{
    account, image, instance, page, secret, storage, storage_kind, storage_scan, storage_test, task,
};

impl<T, V> From<service::Page<V>> for page::Page<T>
where
    T: utoipa::ToSchema + From<V>,
{
    fn from(view: service::Page<V>) -> Self {
        Self { items: view.items.into_iter().map(T::from).collect(), next_page_token: view.next_page_token }
    }
}

impl From<service::AccountView> for account::Account {
    fn from(view: service::AccountView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            role: view.role,
            image_limit: view.image_limit,
            image_bytes_limit: view.image_bytes_limit.map(ByteSize::bytes),
            images_used: view.images_used,
            image_bytes_used: view.image_bytes_used.bytes(),
            created_at: view.created_at,
        }
    }
}

impl From<service::TokenView> for account::Token {
    fn from(view: service::TokenView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            scopes: view.scopes.into_iter().collect(),
            created_at: view.created_at,
            expires_at: view.expires_at,
        }
    }
}

impl From<service::TokenCreated> for account::TokenCreated {
    fn from(created: service::TokenCreated) -> Self {
        let token = account::Token::from(created.view);
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            token: created.token,
            created_at: token.created_at,
            expires_at: token.expires_at,
        }
    }
}

impl From<service::StorageView> for storage::ImageStorage {
    fn from(view: service::StorageView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            role: view.role,
            kind: view.kind.to_string(),
            settings: view.settings,
            state: view.state,
            weight: view.weight,
            shared_path: view.shared_path,
            min_free_bytes: view.min_free_bytes.map(ByteSize::bytes),
            drain_to: view.drain_to,
            health: view.health,
            problem: view.problem,
            available_bytes: view.available_bytes.map(ByteSize::bytes),
            total_bytes: view.total_bytes.map(ByteSize::bytes),
            reserved_bytes: view.reserved_bytes.bytes(),
            seen_at: view.seen_at,
            hypervisor_ids: view.bindings.iter().map(|binding| binding.hypervisor_id).collect(),
            secrets: view.secrets.into_iter().map(Into::into).collect(),
            bindings: view.bindings.into_iter().map(Into::into).collect(),
            images: view.images.into_iter().map(Into::into).collect(),
            created_at: view.created_at,
            version: view.version,
        }
    }
}

impl From<service::StorageBindingView> for storage::StorageBinding {
    fn from(view: service::StorageBindingView) -> Self {
        Self {
            hypervisor_id: view.hypervisor_id,
            health: view.health,
            problem: view.problem,
            available_bytes: view.available_bytes.map(ByteSize::bytes),
            total_bytes: view.total_bytes.map(ByteSize::bytes),
            seen_at: view.seen_at,
        }
    }
}

impl From<service::StorageSecretView> for secret::StorageSecret {
    fn from(view: service::StorageSecretView) -> Self {
        Self { name: view.name, changed_at: view.changed_at }
    }
}

impl From<service::StorageKindView> for storage_kind::StorageKind {
    fn from(view: service::StorageKindView) -> Self {
        let on = |on: service::KindOnHypervisor| storage_kind::StorageKindHypervisor {
            hypervisor_id: on.hypervisor_id,
            plugin: on.plugin,
            version: on.version,
        };
        Self {
            kind: view.kind.to_string(),
            plugin: view.plugin,
            version: view.version,
            summary: view.summary,
            schema: view.schema,
            hypervisors: view.hypervisors.into_iter().map(on).collect(),
            conflict: view.conflict,
        }
    }
}

impl From<service::StorageImagesView> for storage::StorageImages {
    fn from(view: service::StorageImagesView) -> Self {
        Self { status: view.status, count: view.count, bytes: view.bytes.bytes() }
    }
}

impl From<service::ImageView> for image::Image {
    fn from(view: service::ImageView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            description: view.description,
            tags: view.tags.iter().map(ToString::to_string).collect(),
            metadata: view.metadata.to_texts(),
            os_type: view.guest.os_type,
            cloud_init: view.guest.cloud_init,
            catalogue: view.catalogue.map(Into::into),
            protected: view.protected,
            kind: view.kind,
            status: view.status,
            status_text: view.status_text,
            removal_failed: view.removal_failed,
            location_id: view.location_id,
            source_instance: view
                .source_instance
                .map(|source| image::SourceInstance { id: source.id, name: source.name }),
            size_bytes: view.size_bytes.map(ByteSize::bytes),
            virtual_size_bytes: view.virtual_size_bytes.map(ByteSize::bytes),
            format: view.format.map(|format| format.to_string()),
            consistency: view.consistency,
            capture: view.capture.map(Into::into),
            logical_digest: view.logical_digest.map(Into::into),
            stored_digest: view.stored_digest.map(Into::into),
            task_id: view.task_id,
            created_at: view.created_at,
            available_at: view.available_at,
            version: view.version,
            storage: view.storage.map(|place| image::ImagePlace { id: place.id, key: place.key }),
            shared: view.shared.map(|shared| image::ImageShared {
                share_id: shared.share_id,
                owner: shared.owner.to_string(),
                expires_at: shared.expires_at,
            }),
            import: view.import.map(|import| ImageImport {
                source: import.source,
                origin: import.origin,
                announced_bytes: import.announced.map(ByteSize::bytes),
                file_bytes: import.file.map(|file| file.size.bytes()),
                format: import.file.map(|file| file.format.to_string()),
                packing: import.file.and_then(|file| file.packing),
            }),
        }
    }
}

impl From<CaptureEstimate> for image::CaptureEstimate {
    fn from(estimate: CaptureEstimate) -> Self {
        Self {
            content_bytes: estimate.content.bytes(),
            size_bytes: estimate.size.bytes(),
            seconds: estimate.seconds,
            basis: estimate.basis,
            captures: estimate.captures,
            notices: Vec::new(),
        }
    }
}

impl From<service::CaptureView> for image::ImageCapture {
    fn from(view: service::CaptureView) -> Self {
        Self {
            downgraded_because: view.downgraded_because,
            frozen_ms: view.frozen_ms,
            stopped_ms: view.stopped_ms,
            method: view.method,
            estimated_bytes: view.estimated_bytes.map(ByteSize::bytes),
            estimated_s: view.estimated_s,
            took_ms: view.took_ms,
        }
    }
}

impl From<service::ImageTask> for image::ImageAndTask {
    fn from(view: service::ImageTask) -> Self {
        Self {
            image: view.image.into(),
            task: view.task.into(),
            notices: view.notices.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<domain_windows::CaptureNotice> for image::CaptureNotice {
    fn from(notice: domain_windows::CaptureNotice) -> Self {
        Self { code: notice.code, text: notice.text }
    }
}

impl From<service::InstanceView> for instance::Instance {
    fn from(view: service::InstanceView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            status: view.status,
            power: view.power,
            location_id: view.location_id,
            hypervisor_id: view.hypervisor_id,
            image: view.image.map(|image| instance::ImageName { id: image.id, name: image.name.to_string() }),
            boot_source: view.boot_source,
            vcpus: view.vcpus,
            memory_bytes: view.memory_bytes.bytes(),
            network: view.network.map(|network| instance::Network::of(network, view.metadata.ssh_user())),
            metadata: view.metadata.to_texts(),
            declared_os_type: view.declared_os,
            largest_content_bytes: view.largest_content.bytes(),
            largest_disk_bytes: view.largest_size.bytes(),
            os_type: view.guest.os_type,
            cloud_init: view.guest.cloud_init,
            disks: view.disks.into_iter().map(Into::into).collect(),
            iso: view.iso.map(Into::into),
            changes_devices: view.changes_devices,
            capture: instance::CaptureAllowed {
                allowed: view.capture.allowed,
                code: view.capture.code,
                reason: view.capture.reason,
            },
            task_id: view.task_id,
            created_at: view.created_at,
        }
    }
}

impl From<service::DiskView> for instance::Disk {
    fn from(view: service::DiskView) -> Self {
        Self {
            id: view.id,
            primary: view.primary,
            virtual_size_bytes: view.virtual_size_bytes.bytes(),
            format: view.format.to_string(),
        }
    }
}

impl From<service::InstanceTask> for instance::InstanceAndTask {
    fn from(view: service::InstanceTask) -> Self {
        Self { instance: view.instance.into(), task: view.task.into() }
    }
}

impl From<service::TaskErrorView> for task::TaskError {
    fn from(view: service::TaskErrorView) -> Self {
        Self {
            code: view.code,
            title: view.title,
            detail: view.detail,
            action: view.action,
            retryable: view.retryable,
            reference: view.reference.to_string(),
            request_id: view.request_id.to_string(),
            operator_detail: view.operator_detail,
            support: view.support.map(|support| task::TaskSupport {
                text: support.text.map(Into::into),
                url: support.url.map(Into::into),
                status_url: support.status_url.map(Into::into),
            }),
        }
    }
}

impl From<service::TaskView> for task::Task {
    fn from(view: service::TaskView) -> Self {
        Self {
            id: view.id,
            kind: view.kind,
            state: view.state,
            checkpoint: view.checkpoint,
            phase: view.phase,
            percent: view.percent,
            bytes_done: view.bytes_done,
            bytes_total: view.bytes_total,
            rate_bps: view.rate_bps,
            eta_s: view.eta_s,
            queue_position: view.queue_position,
            waiting_for: view.waiting_for,
            attempt: view.attempt,
            image_id: view.image_id,
            instance_id: view.instance_id,
            error: view.error.map(Into::into),
            cancel_requested: view.cancel_requested,
            created_at: view.created_at,
            started_at: view.started_at,
            finished_at: view.finished_at,
            deadline: view.deadline,
            storage_test: view.storage_test.map(Into::into),
        }
    }
}

impl From<service::ScanView> for storage_scan::StorageScan {
    fn from(view: service::ScanView) -> Self {
        let counts = view.classes.into_iter().map(|(class, count)| storage_scan::StorageObjectCount {
            class,
            fault: class.is_fault(),
            actions: class.actions().to_vec(),
            proposed: class.proposed(),
            count: count.count,
            bytes: count.bytes,
        });
        Self {
            id: view.id,
            hypervisor_id: view.hypervisor_id,
            deep: view.deep,
            state: view.state,
            objects: view.objects,
            bytes: view.bytes,
            classes: counts.collect(),
            started_at: view.started_at,
            finished_at: view.finished_at,
        }
    }
}

impl From<service::ObjectView> for storage_scan::StorageObject {
    fn from(view: service::ObjectView) -> Self {
        Self {
            key: view.key,
            class: view.class,
            size_bytes: view.size.map(ByteSize::bytes),
            modified_at: view.modified_at,
            first_seen_at: view.first_seen_at,
            image: view.image.map(|image| storage_scan::StorageObjectImage {
                id: image.id,
                name: image.name.to_string(),
                status: image.status,
                account_id: image.account_id,
                size_bytes: image.size.map(ByteSize::bytes),
            }),
            digest: view.digest.map(|digest| digest.to_string()),
            digest_at: view.digest_at,
            delete_after: view.delete_after,
            actions: view.actions.to_vec(),
        }
    }
}

impl From<service::ReconcileReport> for storage_scan::StorageReconcileReport {
    fn from(report: service::ReconcileReport) -> Self {
        let entry = |entry: service::ReconcileEntry| storage_scan::StorageReconcileEntry {
            action: entry.action,
            class: entry.class,
            count: entry.count,
            bytes: entry.bytes,
            keys: entry.keys,
        };
        let refusal = |refused: service::ReconcileRefusal| storage_scan::StorageReconcileRefusal {
            key: refused.key,
            reason: refused.reason,
        };
        Self {
            scan_id: report.scan_id,
            dry_run: report.dry_run,
            entries: report.entries.into_iter().map(entry).collect(),
            refused: report.refused.into_iter().map(refusal).collect(),
            refused_count: report.refused_count,
            more: report.more,
            task_ids: report.tasks,
        }
    }
}

impl From<domain::StorageTest> for storage_test::StorageTest {
    fn from(test: domain::StorageTest) -> Self {
        let step = |result: domain::TestStepResult| storage_test::StorageTestStep {
            step: result.step,
            status: result.status,
            duration_ms: result.duration_ms,
            detail: result.detail,
            code: result.code,
            setting: result.setting,
        };
        Self { passed: test.passed(), steps: test.steps.into_iter().map(step).collect() }
    }
}

/// Checks a number of bytes of a request.
///
/// # Errors
///
/// The number is too large; the error points at `pointer`.
pub(crate) fn byte_size(bytes: u64, pointer: &str) -> Result<ByteSize, Error> {
    ByteSize::new(bytes).map_err(|error| Error::new(imprint_domain::Code::InvalidRequest, error).at(pointer))
}

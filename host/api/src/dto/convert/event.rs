//! Conversions of events.

use imprint_service as service;

use crate::dto::event;

impl From<service::EventView> for event::Event {
    fn from(view: service::EventView) -> Self {
        use service::Subject;
        let mut event = Self {
            sequence: view.sequence,
            kind: view.kind,
            at: view.at,
            task: None,
            image: None,
            media_group: None,
            share: None,
            instance: None,
            storage: None,
            iso: None,
            export: None,
        };
        match view.subject {
            Subject::Image(image) => {
                event.image = Some(event::Subject::Present(Box::new((*image).into())));
            }
            Subject::ImageRemoved(id) => event.image = Some(event::Subject::gone(id)),
            Subject::MediaGroup(group) => {
                event.media_group = Some(event::Subject::Present(Box::new(group.into())));
            }
            Subject::MediaGroupRemoved(id) => event.media_group = Some(event::Subject::gone(id)),
            Subject::Share(share) => {
                event.share = Some(event::Subject::Present(Box::new((*share).into())));
            }
            Subject::ShareRemoved(id) => event.share = Some(event::Subject::gone(id)),
            Subject::Instance(instance) => {
                event.instance = Some(event::Subject::Present(Box::new((*instance).into())));
            }
            Subject::InstanceRemoved(id) => event.instance = Some(event::Subject::gone(id)),
            Subject::Task(task) => event.task = Some(event::Subject::Present(Box::new((*task).into()))),
            Subject::Storage(storage) => {
                event.storage = Some(event::Subject::Present(Box::new((*storage).into())));
            }
            Subject::StorageRemoved(id) => event.storage = Some(event::Subject::gone(id)),
            Subject::Iso(iso) => {
                event.iso = Some(event::Subject::Present(Box::new((*iso).into())));
            }
            Subject::IsoRemoved(id) => event.iso = Some(event::Subject::gone(id)),
            Subject::Export(export) => {
                event.export = Some(event::Subject::Present(Box::new((*export).into())));
            }
            Subject::ExportRemoved(id) => event.export = Some(event::Subject::gone(id)),
            Subject::Billing => {}
            Subject::TaskRemoved(id) => event.task = Some(event::Subject::gone(id)),
        }
        event
    }
}

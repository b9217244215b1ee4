//! How parts are sent, as the plugin describes it.

use std::{collections::BTreeMap, sync::Arc};

use imprint_ports::PortError;

use super::plan::Plan;
use crate::{
    bindings::storage::exports::imprint::storage::backend,
    codes::Code,
    instance::call,
    net::{Template, TemplateBody},
    ports::{
        bounds::to_usize,
        upload::{OpenUpload, UploadSession},
    },
};

/// The parts that are described in one call.
const DESCRIBED: u32 = 1000;

/// The descriptions of an upload's parts, by the thousand.
#[derive(Default)]
pub(super) struct Descriptions(tokio::sync::Mutex<BTreeMap<u32, Arc<Vec<Template>>>>);

impl Descriptions {
    /// Forgets everything: the plugin is asked again.
    pub(super) async fn clear(&self) {
        self.0.lock().await.clear();
    }

    /// Returns the description of one part, as its thousand and the place in it.
    pub(super) async fn template(
        &self,
        upload: &OpenUpload,
        number: u32,
        plan: &Plan,
    ) -> Result<(Arc<Vec<Template>>, usize), PortError> {
        let page = (number - 1) / DESCRIBED;
        let mut known = self.0.lock().await;
        let found = match known.get(&page) {
            Some(found) => found.clone(),
            None => {
                let described = Arc::new(describe(upload, number, plan).await?);
                // Parts of two neighbouring thousands are sent at the same time, at most.
                known.retain(|other, _| other.abs_diff(page) <= 1);
                known.insert(page, described.clone());
                described
            }
        };
        Ok((found, to_usize((number - 1) % DESCRIBED)))
    }
}

/// Asks the plugin how the parts of one thousand are sent, that of `number` among them. The
/// last part of an upload may turn out to be shorter than described.
async fn describe(upload: &OpenUpload, number: u32, plan: &Plan) -> Result<Vec<Template>, PortError> {
    let first = (number - 1) / DESCRIBED * DESCRIBED + 1;
    let last = first.saturating_add(DESCRIBED - 1).min(plan.max_parts);
    let length = u64::try_from(plan.part_size).unwrap_or(u64::MAX);
    let parts: Vec<_> = (first..=last).map(|number| backend::Part { number, length }).collect();
    let answer = upload.with_session(async |open| {
        let UploadSession { session, handle } = open;
        let uploads = session.bindings.imprint_storage_backend().upload();
        let answer = call!(session.instance, "describe-parts", |store| uploads
            .call_describe_parts(store, *handle, &parts))?;
        answer.map_err(|error| upload.context.port_error(&error))
    });
    let requests = answer.await?;
    if requests.len() != parts.len() {
        let message = format!("{} requests describe {} parts", requests.len(), parts.len());
        return upload.context.record(Err(Code::BadParts.error(message)));
    }
    let templates = requests.into_iter().map(|request| {
        let (template, body) = Template::parse(request).map_err(|error| error.for_host())?;
        match body {
            TemplateBody::Payload => Ok(template),
            TemplateBody::Inline(_) => Err(Code::BadParts.error("a part is sent without its payload")),
        }
    });
    upload.context.record(templates.collect())
}

//! `imprint task ...`.

use std::collections::HashMap;

use imprint_api::dto::{image::Image, instance::Instance, task::Task};
use imprint_domain::{
    id::{ImageId, InstanceId, TaskId},
    task::TaskState,
};
use reqwest::Method;

use super::{
    api::Api,
    args::{TaskArgs, TaskCommand, TaskListArgs, WaitArgs},
    failure::{Failure, support_lines},
    find,
    output::{Output, size, text, time},
    table::Table,
    watch::{watch, watch_until_ended},
};

pub(crate) async fn run(args: TaskArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        TaskCommand::List(args) => list(&api, output, &args).await,
        TaskCommand::Show { task } => {
            let task: Task = api.get(&format!("/tasks/{task}"), &[]).await?;
            output.print(&task, || details(&task))
        }
        TaskCommand::Watch { task } => {
            let task = watch(&api, api.get(&format!("/tasks/{task}"), &[]).await?).await?;
            output.print(&task, || details(&task))
        }
        TaskCommand::Cancel { task, wait } => cancel(&api, output, task, wait).await,
        TaskCommand::Retry { task, wait } => {
            let mut task: Task = api.once(action(&api, task, "retry")).await?;
            if wait.wait {
                task = watch(&api, task).await?;
            }
            output.print(&task, || details(&task))
        }
    }
}

fn action(api: &Api, task: TaskId, name: &str) -> reqwest::RequestBuilder {
    api.request(Method::POST, &format!("/tasks/{task}/actions/{name}"))
}

async fn cancel(api: &Api, output: Output, task: TaskId, wait: WaitArgs) -> Result<(), Failure> {
    let mut task: Task = api.once(action(api, task, "cancel")).await?;
    if wait.wait {
        // Every end is a success: the task was to end. The state says how it did.
        task = watch_until_ended(api, task).await?;
    }
    output.print(&task, || details(&task))
}

async fn list(api: &Api, output: Output, args: &TaskListArgs) -> Result<(), Failure> {
    let mut query = Vec::new();
    if !args.state.is_empty() {
        let states: Vec<_> = args.state.iter().map(|state| state.as_str()).collect();
        query.push(("state", states.join(",")));
    }
    if let Some(typed) = &args.image {
        query.push(("image_id", find::image(api, typed).await?.to_string()));
    }
    if let Some(typed) = &args.instance {
        query.push(("instance_id", find::instance(api, typed).await?.to_string()));
    }
    let tasks = api.list::<Task>("/tasks", &query).await?;
    let names = if output.is_table() { Names::read(api).await? } else { Names::default() };
    output.print(&tasks, || {
        let rows = tasks.items.iter().map(|task| {
            [
                task.kind.to_string(),
                names.image(task),
                names.instance(task),
                task.state.to_string(),
                task.phase.to_string(),
                progress(task),
                time(Some(task.created_at)),
                task.id.to_string(),
            ]
        });
        Table::list(
            ["KIND", "IMAGE", "INSTANCE", "STATE", "PHASE", "PROGRESS", "CREATED", "ID"],
            rows,
            "no tasks",
        )
    })
}

/// The names of images and instances, for the table of tasks.
#[derive(Default)]
struct Names {
    images: HashMap<ImageId, String>,
    instances: HashMap<InstanceId, String>,
}

impl Names {
    async fn read(api: &Api) -> Result<Self, Failure> {
        let images = api.list::<Image>("/images", &[("scope", "all".to_owned())]).await?;
        let instances = api.list::<Instance>("/instances", &[]).await?;
        Ok(Self {
            images: images.items.into_iter().map(|image| (image.id, image.name)).collect(),
            instances: instances.items.into_iter().map(|instance| (instance.id, instance.name)).collect(),
        })
    }

    /// Returns the name of the task's image, or its id once it is deleted.
    fn image(&self, task: &Task) -> String {
        text(task.image_id.map(|id| self.images.get(&id).cloned().unwrap_or_else(|| id.to_string())))
    }

    /// Returns the name of the task's instance, or its id once it is deleted.
    fn instance(&self, task: &Task) -> String {
        text(task.instance_id.map(|id| self.instances.get(&id).cloned().unwrap_or_else(|| id.to_string())))
    }
}

/// Returns how far a task is: exactly where its bytes are counted, else by its checkpoint.
fn progress(task: &Task) -> String {
    match (task.state, task.percent) {
        (TaskState::Succeeded, _) => "100 %".to_owned(),
        (TaskState::Failed | TaskState::Cancelled, None) => text(None::<String>),
        (
            TaskState::Queued | TaskState::Running | TaskState::Failed | TaskState::Cancelled,
            Some(percent),
        ) => {
            format!("{percent} %")
        }
        (TaskState::Queued | TaskState::Running, None) => format!("~{} %", task.checkpoint),
    }
}

pub(crate) fn details(task: &Task) -> Table {
    let error = task.error.as_ref().map(|error| format!("{} [{}]", error.detail, error.code));
    let support = task.error.as_ref().and_then(|error| error.support.as_ref());
    let support = support.map(|support| support_lines(support).join("; "));
    let operator_detail = task.error.as_ref().and_then(|error| error.operator_detail.as_ref());
    Table::details([
        ("id", task.id.to_string()),
        ("kind", task.kind.to_string()),
        ("state", task.state.to_string()),
        ("phase", task.phase.to_string()),
        ("progress", progress(task)),
        ("bytes", format!("{} of {}", size(Some(task.bytes_done)), size(task.bytes_total))),
        ("place in the queue", text(task.queue_position)),
        ("waiting for", text(task.waiting_for.as_ref())),
        ("attempt", task.attempt.to_string()),
        ("image", text(task.image_id)),
        ("instance", text(task.instance_id)),
        ("error", text(error)),
        ("what to do", text(task.error.as_ref().map(|error| &error.action))),
        ("whom to ask", text(support)),
        ("technical detail", text(operator_detail)),
        ("reference", text(task.error.as_ref().map(|error| &error.reference))),
        ("created", time(Some(task.created_at))),
        ("started", time(task.started_at)),
        ("finished", time(task.finished_at)),
    ])
}

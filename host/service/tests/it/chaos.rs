//! Whatever happens, in whatever order: nothing is stuck, and what belongs together agrees (X8).

use imprint_agent_protocol::Assignment;
use imprint_domain::{
    id::{ImageId, InstanceId, TaskId},
    image::ImageStatus,
    instance::InstanceStatus,
    size::ByteSize,
    task::{Phase, TaskKind, TaskState},
};
use imprint_service::{
    AccountView, Busy, EventFilter, EventStart, ImageList, ImageView, InstanceList, InstanceView,
    PageRequest, TaskList, TaskView,
};
use imprint_store::Store;

use crate::{
    metering::clocks_agree,
    pages::numbers,
    support::{Agent, World, failure, lease, success},
};

/// Walks through the product at random.
const SEEDS: u64 = 6;
const STEPS: u32 = 70;

struct Walk {
    world: World,
    agent: Agent,
    /// What the agent was given and has not ended, as far as it knows.
    work: Vec<Assignment>,
}

struct Seen {
    account: AccountView,
    images: Vec<ImageView>,
    instances: Vec<InstanceView>,
    tasks: Vec<TaskView>,
}

fn whole() -> PageRequest {
    PageRequest { limit: Some(500), page_token: None }
}

impl Walk {
    async fn see(&self) -> Seen {
        let (service, op) = (&self.world.service, &self.world.customer);
        let images = ImageList { page: whole(), ..ImageList::default() };
        let tasks = TaskList { page: whole(), ..TaskList::default() };
        Seen {
            account: service.account_current(op).await.unwrap(),
            images: service.image_list(op, &images).await.unwrap().items,
            instances: service
                .instance_list(op, &InstanceList { ids: None, page: whole() })
                .await
                .unwrap()
                .items,
            tasks: service.task_list(op, &tasks).await.unwrap().items,
        }
    }

    /// One step. Refusals are fine: what matters is what they leave.
    async fn step(&mut self, random: &mut impl FnMut(u64) -> u64) {
        let (service, op) = (self.world.service.clone(), self.world.customer.clone());
        let seen = self.see().await;
        let mut pick =
            |length: usize| usize::try_from(random(u64::try_from(length.max(1)).unwrap())).unwrap();
        let image = seen.images.get(pick(seen.images.len())).map(|image| image.id);
        let instance = seen.instances.get(pick(seen.instances.len())).map(|instance| instance.id);
        let task = seen.tasks.get(pick(seen.tasks.len())).map(|task| task.id);
        let (action, held) = (pick(18), pick(self.work.len()));
        match action {
            0..=2 => self.capture(instance).await,
            3 => drop(service.instance_create(&op, self.world.deployment("walker")).await),
            4 => self.delete_image(image).await,
            5 => self.change_instance(instance, pick(4)).await,
            6 => self.cancel_or_retry(task, true).await,
            7 => self.cancel_or_retry(task, false).await,
            8..=10 => self.work.extend(self.agent.claim(2, 0).await),
            // The answer of the claim is lost.
            11 => drop(self.agent.claim(1, 0).await),
            12..=14 => self.end(held, action, pick(2) == 0).await,
            15 => {
                self.agent = self.agent.restarted().await;
                self.work.clear();
            }
            16 => {
                service.reconcile_once().await.unwrap();
                service.bill_once().await.unwrap();
            }
            _ => self.pass(i64::try_from(pick(40)).unwrap()).await,
        }
    }

    async fn capture(&self, instance: Option<InstanceId>) {
        let Some(instance_id) = instance else { return };
        let mut request = self.world.capture_request("walk");
        request.instance_id = instance_id;
        drop(self.world.service.image_capture(&self.world.customer, request).await);
    }

    async fn delete_image(&self, image: Option<ImageId>) {
        let Some(id) = image else { return };
        drop(self.world.service.image_delete(&self.world.customer, id, None).await);
    }

    async fn change_instance(&self, instance: Option<InstanceId>, what: usize) {
        let Some(id) = instance else { return };
        let (service, op) = (&self.world.service, &self.world.customer);
        drop(match what {
            0 => service.instance_start(op, id, Busy::Refuse).await,
            1 => service.instance_stop(op, id, Busy::Cancel).await,
            2 => service.instance_coalesce(&self.world.admin, id).await,
            _ => service.instance_delete(op, id, Busy::Cancel).await,
        });
    }

    async fn cancel_or_retry(&self, task: Option<TaskId>, cancel: bool) {
        let Some(id) = task else { return };
        let (service, op) = (&self.world.service, &self.world.customer);
        drop(if cancel { service.task_cancel(op, id).await } else { service.task_retry(op, id).await });
    }

    /// Moves or ends what is held; the answer may be lost, so that it is sent again later.
    async fn end(&mut self, held: usize, how: usize, lost: bool) {
        let Some(work) = self.work.get(held) else { return };
        let outcome = match how {
            12 => failure(lost),
            13 => success(&work.kind),
            _ => return drop(self.agent.progress(work, Phase::Copying, 300).await),
        };
        let answer = self.agent.finish(work, outcome).await;
        assert!(
            !matches!(answer, Err(imprint_agent_protocol::ProtocolError::Refused { .. })),
            "an end that fits is never refused"
        );
        if !lost {
            self.work.remove(held);
        }
    }

    async fn pass(&self, seconds: i64) {
        self.world.environment.advance(seconds);
        let leases: Vec<_> = self.work.iter().map(lease).collect();
        self.agent.heartbeat(&leases).await.unwrap();
    }

    /// Lets everything come to its end.
    async fn settle(&mut self) {
        self.work.clear();
        for _ in 0..20 {
            self.pass(700).await;
            self.world.service.reconcile_once().await.unwrap();
            self.world.service.bill_once().await.unwrap();
            self.agent.work_all().await;
        }
    }
}

fn active(seen: &Seen, take: impl Fn(&TaskView) -> bool) -> usize {
    seen.tasks.iter().filter(|task| !task.state.is_final() && take(task)).count()
}

fn agree(seen: &Seen) {
    let counted = seen.images.iter().filter(|image| image.status.counts());
    let count = counted.clone().count();
    assert_eq!(usize::try_from(seen.account.images_used).unwrap(), count, "the counter of images");
    let stored: u64 = counted.filter_map(|image| image.size_bytes).map(ByteSize::bytes).sum();
    let used = seen.account.image_bytes_used.bytes();
    let creating = seen.images.iter().any(|image| image.status == ImageStatus::Creating);
    assert!(if creating { used > stored } else { used == stored }, "{used} counted, {stored} stored");
    for image in &seen.images {
        let of = |kind: TaskKind| active(seen, |task| task.image_id == Some(image.id) && task.kind == kind);
        let captures = usize::from(image.status == ImageStatus::Creating);
        assert_eq!(of(TaskKind::ImageCapture), captures, "{image:?}");
        let stuck = image.status != ImageStatus::Deleting && of(TaskKind::ImageDelete) > 0;
        assert!(!stuck, "{image:?}");
        assert_eq!(image.size_bytes.is_some(), image.available_at.is_some(), "{image:?}");
    }
    for instance in &seen.instances {
        let of =
            |kind: TaskKind| active(seen, |task| task.instance_id == Some(instance.id) && task.kind == kind);
        let deployments = usize::from(instance.status == InstanceStatus::Deploying);
        assert_eq!(of(TaskKind::InstanceDeploy), deployments, "{instance:?}");
        let running = seen
            .tasks
            .iter()
            .filter(|task| task.state == TaskState::Running && task.instance_id == Some(instance.id));
        assert!(running.count() <= 1, "one task of an instance at a time");
    }
    let captures =
        active(seen, |task| task.kind == TaskKind::ImageCapture && task.state == TaskState::Running);
    assert!(captures <= 2, "the hypervisor's limit");
}

pub(crate) async fn nothing_is_stuck_whatever_happens(world: World) {
    let agent = world.agent.restarted().await;
    let store = Store::open(&world.target).await.unwrap();
    let mut walk = Walk { world, agent, work: Vec::new() };
    for seed in 1..=SEEDS {
        let mut random = numbers(seed);
        for _ in 0..STEPS {
            walk.step(&mut random).await;
            let seen = walk.see().await;
            agree(&seen);
            clocks_agree(&store, &seen.images, &seen.instances).await;
        }
        walk.settle().await;
        let seen = walk.see().await;
        // The walk went somewhere: every kind of end was reached.
        for state in [TaskState::Succeeded, TaskState::Failed, TaskState::Cancelled] {
            assert!(seen.tasks.iter().any(|task| task.state == state), "no task {state:?}");
        }
        agree(&seen);
        assert_eq!(active(&seen, |_| true), 0, "every task has come to an end");
        assert!(seen.images.iter().all(|image| image.status != ImageStatus::Deleting));
        assert!(seen.instances.iter().all(|instance| instance.status != InstanceStatus::Deleting));
    }
    no_gaps(&walk.world).await;
}

async fn no_gaps(world: &World) {
    let follower = world.service.event_follow(&world.customer, EventFilter::default(), None).await.unwrap();
    let EventStart::Snapshot { sequence } = follower.start() else { panic!("not a snapshot") };
    let store = Store::open(&world.target).await.unwrap();
    let kept =
        imprint_store::event::after(&store.read(), world.customer.account_id(), 0, 100_000).await.unwrap();
    let numbers: Vec<_> = kept.iter().map(|event| event.sequence).collect();
    let first = numbers.first().copied().unwrap_or(sequence + 1);
    assert_eq!(numbers, (first..=sequence).collect::<Vec<_>>());
}

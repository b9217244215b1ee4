//! `imprint image ...`.

use std::collections::BTreeMap;

use imprint_api::dto::image::{
    CaptureEstimate, ConsistencyRequirement, Image, ImageAndTask, ImageCreate, ImageFindings, ImagePatch,
};
use imprint_api::dto::import::ImageSource;
use imprint_domain::{
    capture_format::CaptureFormat, estimate::EstimateBasis, id::InstanceId, image::Compression,
    size::ByteSize,
};
use reqwest::{Method, header};

use super::{
    api::Api,
    args::{
        ConfirmArgs, ImageArgs, ImageCommand, ImageCreateArgs, ImageListArgs, ImageUpdateArgs, Scope,
        WaitArgs,
    },
    confirm::confirm_deletion,
    export,
    failure::Failure,
    find,
    image_details::{details, inside},
    import,
    output::{Output, duration, size, text, time},
    share,
    table::Table,
    watch::watch,
};
use crate::terminal::note;

pub(crate) async fn run(args: ImageArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        ImageCommand::List(args) => list(&api, output, &args).await,
        ImageCommand::Show { image } => {
            let id = find::image(&api, &image).await?;
            let image: Image = api.get(&format!("/images/{id}"), &[]).await?;
            output.print(&image, || details(&image))
        }
        ImageCommand::Inside { image } => {
            let id = find::image(&api, &image).await?;
            let found: ImageFindings = api.get(&format!("/images/{id}/findings"), &[]).await?;
            output.print(&found, || inside(&found))
        }
        ImageCommand::Create(args) => create(&api, output, args).await,
        ImageCommand::Import(args) => import::import(&api, output, args).await,
        ImageCommand::Upload { image, file } => import::upload(&api, output, &image, &file).await,
        ImageCommand::Estimate { instance, format, compression, used, formerly } => {
            let id = find::instance(&api, &instance).await?;
            let assumed = [("used_bytes", used), ("largest_used_bytes", formerly)];
            let estimate = estimated(&api, id, (format, compression), &assumed).await?;
            output.print(&estimate, || estimate_details(&estimate))
        }
        ImageCommand::Update(args) => {
            let patch = patch(&args)?;
            update(&api, output, &args.image, &patch).await
        }
        ImageCommand::Rename { image, name } => {
            let patch = ImagePatch { name: Some(name), ..ImagePatch::default() };
            update(&api, output, &image, &patch).await
        }
        ImageCommand::Export(args) => export::run(&api, output, args).await,
        ImageCommand::Exports(command) => export::manage(&api, output, command).await,
        ImageCommand::Share(command) => share::run(&api, output, command).await,
        ImageCommand::Delete { image, confirm, wait } => delete(&api, output, &image, confirm, wait).await,
    }
}

async fn list(api: &Api, output: Output, args: &ImageListArgs) -> Result<(), Failure> {
    let scope = match args.scope {
        Scope::Own => "own",
        Scope::Stock => "stock",
        Scope::Shared => "shared",
        Scope::All => "all",
    };
    let mut query = vec![("scope", scope.to_owned()), ("sort", args.sort.clone())];
    query.extend(args.search.clone().map(|words| ("q", words)));
    if !args.tags.is_empty() {
        query.push(("tag", args.tags.join(",")));
    }
    if let Some(instance) = &args.source_instance {
        query.push(("source_instance_id", find::instance(api, instance).await?.to_string()));
    }
    query.extend(args.kind.map(|kind| ("kind", kind.to_string())));
    if !args.status.is_empty() {
        let status: Vec<_> = args.status.iter().map(|status| status.as_str()).collect();
        query.push(("status", status.join(",")));
    }
    let images = api.list::<Image>("/images", &query).await?;
    output.print(&images, || {
        let rows = images.items.iter().map(|image| {
            [
                image.name.clone(),
                text(image.source_instance.as_ref().map(|source| &source.name)),
                size(image.size_bytes),
                image.status.to_string(),
                image.tags.join(", "),
                time(Some(image.created_at)),
                image.id.to_string(),
            ]
        });
        Table::list(["NAME", "SOURCE INSTANCE", "SIZE", "STATUS", "TAGS", "CREATED", "ID"], rows, "no images")
    })
}

async fn estimated(
    api: &Api,
    id: InstanceId,
    (format, compression): (Option<CaptureFormat>, Option<Compression>),
    assumed: &[(&'static str, Option<ByteSize>)],
) -> Result<CaptureEstimate, Failure> {
    let format = format.map(|named| ("format", named.to_string()));
    let compression = compression.map(|named| ("compression", named.to_string()));
    let assumed = assumed.iter().filter_map(|(name, size)| Some((*name, size.as_ref()?.bytes().to_string())));
    let query: Vec<_> = format.into_iter().chain(compression).chain(assumed).collect();
    api.get(&format!("/instances/{id}/capture-estimate"), &query).await
}

fn basis(estimate: &CaptureEstimate) -> String {
    let images = match estimate.captures {
        1 => "image".to_owned(),
        captures => format!("{captures} images"),
    };
    match estimate.basis {
        EstimateBasis::Instance => format!("the last {images} of this instance"),
        EstimateBasis::Hypervisor => format!("the last {images} of its hypervisor"),
        EstimateBasis::Rule => "a rule of thumb, as no image was created there before".to_owned(),
    }
}

fn estimate_details(estimate: &CaptureEstimate) -> Table {
    let mut lines = vec![
        ("occupied by the disk", size(Some(estimate.content_bytes))),
        ("size of the image", size(Some(estimate.size_bytes))),
        ("time", duration(estimate.seconds)),
        ("based on", basis(estimate)),
    ];
    lines.extend(estimate.notices.iter().map(|notice| ("notice", notice.text.clone())));
    Table::details(lines)
}

/// Says what one has to know before an image is created (S24 to S26). Without an estimate the rest
/// is still true: the request itself says what is wrong.
fn notices(estimate: Option<&CaptureEstimate>) {
    match estimate {
        Some(estimate) => note(&format!(
            "the image will take about {} and {}, by {}; only the primary disk is captured",
            size(Some(estimate.size_bytes)),
            duration(estimate.seconds),
            basis(estimate)
        )),
        None => note("only the primary disk is captured; its size and time could not be estimated"),
    }
    note(
        "it takes longer while the instance writes a lot (reading matters little), if its disk was larger once, and \
         on older hardware",
    );
    note(
        "images are not verified automatically and should not be used as a back-up solution; back a database \
         up before you create an image, for example with mysqldump or SQL Server Management Studio",
    );
}

async fn create(api: &Api, output: Output, args: ImageCreateArgs) -> Result<(), Failure> {
    let id = find::instance(api, &args.from_instance).await?;
    notices(estimated(api, id, (args.format, args.compression), &[]).await.ok().as_ref());
    let consistency = (args.want.is_some() || args.minimum.is_some())
        .then_some(ConsistencyRequirement { want: args.want, minimum: args.minimum });
    let storage_id = match args.storage {
        Some(storage) => Some(find::storage(api, &storage).await?),
        None => None,
    };
    let request = ImageCreate {
        source: ImageSource::Instance { id },
        name: args.name,
        description: args.description,
        tags: args.tags,
        format: args.format,
        compression: args.compression,
        consistency,
        storage_id,
        domain_controller: args.domain_controller,
        location_id: None,
        stock: false,
    };
    let mut made: ImageAndTask = api.create("/images", &request).await?;
    for notice in &made.notices {
        note(&notice.text);
    }
    if args.wait.wait {
        made.task = watch(api, made.task).await?;
        made.image = api.get(&format!("/images/{}", made.image.id), &[]).await?;
    } else {
        note(&format!("watch its progress with `imprint task watch {}`", made.task.id));
    }
    output.print(&made, || details(&made.image))
}

/// Returns what a command changes; it has to be something.
fn patch(args: &ImageUpdateArgs) -> Result<ImagePatch, Failure> {
    let tags = match (args.no_tags, args.tags.is_empty()) {
        (true, _) => Some(None),
        (false, true) => None,
        (false, false) => Some(Some(args.tags.clone())),
    };
    let protected = (args.protect || args.unprotect).then_some(args.protect);
    let set = args.metadata.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
    let removed = args.no_metadata.iter().map(|key| (key.clone(), None));
    let metadata: BTreeMap<_, _> = set.chain(removed).collect();
    let patch = ImagePatch {
        name: args.name.clone(),
        description: args.description.clone().map(Some),
        tags,
        metadata: (!metadata.is_empty()).then_some(Some(metadata)),
        protected,
        os_type: args.os_type,
        cloud_init: args.cloud_init,
    };
    if patch == ImagePatch::default() {
        let detail = "nothing to change: give --name, --description, --tag, --no-tags, --metadata, --no-metadata, --protect, --unprotect, --os-type or --cloud-init";
        return Err(Failure::Usage(detail.to_owned()));
    }
    Ok(patch)
}

async fn update(api: &Api, output: Output, typed: &str, patch: &ImagePatch) -> Result<(), Failure> {
    let path = format!("/images/{}", find::image(api, typed).await?);
    let seen = api.get_tagged::<Image>(&path, &[]).await?;
    let mut request = api.request(Method::PATCH, &path).json(patch);
    if let Some(etag) = seen.etag {
        request = request.header(header::IF_MATCH, etag);
    }
    let image: Image = api.once(request).await?;
    output.print(&image, || details(&image))
}

async fn delete(
    api: &Api,
    output: Output,
    typed: &str,
    confirm: ConfirmArgs,
    wait: WaitArgs,
) -> Result<(), Failure> {
    let id = find::image(api, typed).await?;
    confirm_deletion(confirm, "image", typed)?;
    let mut made: ImageAndTask = api.once(api.request(Method::DELETE, &format!("/images/{id}"))).await?;
    if wait.wait {
        made.task = watch(api, made.task).await?;
    } else {
        note(&format!("watch its progress with `imprint task watch {}`", made.task.id));
    }
    output.print(&made, || {
        Table::details([
            ("image", made.image.id.to_string()),
            ("name", made.image.name.clone()),
            ("task", made.task.id.to_string()),
            ("state", made.task.state.to_string()),
        ])
    })
}

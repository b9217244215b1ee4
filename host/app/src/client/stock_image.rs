//! `imprint stock-image ...`.

use imprint_api::dto::{
    image::{Image, ImageAndTask},
    stock_image::{Deprecation, StockImageCreate, StockImagePatch},
};
use imprint_domain::id::ImageId;
use reqwest::{Method, header};

use super::{
    api::Api,
    args::{StockImageAddArgs, StockImageArgs, StockImageCommand, StockImageUpdateArgs},
    confirm::confirm_deletion,
    failure::Failure,
    find,
    image_details::details,
    output::{Output, text},
    table::Table,
    watch::watch,
};
use crate::terminal::note;

pub(crate) async fn run(args: StockImageArgs) -> Result<(), Failure> {
    let (api, output) = args.connection.open()?;
    match args.command {
        StockImageCommand::List => list(&api, output).await,
        StockImageCommand::Show { image } => {
            let id = find::stock_image(&api, &image).await?;
            let image: Image = api.get(&format!("/images/{id}"), &[]).await?;
            output.print(&image, || details(&image))
        }
        StockImageCommand::Add(args) => add(&api, output, args).await,
        StockImageCommand::Update(args) => {
            let id = find::stock_image(&api, &args.image).await?;
            let patch = changes(&api, args).await?;
            update(&api, output, id, &patch).await
        }
        StockImageCommand::Deprecate { image, notice, replacement } => {
            let id = find::stock_image(&api, &image).await?;
            let replacement_id = match replacement {
                Some(typed) => Some(find::stock_image(&api, &typed).await?),
                None => None,
            };
            let deprecation = Some(Some(Deprecation { notice, replacement_id }));
            let patch = StockImagePatch { deprecation, ..StockImagePatch::default() };
            update(&api, output, id, &patch).await
        }
        StockImageCommand::Undeprecate { image } => {
            let id = find::stock_image(&api, &image).await?;
            let patch = StockImagePatch { deprecation: Some(None), ..StockImagePatch::default() };
            update(&api, output, id, &patch).await
        }
        StockImageCommand::Hide { image } => hide(&api, output, &image, true).await,
        StockImageCommand::Unhide { image } => hide(&api, output, &image, false).await,
        StockImageCommand::Delete { image, confirm } => {
            let id = find::stock_image(&api, &image).await?;
            confirm_deletion(confirm, "stock image", &image)?;
            let made: ImageAndTask = api.once(api.request(Method::DELETE, &format!("/images/{id}"))).await?;
            note("the stock image is deleted; its file stays in the storage");
            output.print(&made, || Table::details([("image", made.image.id.to_string())]))
        }
    }
}

/// What a list says about how an image is offered.
fn offered(image: &Image) -> String {
    let Some(entry) = &image.catalogue else { return "no".to_owned() };
    let words =
        [(entry.hidden, "hidden"), (entry.deprecation.is_some(), "deprecated"), (entry.latest, "latest")];
    let said: Vec<_> = words.into_iter().filter(|(is_said, _)| *is_said).map(|(_, word)| word).collect();
    if said.is_empty() { "yes".to_owned() } else { said.join(", ") }
}

async fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let query = [("scope", "stock".to_owned()), ("sort", "name".to_owned())];
    let images = api.list::<Image>("/images", &query).await?;
    output.print(&images, || {
        let rows = images.items.iter().map(|image| {
            let entry = image.catalogue.as_ref();
            [
                image.name.clone(),
                text(entry.and_then(|entry| entry.family.as_ref())),
                text(entry.and_then(|entry| entry.family_version.as_ref())),
                image.os_type.to_string(),
                offered(image),
                image.status.to_string(),
                image.id.to_string(),
            ]
        });
        let columns = ["NAME", "FAMILY", "VERSION", "SYSTEM", "OFFERED", "STATUS", "ID"];
        Table::list(columns, rows, "no stock images")
    })
}

async fn add(api: &Api, output: Output, args: StockImageAddArgs) -> Result<(), Failure> {
    let media_group_id = match &args.media_group {
        Some(typed) => Some(find::media_group(api, typed).await?),
        None => None,
    };
    let request = StockImageCreate {
        name: args.name,
        description: args.description,
        storage_id: find::storage(api, &args.storage).await?,
        key: args.file,
        format: args.format.to_string(),
        location_id: find::location(api, &args.location).await?,
        os_type: args.os_type,
        cloud_init: !args.no_cloud_init,
        media_group_id,
        family: args.family,
        family_version: args.family_version,
        hidden: args.hidden,
    };
    let mut made: ImageAndTask = api.create("/admin/stock-images", &request).await?;
    if args.wait.wait {
        made.task = watch(api, made.task).await?;
        made.image = api.get(&format!("/images/{}", made.image.id), &[]).await?;
    } else {
        note(&format!("watch its progress with `imprint task watch {}`", made.task.id));
    }
    output.print(&made, || details(&made.image))
}

/// Returns what a command changes; it has to be something.
async fn changes(api: &Api, args: StockImageUpdateArgs) -> Result<StockImagePatch, Failure> {
    let media_group_id = match (&args.media_group, args.no_media_group) {
        (Some(typed), _) => Some(Some(find::media_group(api, typed).await?)),
        (None, true) => Some(None),
        (None, false) => None,
    };
    let patch = StockImagePatch {
        name: args.name,
        description: args.description.map(Some),
        os_type: args.os_type,
        cloud_init: args.cloud_init,
        media_group_id,
        family: if args.no_family { Some(None) } else { args.family.map(Some) },
        family_version: args.family_version,
        ..StockImagePatch::default()
    };
    if patch == StockImagePatch::default() {
        let detail = "nothing to change: give --name, --description, --os-type, --cloud-init, --media-group, \
                      --no-media-group, --family, --family-version or --no-family";
        return Err(Failure::Usage(detail.to_owned()));
    }
    Ok(patch)
}

async fn hide(api: &Api, output: Output, typed: &str, hidden: bool) -> Result<(), Failure> {
    let id = find::stock_image(api, typed).await?;
    let patch = StockImagePatch { hidden: Some(hidden), ..StockImagePatch::default() };
    update(api, output, id, &patch).await
}

async fn update(api: &Api, output: Output, id: ImageId, patch: &StockImagePatch) -> Result<(), Failure> {
    let seen = api.get_tagged::<Image>(&format!("/images/{id}"), &[]).await?;
    let mut request = api.request(Method::PATCH, &format!("/admin/stock-images/{id}")).json(patch);
    if let Some(etag) = seen.etag {
        request = request.header(header::IF_MATCH, etag);
    }
    let image: Image = api.once(request).await?;
    output.print(&image, || details(&image))
}

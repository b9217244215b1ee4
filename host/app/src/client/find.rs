//! Finds resources by id or by name.

use std::{fmt::Display, str::FromStr};

use imprint_api::dto::{
    account::Account,
    hypervisor::Hypervisor,
    image::Image,
    instance::Instance,
    iso::{AdminIso, Iso},
    location::Location,
    media_group::MediaGroups,
    ssh_key::SshKey,
    storage::ImageStorage,
    user_script::UserScript,
    webhook::Webhook,
};
use imprint_domain::{
    id::{
        AccountId, HypervisorId, ImageId, InstanceId, IsoId, LocationId, MediaGroupId, SshKeyId, StorageId,
        UserScriptId, WebhookId,
    },
    search::{MAX_SEARCH_CHARS, MAX_SEARCH_WORDS},
};

use super::{api::Api, failure::Failure};

/// Returns the id of an image that was typed as id or name.
pub(crate) async fn image(api: &Api, typed: &str) -> Result<ImageId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let mut query = vec![("scope", "all".to_owned())];
    // The server finds what contains the name; a name of more words than a search has is looked for
    // here, among all images.
    if typed.split_whitespace().count() <= MAX_SEARCH_WORDS && typed.chars().count() <= MAX_SEARCH_CHARS {
        query.push(("q", typed.to_owned()));
    }
    let images = api.list::<Image>("/images", &query).await?;
    one("image", "image", typed, images.items.iter().map(|image| (image.id, image.name.as_str())))
}

/// Returns the id of a stock image that was typed as id or name.
pub(crate) async fn stock_image(api: &Api, typed: &str) -> Result<ImageId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let images = api.list::<Image>("/images", &[("scope", "stock".to_owned())]).await?;
    let named = images.items.iter().map(|image| (image.id, image.name.as_str()));
    one("stock image", "stock-image", typed, named)
}

/// Returns the id of a media group that was typed as id or label.
pub(crate) async fn media_group(api: &Api, typed: &str) -> Result<MediaGroupId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let groups: MediaGroups = api.get("/media-groups", &[]).await?;
    let labels = groups.items.iter().map(|group| (group.id, group.label.as_str()));
    one("media group", "media-group", typed, labels)
}

/// Returns the id of an instance that was typed as id or name.
pub(crate) async fn instance(api: &Api, typed: &str) -> Result<InstanceId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let instances = api.list::<Instance>("/instances", &[]).await?;
    one(
        "instance",
        "instance",
        typed,
        instances.items.iter().map(|instance| (instance.id, instance.name.as_str())),
    )
}

/// Returns the id of a hypervisor that was typed as id or name.
pub(crate) async fn hypervisor(api: &Api, typed: &str) -> Result<HypervisorId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let hypervisors = api.list::<Hypervisor>("/hypervisors", &[]).await?;
    one("hypervisor", "hypervisor", typed, hypervisors.items.iter().map(|host| (host.id, host.name.as_str())))
}

/// Returns the id of a location that was typed as id or name.
pub(crate) async fn location(api: &Api, typed: &str) -> Result<LocationId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let locations = api.list::<Location>("/locations", &[]).await?;
    one(
        "location",
        "admin location",
        typed,
        locations.items.iter().map(|place| (place.id, place.name.as_str())),
    )
}

/// Returns the id of an account that was typed as id or name; for admins.
pub(crate) async fn account(api: &Api, typed: &str) -> Result<AccountId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let accounts = api.list::<Account>("/admin/accounts", &[]).await?;
    one(
        "account",
        "admin account",
        typed,
        accounts.items.iter().map(|account| (account.id, account.name.as_str())),
    )
}

/// Returns the id of an image storage that was typed as id or name.
pub(crate) async fn storage(api: &Api, typed: &str) -> Result<StorageId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let storages = api.list::<ImageStorage>("/admin/image-storages", &[]).await?;
    one(
        "image storage",
        "storage",
        typed,
        storages.items.iter().map(|storage| (storage.id, storage.name.as_str())),
    )
}

/// Returns the id of an ISO that can be mounted, which was typed as id or name.
pub(crate) async fn iso(api: &Api, typed: &str) -> Result<IsoId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let isos = api.list::<Iso>("/isos", &[]).await?;
    one("ISO", "iso", typed, isos.items.iter().map(|iso| (iso.id, iso.name.as_str())))
}

/// Returns the id of any ISO that was typed as id or name; for admins.
pub(crate) async fn admin_iso(api: &Api, typed: &str) -> Result<IsoId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let isos = api.list::<AdminIso>("/admin/isos", &[]).await?;
    one("ISO", "iso", typed, isos.items.iter().map(|iso| (iso.id, iso.name.as_str())))
}

/// Returns the id of a saved SSH key that was typed as id or name.
pub(crate) async fn ssh_key(api: &Api, typed: &str) -> Result<SshKeyId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let keys = api.list::<SshKey>("/ssh-keys", &[]).await?;
    one("SSH key", "ssh-key", typed, keys.items.iter().map(|key| (key.id, key.name.as_str())))
}

/// Returns the id of a saved user script that was typed as id or name.
pub(crate) async fn user_script(api: &Api, typed: &str) -> Result<UserScriptId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let scripts = api.list::<UserScript>("/user-scripts", &[]).await?;
    let named = scripts.items.iter().map(|script| (script.id, script.name.as_str()));
    one("user script", "user-script", typed, named)
}

/// Returns the id of a webhook that was typed as id or name.
pub(crate) async fn webhook(api: &Api, typed: &str) -> Result<WebhookId, Failure> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let webhooks = api.list::<Webhook>("/webhooks", &[]).await?;
    one("webhook", "webhook", typed, webhooks.items.iter().map(|webhook| (webhook.id, webhook.name.as_str())))
}

fn one<'a, Id: Display + FromStr + Copy>(
    what: &str,
    noun: &str,
    typed: &str,
    named: impl Iterator<Item = (Id, &'a str)>,
) -> Result<Id, Failure> {
    let found: Vec<Id> = named.filter(|(_, name)| *name == typed).map(|(id, _)| id).collect();
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(Failure::NotFound(format!("there is no {what} `{typed}`; see `imprint {noun} list`"))),
        several => {
            let ids: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Failure::Usage(format!(
                "`{typed}` names several {what}s; name one by its id: {}",
                ids.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use imprint_domain::id::ImageId;
    use uuid::Uuid;

    use super::{Failure, one};

    #[test]
    fn a_name_finds_exactly_one() {
        let id = |n| ImageId::new(Uuid::from_u128(n));
        let images = [(id(1), "a"), (id(2), "b"), (id(3), "b")];
        let find = |typed| one("image", "image", typed, images.into_iter());
        assert_eq!(find("a").ok(), Some(id(1)));
        assert!(matches!(find("c"), Err(Failure::NotFound(text)) if text.contains("no image `c`")));
        assert!(matches!(find("b"), Err(Failure::Usage(text)) if text.contains(&id(3).to_string())));
    }
}

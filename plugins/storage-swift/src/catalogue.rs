//! Where the object store is: the catalogue in Keystone's answer.

use std::collections::BTreeSet;

use imprint_plugin_sdk::error::{Error, Result};
use serde_json::Value;

use crate::settings::Settings;

/// Returns the address of the account in the chosen region, without a slash at its end.
pub(crate) fn find(answer: &Value, settings: &Settings) -> Result<String> {
    let catalogue = answer["token"]["catalog"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stores = catalogue.iter().filter(|service| service["type"] == "object-store");
    let endpoints: Vec<&Value> =
        stores.filter_map(|service| service["endpoints"].as_array()).flatten().collect();
    if endpoints.is_empty() {
        let message =
            "the catalogue has no object store; check that the project may use one, or set its address";
        return Err(wrong("swift.no-object-store", "endpoint", message.to_owned()));
    }
    let region = |endpoint: &&Value| {
        let id = endpoint["region_id"].as_str().or_else(|| endpoint["region"].as_str());
        id.unwrap_or_default().to_owned()
    };
    let regions: BTreeSet<String> = endpoints.iter().map(region).collect();
    let names = || regions.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let here: Vec<&Value> = match &settings.region {
        Some(wanted) => endpoints.into_iter().filter(|endpoint| region(endpoint) == *wanted).collect(),
        None if regions.len() > 1 => {
            let message =
                format!("the catalogue has an object store in several regions; choose one of {}", names());
            return Err(wrong("swift.region", "region", message));
        }
        None => endpoints,
    };
    if here.is_empty() {
        let message = format!("the catalogue has no object store in that region; choose one of {}", names());
        return Err(wrong("swift.region", "region", message));
    }
    let chosen = here.iter().find(|endpoint| endpoint["interface"] == settings.interface.as_str());
    let url = chosen.and_then(|endpoint| endpoint["url"].as_str()).filter(|url| url.contains("://"));
    match url {
        Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        None => {
            let known: BTreeSet<&str> = here.iter().filter_map(|end| end["interface"].as_str()).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let message =
                format!("the object store has no such interface in the catalogue; choose one of {known}");
            Err(wrong("swift.interface", "interface", message))
        }
    }
}

fn wrong(code: &str, setting: &str, message: String) -> Error {
    Error::invalid_input(code, message).about_setting(setting)
}

//! The OpenAPI 3.1 document, generated from the code and kept as a golden file.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder, Schema,
        path::{Operation, PathItem},
        schema::ArrayItems,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{
    dto::{
        event::{Event, Gone, StreamStart},
        problem::Problem,
    },
    problem::PROBLEM_JSON,
};

/// What the document says beside its endpoints.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Imprint",
        description = "Images of instances: capture, deploy, keep. Conventions and error codes are in docs/API.md.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "sessions", description = "Signing in"),
        (name = "tokens", description = "API tokens"),
        (name = "catalogue", description = "Where things can be"),
        (name = "images", description = "Images"),
        (name = "instances", description = "Instances"),
        (name = "tasks", description = "Background work"),
        (name = "events", description = "What changes, as it changes"),
        (name = "admin", description = "For operators"),
        (name = "operations", description = "Health of the server"),
    ),
    components(schemas(Problem, Event, Gone, StreamStart)),
    security(("session" = []), ("bearer" = [])),
    modifiers(&SecuritySchemes),
)]
pub(crate) struct Base;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "imprint_session",
                "Set by signing in. Requests that change something also need the header `X-Imprint-Csrf: 1`.",
            ))),
        );
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("imp_<id>_<secret>")
                    .description(Some("An API token, with the scopes that the endpoint needs."))
                    .build(),
            ),
        );
    }
}

/// Declares the problem answer of every operation of the API, so that clients have its type
/// everywhere.
pub(crate) fn declare_problems(document: &mut Document) {
    let problem = ResponseBuilder::new()
        .description("Refused or failed; `code` says why")
        .content(PROBLEM_JSON, ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build())
        .build();
    for (path, item) in &mut document.paths.paths {
        if !path.starts_with("/api/") {
            continue;
        }
        for operation in operations(item) {
            operation.responses.responses.insert("default".to_owned(), problem.clone().into());
        }
    }
}

/// Makes the generic schemas (`Page_Image`, `Subject_Task`) refer to what they hold, instead of
/// repeating it.
pub(crate) fn refer_to_items(document: &mut Document) {
    let Some(components) = &mut document.components else { return };
    for (name, schema) in &mut components.schemas {
        let RefOr::T(schema) = schema else { continue };
        match (name.split_once('_'), schema) {
            (Some(("Page", item)), Schema::Object(page)) => {
                if let Some(RefOr::T(Schema::Array(items))) = page.properties.get_mut("items") {
                    items.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
                }
            }
            (Some(("Subject", item)), Schema::OneOf(subject)) => {
                if let Some(present) = subject.items.first_mut() {
                    *present = Ref::from_schema_name(item).into();
                }
            }
            _ => {}
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// The document as it is served and kept in `tests/golden/openapi.json`.
pub fn openapi_json() -> String {
    let (_, document) = crate::router::routes();
    let mut text = document.to_pretty_json().expect("the document is made of strings and numbers");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::openapi_json;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/openapi.json");

    #[test]
    fn the_document_is_the_golden_one() {
        if std::env::var_os("IMPRINT_GENERATE").is_some() {
            std::fs::write(GOLDEN, openapi_json()).unwrap();
        }
        let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
        assert!(
            golden == openapi_json(),
            "the HTTP API has changed: look at the difference after `cargo xtask generate`, and commit it"
        );
    }
}

//! The OpenAPI 3.1 document: what it says apart from its endpoints, and transformations of it.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, KnownFormat, OpenApi as Document, Ref, RefOr, ResponseBuilder, Schema, SchemaFormat,
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

/// The parts of the document that are not endpoints.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Imprint",
        description = "Images of instances: capture, deploy, keep. docs/API.md describes conventions and error codes.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "sessions", description = "Sign-in and the current account"),
        (name = "tokens", description = "API tokens"),
        (name = "saved", description = "SSH keys and user scripts that an account saves for new instances"),
        (name = "webhooks", description = "Where an account has its events sent to"),
        (name = "catalogue", description = "Locations, hypervisors and media groups"),
        (name = "images", description = "Images"),
        (name = "exports", description = "Files of images in other formats"),
        (name = "shares", description = "Sharing of images with other accounts"),
        (name = "instances", description = "Instances"),
        (name = "isos", description = "ISOs, and the drive and the disks of an instance"),
        (name = "tasks", description = "Background tasks"),
        (name = "events", description = "Streams of changes"),
        (name = "admin", description = "Administration"),
        (name = "operations", description = "Health checks, metrics, this document"),
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
                "Set by signing in. Requests with it that change something also need the header `X-Imprint-Csrf: 1`.",
            ))),
        );
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("imp_<id>_<secret>")
                    .description(Some("An API token with the scope that the endpoint requires."))
                    .build(),
            ),
        );
    }
}

/// Declares the problem answer of every operation of the API, so that clients have its type
/// everywhere.
fn declare_problems(document: &mut Document) {
    let problem = ResponseBuilder::new()
        .description("The request was refused or failed; `code` is the reason")
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

/// Makes the generic schemas (`Page_Image`, `Subject_Task`) refer to their items instead of
/// repeating them.
fn refer_to_items(document: &mut Document) {
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

/// Declares the largest value of 32-bit integers: their Rust type is unsigned, but `int32` is not.
fn declare_bounds(document: &mut Document) {
    let Some(components) = &mut document.components else { return };
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for property in object.properties.values_mut() {
            let RefOr::T(Schema::Object(property)) = property else { continue };
            let is_int32 = property.format == Some(SchemaFormat::KnownFormat(KnownFormat::Int32));
            if is_int32 && property.maximum.is_none() {
                property.maximum = Some(i32::MAX.into());
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// Completes the document that the endpoints' attributes make.
pub(crate) fn complete(document: &mut Document) {
    declare_problems(document);
    refer_to_items(document);
    declare_bounds(document);
}

/// Returns the document as JSON, as it is served and kept in `tests/golden/openapi.json`.
pub(crate) fn to_json(document: &Document) -> String {
    let mut text = document.to_pretty_json().expect("the document is made of strings and numbers");
    text.push('\n');
    text
}

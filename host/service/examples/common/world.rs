//! A service on an empty database, for what measures it.

use std::sync::Arc;

use imprint_domain::{
    account::Role,
    coalesce::CoalescePolicy,
    id::{LocationId, RequestId},
    location::FreezeLimit,
    name::Name,
};
use imprint_service::{
    AccountCreate, Database, LocationCreate, Op, Service, Settings, SignIn, SystemEnvironment,
};
use imprint_store::Target;
use uuid::Uuid;

const PASSWORD: &str = "correct horse";

/// A service with an admin and a location.
pub(crate) struct Opened {
    pub(crate) service: Service,
    pub(crate) admin: Op,
    pub(crate) location_id: LocationId,
}

async fn sign_in(service: &Service, account: &str) -> Op {
    let request_id = RequestId::new(Uuid::from_u128(1));
    let request = SignIn { account: account.into(), password: PASSWORD.into(), request_id };
    let signed_in = service.session_create(request).await.unwrap();
    Op::new(service.session_authenticate(&signed_in.token).await.unwrap(), request_id)
}

/// Makes a customer, and signs in.
pub(crate) async fn account(service: &Service, admin: &Op, text: &str) -> Op {
    let request = AccountCreate {
        name: Name::parse(text).unwrap(),
        password: PASSWORD.into(),
        role: Role::Customer,
        image_limit: None,
        image_bytes_limit: None,
    };
    service.account_create(admin, request).await.unwrap();
    sign_in(service, text).await
}

/// Opens a service.
pub(crate) async fn open(target: &Target) -> Opened {
    let database = match target {
        Target::SqliteFile(path) => Database::SqliteFile(path.clone()),
        Target::SqliteMemory => Database::SqliteMemory,
        Target::Postgres(url) => Database::Postgres(url.clone()),
    };
    let settings = Settings { password_memory_kib: 8, ..Settings::default() };
    let service = Service::open(&database, settings, Arc::new(SystemEnvironment)).await.unwrap();
    service.ensure_admin(Some(PASSWORD.into())).await.unwrap();
    let admin = sign_in(&service, "admin").await;
    let location = LocationCreate {
        name: Name::parse("Here").unwrap(),
        images_enabled: true,
        sharing_enabled: true,
        iso_enabled: true,
        import_enabled: true,
        export_enabled: true,
        default_image_limit: None,
        default_image_bytes_limit: None,
        coalesce: CoalescePolicy::default(),
        freeze_limit: FreezeLimit::default(),
    };
    let location_id = service.location_create(&admin, location).await.unwrap().id;
    Opened { service, admin, location_id }
}

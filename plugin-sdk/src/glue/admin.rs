//! The check of settings.

use std::marker::PhantomData;

use super::shapes::props_in;
use crate::{
    admin::Administered,
    bindings::{admin::exports::imprint::plugin::admin as wit, host::imprint::types::types as shapes},
};

/// What `export_admin!` exports.
pub struct Admin<A>(PhantomData<A>);

impl<A: Administered> wit::Guest for Admin<A> {
    fn validate_config(settings: shapes::Props) -> Vec<wit::Finding> {
        let findings = A::check_settings(&props_in(settings)).into_iter();
        let finding = findings.map(|finding| wit::Finding {
            severity: if finding.is_error { "error".to_owned() } else { "warning".to_owned() },
            key: finding.setting,
            message: finding.message,
        });
        finding.collect()
    }

    fn self_test() -> Result<(), shapes::Error> {
        Ok(A::self_test()?)
    }
}

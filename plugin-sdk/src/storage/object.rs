//! What every storage answers about an object that is there, or not there.

use crate::error::Error;

/// Returns the error for an object that is not there, with the code `CODE.not-found`.
pub fn no_object(code: &str, key: &str) -> Error {
    Error::not_found(&format!("{code}.not-found"), format!("there is no object {key:?} in this storage"))
}

/// Returns the error for an object that is there already, with the code `CODE.exists`.
pub fn object_exists(code: &str, key: &str) -> Error {
    let message = format!("there is an object {key:?} already; choose another key");
    Error::already_exists(&format!("{code}.exists"), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    #[test]
    fn codes_begin_with_that_of_the_storage() {
        let (absent, there) = (no_object("s3", "a"), object_exists("s3", "a"));
        assert_eq!((absent.class, absent.code.as_str()), (ErrorClass::NotFound, "s3.not-found"));
        assert_eq!((there.class, there.code.as_str()), (ErrorClass::AlreadyExists, "s3.exists"));
    }
}

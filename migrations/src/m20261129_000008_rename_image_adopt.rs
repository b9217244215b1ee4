//! Tasks: the registration of a stock image is called so, also in stored answers.

crate::dialect::migration!(
    "m20261129_000008_rename_image_adopt",
    &[
        "update tasks set kind = 'image.register' where kind = 'image.adopt'",
        "update idempotency_keys set answer = replace(answer, '\"image.adopt\"', '\"image.register\"')",
    ]
);

//! Tasks: the figures of an error that customers read, as JSON. `error_detail` is for operators
//! only from here on.

crate::dialect::migration!(
    "m20261129_000007_add_task_error_context",
    &["alter table tasks add column error_context text"]
);

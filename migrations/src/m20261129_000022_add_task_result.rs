//! Tasks: what a task that asks something found out.

crate::dialect::migration!("m20261129_000022_add_task_result", &["alter table tasks add column result text"]);

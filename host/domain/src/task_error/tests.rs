use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use super::*;

fn entries() -> impl Iterator<Item = &'static Entry> {
    TaskErrorCode::ALL
        .iter()
        .map(|code| code.entry())
        .chain(TaskErrorFamily::ALL.iter().map(|family| family.entry()))
}

#[test]
fn codes_are_unique_and_every_entry_says_what_to_do() {
    let codes: BTreeSet<_> = entries().map(|entry| entry.code).collect();
    assert_eq!(codes.len(), entries().count());
    for entry in entries() {
        assert!(!entry.title.is_empty() && !entry.title.ends_with('.'), "{entry:?}");
        for action in [entry.customer, entry.operator] {
            assert!(action.ends_with('.') && action.starts_with(char::is_uppercase), "{entry:?}");
        }
    }
    for code in TaskErrorCode::ALL {
        assert_eq!(TaskErrorCode::parse(code.as_str()), Some(*code));
        assert_ne!(code.entry().retry, Retry::AsReported, "{code:?} is decided in the catalogue");
        assert!(is_name(code.as_str()));
    }
}

#[test]
fn what_a_customer_reads_names_no_path_no_setting_and_no_plugin() {
    for entry in entries() {
        for text in [entry.title, entry.customer] {
            for forbidden in ["/", "`", "plugin.toml", "setting", "--", "qemu", "QEMU"] {
                assert!(!text.contains(forbidden), "{forbidden:?} in {entry:?}");
            }
        }
    }
}

#[test]
fn a_code_has_the_entry_of_its_longest_match() {
    for (code, family) in [
        ("qemu.vm-gone", TaskErrorFamily::QemuVmGone),
        ("qemu.refused", TaskErrorFamily::Qemu),
        ("plugin.trap", TaskErrorFamily::Plugin),
        ("io.open", TaskErrorFamily::IoOpen),
        ("io.read", TaskErrorFamily::Io),
        ("mystore.quota", TaskErrorFamily::Other),
    ] {
        assert_eq!(TaskErrorFamily::of(code), family, "{code}");
        assert_eq!(TaskError::reported(code, false, "").entry(), family.entry(), "{code}");
    }
}

#[test]
fn the_catalogue_decides_about_retries_and_a_report_only_where_it_leaves_that_open() {
    let retried = |error: TaskError| (error.is_retried(), error.is_retryable());
    assert_eq!(retried(TaskError::new(TaskErrorCode::InstanceGone, "")), (true, true));
    assert_eq!(retried(TaskError::new(TaskErrorCode::CoalesceTimeout, "")), (false, true));
    assert_eq!(retried(TaskError::new(TaskErrorCode::Internal, "")), (false, false));
    assert_eq!(retried(TaskError::reported("qemu.busy", true, "")), (true, true));
    assert_eq!(retried(TaskError::reported("qemu.refused", false, "")), (false, false));
    assert_eq!(retried(TaskError::reported("corrupt.table", true, "")), (false, false));
}

#[test]
fn a_plugin_cannot_use_a_code_of_the_host_or_a_text_as_its_code() {
    let long = format!("a.{}", "b".repeat(70));
    for code in ["agent_stopping", "agent.io", "internal", "", "/etc/imprint.toml", "a b", "a..b", &long] {
        let error = TaskError::reported(code, true, "what it said");
        assert_eq!(error.code(), "plugin.unnamed", "{code:?}");
        assert!(error.operator_detail().contains("what it said"), "{error:?}");
        assert!(!error.customer_detail().contains("said"), "{error:?}");
    }
}

#[test]
fn errors_are_bounded_when_they_are_read_and_stay_the_same() {
    let context = TaskErrorContext { limit_s: Some(60), ..TaskErrorContext::default() };
    let error = TaskError::new(TaskErrorCode::CoalesceTimeout, "took 61 s").with(context).repeated();
    let text = serde_json::to_string(&error).unwrap();
    assert_eq!(serde_json::from_str::<TaskError>(&text).unwrap(), error);
    let long = serde_json::json!({"code": "/a/path", "detail": "é".repeat(4000)}).to_string();
    let read: TaskError = serde_json::from_str(&long).unwrap();
    assert_eq!((read.code(), read.operator_detail().len()), ("plugin.unnamed", 4096));
}

#[test]
fn customers_read_figures_and_what_helps() {
    let size = |bytes| ByteSize::new(bytes).unwrap();
    let context = TaskErrorContext {
        free: Some(size(1 << 30)),
        needed: Some(size(2 << 30)),
        ..TaskErrorContext::default()
    };
    let full = TaskError::new(TaskErrorCode::InsufficientStorage, "/srv/images is full").with(context);
    assert_eq!(
        full.customer_detail(),
        "Insufficient storage space on the image storage backend: 1.0 GiB free, 2.0 GiB needed."
    );
    let context = TaskErrorContext {
        reached: Some(Consistency::Crash),
        minimum: Some(Consistency::Filesystem),
        ..TaskErrorContext::default()
    };
    let weak = TaskError::new(TaskErrorCode::ConsistencyNotReached, "").with(context);
    assert!(weak.customer_detail().contains("`crash`, and at least `filesystem`"), "{weak:?}");
}

/// S29, S30, S47, S51: whom to ask depends on how often and why captures failed.
#[test]
fn failed_captures_say_whom_to_ask() {
    let failed = |code, failures, limited_bandwidth| {
        let context = TaskErrorContext { failures, limited_bandwidth, ..TaskErrorContext::default() };
        TaskError::new(code, "").with(context)
    };
    let first = failed(TaskErrorCode::SnapshotBroken, Some(1), false);
    assert!(!first.advises_support() && first.advises_status_page(), "{first:?}");
    assert!(!first.customer_action().contains("in a row"), "{first:?}");
    let second = failed(TaskErrorCode::SnapshotBroken, Some(2), false);
    assert!(
        second.advises_support()
            && second.customer_action().contains("failed 2 times in a row: contact support")
    );
    let full = failed(TaskErrorCode::InsufficientStorage, Some(3), false);
    assert!(!full.advises_support() && !full.customer_action().contains("in a row"), "a limit was reached");
    let old = failed(TaskErrorCode::CoalesceTimeout, Some(1), true);
    assert!(old.customer_action().contains("migrate to a newer flavor, or use a file-level backup tool"));
    assert!(!old.advises_status_page());
    let merge = failed(TaskErrorCode::CoalesceTimeout, Some(1), false);
    assert!(!merge.advises_status_page() && !merge.customer_action().contains("older hardware"));
    let context =
        TaskErrorContext { limit_s: Some(24 * 3600), failures: Some(1), ..TaskErrorContext::default() };
    let late = TaskError::new(TaskErrorCode::CaptureTimeLimit, "").with(context);
    assert_eq!(late.customer_detail(), "Image creation took longer than it may: the limit is 24 hours.");
    assert!(late.advises_support() && late.customer_action().starts_with("Contact support"));
    let other = TaskError::new(TaskErrorCode::InstanceNotReady, "");
    assert!(!other.advises_support() && !other.advises_status_page());
}

/// The table of docs/TASK-ERRORS.md.
fn table() -> String {
    let mut text = String::from(HEAD);
    for code in TaskErrorCode::ALL {
        row(&mut text, code.entry().code, code.entry());
    }
    text.push_str(FAMILIES);
    for family in TaskErrorFamily::ALL {
        let entry = family.entry();
        let code = match entry.code {
            "" => "any other".to_owned(),
            code if code.ends_with('.') => format!("{code}*"),
            code => code.to_owned(),
        };
        row(&mut text, &code, entry);
    }
    text
}

fn row(text: &mut String, code: &str, entry: &Entry) {
    let Entry { retry, title, customer, operator, .. } = entry;
    writeln!(text, "| `{code}` | {} | {title} | {customer} | {operator} |", retry.as_str()).unwrap();
}

const HEAD: &str = "<!-- Generated from host/domain/src/task_error/catalogue.rs by `cargo xtask generate`. -->

# Errors of tasks

A task that fails has an `error` with `code`, `title`, `detail`, `action`, `retryable`, `reference` and `request_id`. Programs decide by
`code`. `detail` and `action` are sentences for the customer; admins also get `operator_detail`, which holds what the hypervisor, the
storage or a plugin said. The column *retry* says what happens next: *automatic* failures are repeated by Imprint, at most three attempts
in all; *by hand* means that a retry can succeed, but only when it is requested; *as reported* depends on what the plugin said.
`retryable` is true for the first two, and for the third where the plugin reported a transient error.

## Codes of the control plane and the agent

| code | retry | title | the customer | the operator |
|---|---|---|---|---|
";

const FAMILIES: &str = "
## Codes of plugins and the data path

These codes have dots. A row that ends with `*` stands for all codes that begin so; the row with the longest match counts. Plugins may
bring codes of their own, which [the guide for their authors](PLUGIN-AUTHOR.md) describes.

| code | retry | title | the customer | the operator |
|---|---|---|---|---|
";

#[test]
fn the_documented_table_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/TASK-ERRORS.md");
    let table = table();
    if std::env::var_os("IMPRINT_GENERATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let documented = fs::read_to_string(&path).unwrap_or_default();
    assert!(documented == table, "docs/TASK-ERRORS.md is stale; run `cargo xtask generate`");
}

//! Prometheus metrics: requests by route and status, their duration, open streams; and those of
//! captures, exports, image storages, metering and webhooks, which are read from the database when
//! they are asked for.

pub(crate) mod billing_metrics;
pub(crate) mod capture_metrics;
pub(crate) mod export_metrics;
pub(crate) mod storage_metrics;
pub(crate) mod webhook_metrics;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The media type of the text format of Prometheus.
pub(crate) const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters. Their number is bounded by routes x methods x statuses: paths without a route
/// count as `other`.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<Key, Count>>,
    /// The bytes of objects that were downloaded through this server.
    downloaded: AtomicU64,
    /// The bytes of files to import that clients sent to this server.
    uploaded: AtomicU64,
    /// The downloads that were answered with bytes from agents.
    passed_through: AtomicU64,
    /// The downloads that were redirected to storages.
    direct: AtomicU64,
}

/// Where the bytes of a download come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BytesFrom {
    /// From an agent, through this server.
    Agent,
    /// From the storage itself.
    Storage,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Copy, Default)]
struct Count {
    requests: u64,
    seconds: f64,
}

impl Metrics {
    pub(crate) fn request(&self, route: Option<&str>, method: &str, status: u16, took: Duration) {
        let known = matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS");
        let key = Key {
            route: route.unwrap_or("other").to_owned(),
            method: if known { method } else { "other" }.to_owned(),
            status,
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry(key).or_default();
        count.requests = count.requests.saturating_add(1);
        count.seconds += took.as_secs_f64();
    }

    /// Counts bytes of an object that a client downloads.
    pub(crate) fn downloaded(&self, bytes: usize) {
        self.downloaded.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// Counts bytes of a file that a client uploads.
    pub(crate) fn uploaded(&self, bytes: usize) {
        self.uploaded.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// Counts a download, or a part of one, by where its bytes come from.
    pub(crate) fn download(&self, from: BytesFrom) {
        let counter = match from {
            BytesFrom::Agent => &self.passed_through,
            BytesFrom::Storage => &self.direct,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns all metrics in the text format.
    pub(crate) fn text(&self, open_streams: usize) -> String {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        metric(&mut text, "imprint_build_info", "gauge", "The version of the server.");
        line(&mut text, format_args!("imprint_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
        metric(&mut text, "imprint_event_streams", "gauge", "Open event streams.");
        line(&mut text, format_args!("imprint_event_streams {open_streams}"));
        metric(
            &mut text,
            "imprint_downloaded_bytes_total",
            "counter",
            "Bytes of objects that were downloaded through this server.",
        );
        let downloaded = self.downloaded.load(Ordering::Relaxed);
        line(&mut text, format_args!("imprint_downloaded_bytes_total {downloaded}"));
        metric(
            &mut text,
            "imprint_uploaded_bytes_total",
            "counter",
            "Bytes of files to import that clients sent to this server.",
        );
        let uploaded = self.uploaded.load(Ordering::Relaxed);
        line(&mut text, format_args!("imprint_uploaded_bytes_total {uploaded}"));
        metric(
            &mut text,
            "imprint_downloads_total",
            "counter",
            "Downloads of objects and of parts of them, by where the bytes come from.",
        );
        for (from, count) in [("agent", &self.passed_through), ("storage", &self.direct)] {
            let count = count.load(Ordering::Relaxed);
            line(&mut text, format_args!("imprint_downloads_total{{bytes_from=\"{from}\"}} {count}"));
        }
        metric(&mut text, "imprint_http_requests_total", "counter", "Answered requests.");
        for (Key { route, method, status }, count) in &requests {
            let labels = format_args!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            line(&mut text, format_args!("imprint_http_requests_total{{{labels}}} {}", count.requests));
        }
        metric(&mut text, "imprint_http_request_seconds_total", "counter", "Time until the answer began.");
        for (Key { route, method, status }, count) in &requests {
            let labels = format_args!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            line(
                &mut text,
                format_args!("imprint_http_request_seconds_total{{{labels}}} {:.6}", count.seconds),
            );
        }
        text
    }
}

fn metric(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

//! Counters for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the latencies' buckets in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    latencies: Mutex<BTreeMap<String, Latency>>,
    /// Connections open now.
    pub connections: AtomicU64,
    /// Requests waiting for the network now.
    pub waiting: AtomicU64,
    /// Forward passes of classifications.
    pub batches: AtomicU64,
    /// Images in them.
    pub images: AtomicU64,
}

#[derive(Debug, Default)]
struct Latency {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Metrics {
    /// A request for `route` was answered with `status` after `time`.
    pub fn answered(&self, route: &str, status: u16, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Ok(mut requests) = self.requests.lock() {
            *requests.entry((route.into(), status)).or_default() += 1;
        }
        if let Ok(mut latencies) = self.latencies.lock() {
            let latency = latencies.entry(route.into()).or_default();
            latency.count += 1;
            latency.sum += seconds;
            for (count, _) in latency.buckets.iter_mut().zip(BUCKETS).filter(|(_, end)| seconds <= *end) {
                *count += 1;
            }
        }
    }

    /// In Prometheus's text format.
    pub fn text(&self) -> String {
        let mut out = String::from("# TYPE infer_requests_total counter\n");
        for ((route, status), n) in self.requests.lock().iter().flat_map(|r| r.iter()) {
            writeln!(out, "infer_requests_total{{route=\"{route}\",status=\"{status}\"}} {n}").ok();
        }
        out.push_str("# TYPE infer_request_seconds histogram\n");
        for (route, latency) in self.latencies.lock().iter().flat_map(|l| l.iter()) {
            for (count, end) in latency.buckets.iter().zip(BUCKETS) {
                writeln!(out, "infer_request_seconds_bucket{{route=\"{route}\",le=\"{end}\"}} {count}").ok();
            }
            let Latency { count, sum, .. } = latency;
            writeln!(out, "infer_request_seconds_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}").ok();
            writeln!(out, "infer_request_seconds_sum{{route=\"{route}\"}} {sum}").ok();
            writeln!(out, "infer_request_seconds_count{{route=\"{route}\"}} {count}").ok();
        }
        for (name, kind, value) in [
            ("infer_connections", "gauge", &self.connections),
            ("infer_waiting", "gauge", &self.waiting),
            ("infer_batches_total", "counter", &self.batches),
            ("infer_images_total", "counter", &self.images),
        ] {
            writeln!(out, "# TYPE {name} {kind}\n{name} {}", value.load(Ordering::Relaxed)).ok();
        }
        out
    }
}

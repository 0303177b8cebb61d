//! What people and scripts get to see: lines, percentiles, a result file.

use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::failure::Failure;

/// A result, on stdout.
#[expect(clippy::print_stdout, reason = "the one place that does")]
pub fn out(line: &str) {
    println!("{line}");
}

/// Anything else, on stderr.
#[expect(clippy::print_stderr, reason = "the one place that does")]
pub fn note(line: &str) {
    eprintln!("{line}");
}

/// Microseconds up to a minute, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("legal bounds")
}

pub fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

pub fn latency_line(histogram: &Histogram<u64>) -> String {
    let mut line = String::new();
    for (name, quantile) in QUANTILES {
        line.push_str(&format!(
            "{name} {} ",
            histogram.value_at_quantile(quantile)
        ));
    }
    line + &format!("max {} us", histogram.max())
}

pub fn latency_json(histogram: &Histogram<u64>) -> Value {
    let mut all = json!({ "mean": histogram.mean(), "max": histogram.max() });
    for (name, quantile) in QUANTILES {
        all[name] = histogram.value_at_quantile(quantile).into();
    }
    all
}

pub fn write_json(path: Option<&Path>, result: &Value) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let text = format!("{result:#}\n");
    std::fs::write(path, text).map_err(Failure::io(format!("cannot write {}", path.display())))
}

/// How much processor time this process has had.
pub fn cpu_time() -> Duration {
    cpu_time_of("self")
}

/// How much processor time a process has had; `process` is its number.
pub fn cpu_time_of(process: &str) -> Duration {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_ascii_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn ratio(count: u64, by: f64) -> f64 {
    count as f64 / by
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn per(amount: f64, count: u64) -> f64 {
    amount / count.max(1) as f64
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

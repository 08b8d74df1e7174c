//! Figures of a process and of a series of samples, in units for readers.

use std::fs;

/// The machine's cores and load average.
pub(crate) fn machine() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("machine: {cores} cores, load average {}", load.join(" "))
}

/// User and system CPU seconds of a process so far.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name may hold blanks; the fields begin after its closing parenthesis. 14 and 15 are utime and stime in ticks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Resident memory of a process now and at its peak, in MiB.
pub(crate) fn memory(process: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    (kib("VmRSS:") / 1024.0, kib("VmHWM:") / 1024.0)
}

/// Median, 99th percentile and largest of samples in milliseconds.
pub(crate) fn quantiles(mut samples: Vec<f64>) -> String {
    samples.sort_by(f64::total_cmp);
    let at = |part: usize| samples[(samples.len() * part / 100).min(samples.len() - 1)];
    format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, n = {}", at(50), at(99), at(100), samples.len())
}

/// The same of samples in microseconds.
pub(crate) fn microseconds(mut samples: Vec<f64>) -> String {
    samples.sort_by(f64::total_cmp);
    let at = |part: usize| samples[(samples.len() * part / 100).min(samples.len() - 1)];
    format!("p50 {:.1} us, p99 {:.1} us, max {:.0} us, n = {}", at(50), at(99), at(100), samples.len())
}

/// One percentile of samples, in any order.
pub(crate) fn quantile(samples: &[f64], part: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * part / 100).min(sorted.len() - 1)]
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests or bytes")]
pub(crate) const fn count(number: usize) -> f64 {
    number as f64
}

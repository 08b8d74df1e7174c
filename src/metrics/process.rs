//! Resource usage of the process, under the names that all Prometheus clients use: read from `/proc/self` during a
//! scrape. Values that cannot be read are omitted.

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Entry of the auxiliary vector that says how many ticks a second has.
const AT_CLKTCK: u64 = 17;

/// The process itself.
#[derive(Debug)]
pub(super) struct Process {
    started: f64,
}

impl Process {
    /// Made while the process starts, so that now is when it did.
    pub(super) fn started_now() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Self { started }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        let (stat, status, limits) = (read("stat"), read("status"), read("limits"));
        let auxiliary = fs::read("/proc/self/auxv").unwrap_or_default();
        if let Some(seconds) = cpu_seconds(&stat, &auxiliary) {
            let (help, unit) = ("CPU time of user and system, since the start.", Unit::Seconds);
            let counter = ConstCounter::new(seconds);
            counter.encode(encoder.encode_descriptor("process_cpu", help, Some(&unit), counter.metric_type())?)?;
        }
        let memory = |field| kibibytes(&status, field);
        let gauges = [
            ("process_resident_memory", Some(Unit::Bytes), "Memory that is in RAM.", memory("VmRSS:")),
            ("process_virtual_memory", Some(Unit::Bytes), "Address space.", memory("VmSize:")),
            ("process_threads", None, "Threads.", field(&status, "Threads:")),
            ("process_open_fds", None, "Open file descriptors.", open_files()),
            ("process_max_fds", None, "File descriptors that may be open.", max_files(&limits)),
        ];
        for (name, unit, help, value) in gauges {
            let Some(gauge) = value.map(ConstGauge::new) else { continue };
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)?;
        }
        let (help, unit) = ("When the process started, in Unix time.", Unit::Seconds);
        let gauge = ConstGauge::new(self.started);
        gauge.encode(encoder.encode_descriptor("process_start_time", help, Some(&unit), gauge.metric_type())?)
    }
}

/// Fields 14 and 15 of `stat`, which count ticks. The second field is the program's name and may hold anything.
fn cpu_seconds(stat: &str, auxiliary: &[u8]) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((f64::from(user) + f64::from(system)) / f64::from(ticks_per_second(auxiliary)))
}

/// Linux has had 100 on every machine since 2.6; the vector says so, or otherwise.
fn ticks_per_second(auxiliary: &[u8]) -> u32 {
    let words: Vec<u64> = auxiliary.as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect();
    let (entries, _) = words.as_chunks::<2>();
    let found = entries.iter().find(|[kind, _]| *kind == AT_CLKTCK).map(|[_, value]| *value);
    found.and_then(|ticks| u32::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// A field of `status`.
fn field(status: &str, name: &str) -> Option<i64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<i64> {
    field(status, name)?.checked_mul(1024)
}

fn open_files() -> Option<i64> {
    // One of them is the folder that is being read.
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)).ok()
}

fn max_files(limits: &str) -> Option<i64> {
    field(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "7 (redis) oper)) S 1 7 7 0 -1 4194560 2000 0 3 0 250 50 0 0 20 0 5 0 900 30000000 5000 1844 1";
        let vector = |ticks: u64| [16, 1, 17, ticks, 0, 0].map(u64::to_ne_bytes).concat();
        assert_eq!(cpu_seconds(stat, &vector(100)), Some(3.0));
        assert_eq!(cpu_seconds(stat, &vector(1000)), Some(0.3));
        assert_eq!(cpu_seconds(stat, &[]), Some(3.0), "a machine that does not say");
        assert_eq!(cpu_seconds(stat, &vector(0)), Some(3.0));
        assert_eq!(cpu_seconds("7 (x) S 1", &[]), None);
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t5\n";
        assert_eq!((kibibytes(status, "VmRSS:"), field(status, "Threads:")), (Some(1024 * 1024), Some(5)));
        assert_eq!(kibibytes("", "VmRSS:"), None);
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(max_files(limits), Some(1024));
        assert_eq!(max_files("Max open files            unlimited            unlimited            files\n"), None);
    }

    #[test]
    fn this_process_has_them_all() {
        let all = super::super::Metrics::new().exposition().unwrap();
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_virtual_memory_bytes ",
            "process_threads ",
            "process_open_fds ",
            "process_max_fds ",
            "process_start_time_seconds ",
        ] {
            let value = all.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
            assert!(value.parse::<f64>().unwrap() >= 0.0, "{name}{value}");
        }
    }
}

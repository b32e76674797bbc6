//! What Linux says of the process, under the names that Prometheus's clients agreed on. Where there is no `/proc`,
//! nothing.

use std::fs;
use std::time::Duration;

use super::reading::{Reading, Unit, Value};

/// Clock ticks of `/proc/self/stat` in a second: `USER_HZ`, which is 100 on every architecture that Rust's Linux has.
const TICKS_PER_SECOND: u64 = 100;

pub(super) fn read() -> Vec<Reading> {
    let cpu = fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| cpu(&stat));
    let memory = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| resident_bytes(&status));
    let cpu = cpu.map(|spent| Reading {
        name: "process_cpu_seconds",
        cloudwatch: "CpuTime",
        help: "CPU time of the process, in user and system mode.",
        unit: Unit::Seconds,
        value: Value::Spent(spent),
    });
    let memory = memory.map(|bytes| Reading {
        name: "process_resident_memory_bytes",
        cloudwatch: "ResidentMemory",
        help: "Resident memory of the process.",
        unit: Unit::Bytes,
        value: Value::Level(bytes),
    });
    cpu.into_iter().chain(memory).collect()
}

/// The 14th and the 15th field, utime and stime; the second may itself hold spaces, and ends with the last parenthesis.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 3 0";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu("7 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(
            resident_bytes("VmHWM:\t 20 kB\nVmRSS:\t    12 kB\n"),
            Some(12288)
        );
        assert_eq!(resident_bytes("VmHWM:\t 20 kB\n"), None);
    }
}

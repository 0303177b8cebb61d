//! How much memory this process may have.

use std::fs;

/// Where a limit of this process's group may stand, by the two kinds of control groups.
const GROUP_LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// The machine's memory, or the lower limit that a container sets; `None` where the system tells
/// neither.
#[must_use]
pub fn limit_bytes() -> Option<usize> {
    let groups = GROUP_LIMITS.iter();
    let groups = groups.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok();
    groups.chain(machine.as_deref().and_then(total)).min()
}

/// Of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_memory_is_read_in_kib() {
        let told = "MemTotal:       16384 kB\nMemFree:  1 kB\n";
        assert_eq!(total(told), Some(16 << 20));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(limit_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }
}

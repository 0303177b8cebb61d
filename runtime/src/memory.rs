//! How much memory this process may count on.

use std::fs;
use std::path::Path;

/// The memory of the machine, or of the control group that holds the process when that is less.
/// `None` where the system does not tell.
#[must_use]
pub fn limit_bytes() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let machine = meminfo_total(&read("/proc/meminfo"));
    let group = group_path(&read("/proc/self/cgroup")).and_then(|path| group_limit(&path));
    [machine, group].into_iter().flatten().min()
}

/// The lowest limit from a group up to the root of the tree.
fn group_limit(path: &str) -> Option<u64> {
    let root = Path::new("/sys/fs/cgroup");
    let group = root.join(path.trim_start_matches('/'));
    group
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok())
        // Without a limit it says `max`.
        .filter_map(|text| text.trim().parse().ok())
        .min()
}

/// The path of a version 2 control group in `/proc/self/cgroup`.
fn group_path(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_and_the_group_are_found_in_what_linux_writes() {
        let meminfo = "MemTotal:       24683912 kB\nMemFree:        14992732 kB\n";
        assert_eq!(meminfo_total(meminfo), Some(24_683_912 * 1024));
        assert_eq!(meminfo_total("MemTotal: x kB"), None);
        let group = "1:name=systemd:/x\n0::/system.slice/gantry.service\n";
        assert_eq!(
            group_path(group).as_deref(),
            Some("/system.slice/gantry.service")
        );
        assert_eq!(group_path(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_memory() {
        assert!(limit_bytes().is_some_and(|bytes| bytes > 16 << 20));
    }
}

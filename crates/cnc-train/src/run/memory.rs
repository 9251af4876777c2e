//! How much memory this process holds at most, as far as the system tells: Linux does.

/// The most memory held since the process started, or since [`reset_peak`], in bytes.
#[must_use]
pub(crate) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Start measuring anew, for the next of several runs in one process. Where that cannot be done, the peak is of all of
/// them.
pub(crate) fn reset_peak() {
    // 5 resets the high water mark (proc(5)); the figure is a remark, no reason to stop a run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_peak_grows_with_what_is_held() {
        let before = super::peak().unwrap();
        let block = vec![1_u8; 256 << 20];
        assert!(block.iter().map(|byte| u64::from(*byte)).sum::<u64>() == 256 << 20);
        assert!(super::peak().unwrap() >= before.max(256 << 20));
    }
}

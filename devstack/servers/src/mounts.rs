//! File systems that a run mounted below its directory.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Unmounts every file system at or below a directory, the innermost first: a run that crashed
/// leaves them, and a directory with one cannot be removed.
pub(crate) fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let below = points
        .map(Path::new)
        .filter(|point| point.starts_with(directory));
    for point in below.rev() {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(point)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

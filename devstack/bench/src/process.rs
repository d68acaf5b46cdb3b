//! Memory and processor time of a process, from `/proc`.

use std::time::Duration;

use anyhow::Context as _;

/// Returns the resident memory of a process in bytes.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("/proc has no VmRSS for the process")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

/// Returns the processor time that a process has used.
pub fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may contain any character. After it, state is field 3, and utime
    // and stime are fields 14 and 15.
    let (_, fields) = text
        .rsplit_once(") ")
        .context("/proc has no stat of the process")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let (user, system) = (ticks(11), ticks(12));
    let ticks = user
        .zip(system)
        .context("/proc has no times of the process")?;
    // USER_HZ is 100 on Linux.
    Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
}

//! What the kernel knows of a process.

use std::time::Duration;

use anyhow::Context as _;

/// Resident memory in bytes.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("the kernel tells no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

/// Processor time that a process has used.
pub fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which may hold anything: state is field 3, utime and
    // stime are 14 and 15.
    let (_, fields) = text.rsplit_once(") ").context("the kernel tells no stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let (user, system) = (ticks(11), ticks(12));
    let ticks = user.zip(system).context("the kernel tells no times")?;
    // USER_HZ is 100 on Linux.
    Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
}

//! The machine on which a result was measured, and the resources of a process, from `/proc`.

use std::time::Duration;

use anyhow::Context as _;

/// Returns one line about processors, memory and kernel.
pub fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(
            || "processor unknown".to_owned(),
            |(_, model)| model.to_owned(),
        );
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes / 1024 / 1024);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} × {model}, {memory} GiB, Linux {}", kernel.trim())
}

/// Returns the load average of the last minute. If it is higher than the number of processors,
/// other processes have affected the result.
pub fn load() -> f64 {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_default()
}

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

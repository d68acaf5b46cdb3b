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

/// The resident memory of a process in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Resident {
    /// All of it.
    pub all: u64,
    /// Heap and stacks. The rest is the program itself, which the system shares and drops.
    pub anonymous: u64,
}

/// Returns a number of bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Returns the resident memory of a process in bytes.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    Ok(resident_parts(process)?.all)
}

/// Returns the resident memory of a process by its kinds.
pub fn resident_parts(process: u32) -> anyhow::Result<Resident> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let bytes = |name: &str| -> anyhow::Result<u64> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .with_context(|| format!("/proc has no {name} for the process"))?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024)
    };
    Ok(Resident {
        all: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
    })
}

/// Returns the processor time that a process and its living descendants have used.
pub fn processor_time_of_family(process: u32) -> anyhow::Result<Duration> {
    let mut all = processor_time(process)?;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if parent(child) == Some(process) {
            // A child may end at any moment.
            all += processor_time_of_family(child).unwrap_or_default();
        }
    }
    Ok(all)
}

fn parent(process: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
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

//! What the operating system says that a process has used (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A process, or one with all that it has started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Process {
    /// What its use is counted under: several gateways are `gateway`.
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// Postgres is many processes.
    pub(crate) tree: bool,
}

/// Fails where the accounts are not kept that are read here.
pub(crate) fn check() -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "this needs Linux, which accounts for processes in /proc");
    let own = std::process::id();
    // Without CONFIG_PROC_CHILDREN nobody would see what Postgres' processes use.
    let children = format!("/proc/{own}/task/{own}/children");
    ensure!(Path::new(&children).exists(), "this kernel does not tell of a process' children ({children})");
    Ok(())
}

/// CPU time by name.
pub(crate) type Cpu = BTreeMap<String, Duration>;

/// CPU time of each, user and system, since it began; of a tree that of ended children too.
pub(crate) fn cpu(processes: &[Process]) -> Result<Cpu> {
    let mut used = Cpu::new();
    for process in processes {
        let pids = if process.tree { descendants(process.pid)? } else { vec![process.pid] };
        let mut ticks = 0;
        for pid in pids {
            // One that has just ended is in its parent's count.
            let Ok(stat) = stat(pid) else { continue };
            ticks += stat[11] + stat[12];
            if process.tree && pid == process.pid {
                ticks += stat[13] + stat[14];
            }
        }
        *used.entry(process.name.clone()).or_default() += ticks_to_time(ticks);
    }
    Ok(used)
}

/// Time that the host has taken from all cores together since the machine began, while they had something to do.
pub(crate) fn stolen() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let cores = text.lines().next().context("a line for all cores")?;
    // user, nice, system, idle, iowait, irq, softirq, steal; the name before them.
    let ticks = cores.split_whitespace().nth(8).and_then(|ticks| ticks.parse().ok()).unwrap_or_default();
    Ok(ticks_to_time(ticks))
}

/// Of what all cores could do in that time.
pub(crate) fn share(used: Duration, time: Duration) -> f64 {
    used.as_secs_f64()
        / (time.as_secs_f64() * std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64))
}

/// USER_HZ is 100 on every Linux architecture that matters (proc(5), sysconf(3)).
fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_millis(10 * ticks)
}

/// What was used between two readings.
pub(crate) fn between(before: &Cpu, after: &Cpu) -> Cpu {
    after
        .iter()
        .map(|(name, used)| (name.clone(), used.saturating_sub(before.get(name).copied().unwrap_or_default())))
        .collect()
}

/// Microseconds for each of so many deliveries.
pub(crate) fn each(used: &Cpu, deliveries: f64) -> BTreeMap<String, f64> {
    used.iter().map(|(name, used)| (name.clone(), used.as_secs_f64() * 1e6 / deliveries)).collect()
}

/// Most bytes in memory since [`forget_peaks`], by name: of a tree what it has in memory now, what is shared counted once.
pub(crate) fn peak(processes: &[Process]) -> Result<BTreeMap<String, u64>> {
    let mut peaks = BTreeMap::new();
    for process in processes {
        let bytes = if process.tree {
            descendants(process.pid)?.into_iter().filter_map(|pid| field(pid, "smaps_rollup", "Pss:").ok()).sum()
        } else {
            field(process.pid, "status", "VmHWM:")?
        };
        *peaks.entry(process.name.clone()).or_default() += bytes;
    }
    Ok(peaks)
}

/// Begins to look for peaks anew.
pub(crate) fn forget_peaks(processes: &[Process]) {
    for process in processes {
        // Where this is not allowed the peak is that of the whole life, which is no less.
        _ = fs::write(format!("/proc/{}/clear_refs", process.pid), "5");
    }
}

/// Of `/proc/<pid>/stat` the numbers from the third field (`state`, read as 0) on.
fn stat(pid: u32) -> Result<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second may hold anything, in parentheses.
    let rest = text.rsplit_once(')').context("a name in parentheses")?.1;
    Ok(rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
}

fn descendants(root: u32) -> Result<Vec<u32>> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(found)
}

fn field(pid: u32, file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kilobytes: u64 = line.split_whitespace().next().context("a number")?.parse()?;
    Ok(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(used: &[(&str, u64)]) -> Cpu {
        used.iter().map(|(name, ms)| ((*name).to_owned(), Duration::from_millis(*ms))).collect()
    }

    #[test]
    fn what_was_used_between_counts_from_the_first_reading_or_from_nothing() {
        // One that was started again has used less than before.
        let used =
            between(&cpu(&[("redis", 100), ("worker", 50)]), &cpu(&[("redis", 130), ("worker", 20), ("nats", 5)]));
        assert_eq!(used, cpu(&[("redis", 30), ("worker", 0), ("nats", 5)]));
        assert_eq!(each(&used, 10.0)["redis"], 3000.0);
    }

    #[test]
    fn the_clock_of_this_very_process_runs() {
        let own = [Process { name: "own".to_owned(), pid: std::process::id(), tree: true }];
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(60) {}
        let used = cpu_of_own(&own);
        assert!(used >= Duration::from_millis(20), "{used:?}");
        assert!(peak(&own).is_ok_and(|peaks| peaks["own"] > 1 << 20));
    }

    fn cpu_of_own(own: &[Process]) -> Duration {
        super::cpu(own).map(|used| used["own"]).unwrap_or_default()
    }
}

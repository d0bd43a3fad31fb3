//! What Linux says of memory, processors and load: `/proc/meminfo`, `/proc/pressure/memory`, `/proc/stat`, `/proc/loadavg`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Figures, percent};
use crate::collect::reason;

/// The files stay open: reading one again costs half of opening it.
pub(super) struct Host {
    meminfo: Kept,
    pressure: Kept,
    stat: Kept,
    loadavg: Kept,
    cores: Option<u32>,
}

impl Default for Host {
    fn default() -> Self {
        let kept = |path| Kept { path, file: None, buffer: vec![0; 4096] };
        Self {
            meminfo: kept("/proc/meminfo"),
            pressure: kept("/proc/pressure/memory"),
            stat: kept("/proc/stat"),
            loadavg: kept("/proc/loadavg"),
            cores: None,
        }
    }
}

struct Kept {
    path: &'static str,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Kept {
    fn read(&mut self) -> Result<&str, String> {
        let length = self.try_read().map_err(|error| format!("cannot read {}: {}", self.path, reason::plain(&error)))?;
        std::str::from_utf8(&self.buffer[..length]).map_err(|_| format!("{} is no text", self.path))
    }

    /// As much as the buffer holds; what is wanted stands first.
    fn try_read(&mut self) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(self.path)?),
        };
        let result = file.read_at(&mut self.buffer, 0);
        if result.is_err() {
            self.file = None;
        }
        result
    }
}

impl Host {
    pub(super) fn figures(&mut self) -> Result<Figures, String> {
        self.meminfo.read().and_then(parse_meminfo).map(|memory| Figures {
            usage: percent(memory.total.saturating_sub(memory.available), memory.total),
            available_mib: kib_to_mib(memory.available),
            swap: percent(memory.swap_total.saturating_sub(memory.swap_free), memory.swap_total),
        })
    }

    /// The share of the last ten seconds in which something waited for memory, in percent.
    pub(super) fn pressure(&mut self) -> Result<f64, String> {
        self.pressure.read().and_then(parse_pressure).map_err(|error| format!("no pressure figures: {error}"))
    }

    /// Processor time of all cores since some fixed point: busy, and all of it, in ticks.
    pub(super) fn cpu(&mut self) -> Result<(u64, u64), String> {
        // Every core has a line of about 60 bytes; they are followed by a line that begins with `intr`.
        let mut cpu = self.stat.read().and_then(parse_cpu);
        while matches!(cpu, Ok((_, _, false))) && self.stat.buffer.len() < 1 << 20 {
            self.stat.buffer.resize(self.stat.buffer.len() * 2, 0);
            cpu = self.stat.read().and_then(parse_cpu);
        }
        let (times, cores, _) = cpu?;
        self.cores = Some(cores);
        Ok(times)
    }

    /// The load of one minute for each core.
    pub(super) fn load(&mut self) -> Result<f64, String> {
        if self.cores.is_none() {
            self.cpu()?;
        }
        let cores = self.cores.unwrap_or(1).max(1);
        self.loadavg.read().and_then(parse_load).map(|load| load / f64::from(cores))
    }
}

#[expect(clippy::cast_precision_loss, reason = "no host has 2^53 KiB of memory")]
fn kib_to_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// In KiB.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meminfo {
    total: u64,
    available: u64,
    swap_total: u64,
    swap_free: u64,
}

fn parse_meminfo(text: &str) -> Result<Meminfo, String> {
    let mut found = [None; 4];
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let place = match name {
            "MemTotal" => 0,
            "MemAvailable" => 1,
            "SwapTotal" => 2,
            "SwapFree" => 3,
            _ => continue,
        };
        found[place] = rest.trim().trim_end_matches(" kB").parse().ok();
        // They stand at the beginning of some fifty lines.
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    match found {
        [Some(total), Some(available), swap_total, swap_free] => {
            Ok(Meminfo { total, available, swap_total: swap_total.unwrap_or(0), swap_free: swap_free.unwrap_or(0) })
        }
        _ => Err("/proc/meminfo has no MemTotal or MemAvailable".to_owned()),
    }
}

/// `some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459`
fn parse_pressure(text: &str) -> Result<f64, String> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    let average = some.and_then(|line| line.split(' ').find_map(|field| field.strip_prefix("avg10=")?.parse().ok()));
    average.ok_or_else(|| "/proc/pressure/memory has no avg10".to_owned())
}

/// Busy and total time of all cores in ticks, the number of cores, and whether all their lines were there.
fn parse_cpu(text: &str) -> Result<((u64, u64), u32, bool), String> {
    let mut lines = text.lines();
    let all = lines.next().and_then(|line| line.strip_prefix("cpu "));
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    let times: Vec<u64> = all.into_iter().flat_map(str::split_ascii_whitespace).take(8).map_while(|field| field.parse().ok()).collect();
    let [_, _, _, idle, ..] = times[..] else { return Err("/proc/stat has no line for all cores".to_owned()) };
    let total: u64 = times.iter().sum();
    let idle = idle + times.get(4).copied().unwrap_or(0);
    let mut cores = 0;
    let whole = lines.any(|line| {
        let core = line.starts_with("cpu");
        cores += u32::from(core);
        !core
    });
    Ok(((total.saturating_sub(idle), total), cores, whole))
}

fn parse_load(text: &str) -> Result<f64, String> {
    text.split(' ').next().and_then(|first| first.parse().ok()).ok_or_else(|| "/proc/loadavg has no number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let text = "MemTotal:       100 kB\nMemFree:  5 kB\nMemAvailable:   25 kB\nHugePages_Total:  0\nSwapTotal: 8 kB\nSwapFree: 6 kB\n";
        assert_eq!(parse_meminfo(text), Ok(Meminfo { total: 100, available: 25, swap_total: 8, swap_free: 6 }));
        assert!(parse_meminfo("MemTotal: 100 kB\n").is_err());
        assert_eq!(parse_pressure("some avg10=1.50 avg60=0.17 avg300=1.11 total=5\nfull avg10=9.00 avg60=0 avg300=0 total=1\n"), Ok(1.5));
        assert!(parse_pressure("full avg10=9.00\n").is_err());
        let stat = "cpu  10 20 30 40 5 6 7 8 9 10\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\n";
        assert_eq!(parse_cpu(stat), Ok(((81, 126), 2, true)));
        assert_eq!(parse_cpu("cpu  1 2 3 4\ncpu0 1").map(|(_, cores, whole)| (cores, whole)), Ok((1, false)));
        assert!(parse_cpu("").is_err() && parse_cpu("cpu 1 2").is_err());
        assert_eq!(parse_load("0.50 0.10 0.01 1/100 5\n"), Ok(0.5));
    }
}

//! Memory, processor and load of the host.

use std::sync::Arc;

use super::looks::Looks;
use super::{Collector, reason};
use crate::clock::Moment;
use crate::metric;
use crate::sample::{Sample, Target};

#[cfg(target_os = "linux")]
use linux::Host;
#[cfg(not(target_os = "linux"))]
use other::Host;

/// What the system says now; each figure or the reason why there is none.
struct Figures {
    usage: Result<f64, String>,
    available_mib: Result<f64, String>,
    swap: Result<f64, String>,
    pressure: Result<f64, String>,
    /// Processor time of all cores since some fixed point: busy, and all of it. The unit does not matter.
    cpu: Result<(u64, u64), String>,
    load: Result<f64, String>,
}

/// Measures the host.
pub(crate) struct Memory {
    host: Host,
    target: Arc<Target>,
    looks: Looks<(u64, u64)>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { host: Host::default(), target: Arc::default(), looks: Looks::default() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a percent needs no 53 bits")]
    fn cpu_usage(&mut self, now: Moment, (busy, all): (u64, u64)) -> Result<f64, String> {
        let percent = self.looks.base(now).map(|(_, (busy_then, all_then))| {
            let all = all.saturating_sub(*all_then);
            if all == 0 { 0.0 } else { busy.saturating_sub(*busy_then) as f64 / all as f64 * 100.0 }
        });
        self.looks.keep(now, (busy, all));
        percent.ok_or_else(|| reason::SECOND_LOOK.to_owned())
    }
}

impl Collector for Memory {
    fn measure(&mut self) -> Vec<Sample> {
        let figures = self.host.look();
        let now = Moment::now();
        let cpu = figures.cpu.and_then(|times| self.cpu_usage(now, times));
        let number = |name, value| Sample::number(metric::named(name), &self.target, value, now);
        vec![
            number("memory_usage", figures.usage),
            number("memory_available_mb", figures.available_mib),
            number("swap_usage", figures.swap),
            number("memory_pressure", figures.pressure),
            number("cpu_usage", cpu),
            number("load_average", figures.load),
        ]
    }
}

/// `used` of `whole` in percent; nothing of nothing is 0.
#[expect(clippy::cast_precision_loss, reason = "a percent needs no 53 bits")]
fn percent(used: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { used as f64 / whole as f64 * 100.0 }
}

#[cfg(target_os = "linux")]
mod linux {
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
        cores: u32,
    }

    impl Default for Host {
        fn default() -> Self {
            let kept = |path| Kept { path, file: None, buffer: vec![0; 4096] };
            Self {
                meminfo: kept("/proc/meminfo"),
                pressure: kept("/proc/pressure/memory"),
                stat: kept("/proc/stat"),
                loadavg: kept("/proc/loadavg"),
                cores: 1,
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
        pub(super) fn look(&mut self) -> Figures {
            let memory = self.meminfo.read().and_then(parse_meminfo);
            // Every core has a line of about 60 bytes; they are followed by a line that begins with `intr`.
            let mut cpu = self.stat.read().and_then(parse_cpu);
            while matches!(cpu, Ok((_, _, false))) && self.stat.buffer.len() < 1 << 20 {
                self.stat.buffer.resize(self.stat.buffer.len() * 2, 0);
                cpu = self.stat.read().and_then(parse_cpu);
            }
            if let Ok((_, cores, _)) = &cpu {
                self.cores = *cores;
            }
            let load = self.loadavg.read().and_then(parse_load).map(|load| load / f64::from(self.cores.max(1)));
            let of = |figure: fn(&Meminfo) -> f64| memory.as_ref().map(figure).map_err(String::clone);
            Figures {
                usage: of(|memory| percent(memory.total.saturating_sub(memory.available), memory.total)),
                available_mib: of(|memory| kib_to_mib(memory.available)),
                swap: of(|memory| percent(memory.swap_total.saturating_sub(memory.swap_free), memory.swap_total)),
                pressure: self.pressure.read().and_then(parse_pressure).map_err(|error| format!("no pressure figures: {error}")),
                cpu: cpu.map(|(times, _, _)| times),
                load,
            }
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
            let text =
                "MemTotal:       100 kB\nMemFree:  5 kB\nMemAvailable:   25 kB\nHugePages_Total:  0\nSwapTotal: 8 kB\nSwapFree: 6 kB\n";
            assert_eq!(parse_meminfo(text), Ok(Meminfo { total: 100, available: 25, swap_total: 8, swap_free: 6 }));
            assert!(parse_meminfo("MemTotal: 100 kB\n").is_err());
            assert_eq!(
                parse_pressure("some avg10=1.50 avg60=0.17 avg300=1.11 total=5\nfull avg10=9.00 avg60=0 avg300=0 total=1\n"),
                Ok(1.5)
            );
            assert!(parse_pressure("full avg10=9.00\n").is_err());
            let stat = "cpu  10 20 30 40 5 6 7 8 9 10\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\n";
            assert_eq!(parse_cpu(stat), Ok(((81, 126), 2, true)));
            assert_eq!(parse_cpu("cpu  1 2 3 4\ncpu0 1").map(|(_, cores, whole)| (cores, whole)), Ok((1, false)));
            assert!(parse_cpu("").is_err() && parse_cpu("cpu 1 2").is_err());
            assert_eq!(parse_load("0.50 0.10 0.01 1/100 5\n"), Ok(0.5));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use sysinfo::{CpuRefreshKind, MemoryRefreshKind, System};

    use super::{Figures, percent};

    #[derive(Default)]
    pub(super) struct Host {
        system: Option<System>,
        /// sysinfo tells the usage since its last look; it is added up here.
        times: (u64, u64),
    }

    impl Host {
        pub(super) fn look(&mut self) -> Figures {
            if self.system.is_none() {
                self.system = System::new().ok();
            }
            const NONE: &str = "sysinfo has no figures here";
            let none = || Err(NONE.to_owned());
            let Some(system) = &mut self.system else {
                let cpu = Err(NONE.to_owned());
                return Figures { usage: none(), available_mib: none(), swap: none(), pressure: none(), cpu, load: none() };
            };
            system.refresh_memory_specifics(MemoryRefreshKind::everything());
            system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10,000")]
            let busy = (f64::from(system.global_cpu_usage()).clamp(0.0, 100.0) * 100.0) as u64;
            self.times = (self.times.0 + busy, self.times.1 + 10_000);
            let (total, available) = (system.total_memory(), system.available_memory());
            #[expect(clippy::cast_precision_loss, reason = "no host has 2^53 bytes of memory")]
            let available_mib = available as f64 / 1_048_576.0;
            let cores = u32::try_from(system.cpus().len()).unwrap_or(1).max(1);
            Figures {
                usage: if total == 0 { none() } else { Ok(percent(total.saturating_sub(available), total)) },
                available_mib: Ok(available_mib),
                swap: Ok(percent(system.used_swap(), system.total_swap())),
                pressure: Err("only Linux has pressure figures".to_owned()),
                cpu: Ok(self.times),
                load: System::load_average().map(|load| load.one / f64::from(cores)).map_err(|_| "no load average".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::test_rig::{sample, value, wait_until};
    use crate::sample::Value;

    #[test]
    fn the_host_is_measured() {
        let mut memory = Memory::new();
        let samples = memory.measure();
        assert!((0.1..100.0).contains(&value(&samples, "memory_usage")));
        assert!(value(&samples, "memory_available_mb") > 1.0);
        assert!((0.0..=100.0).contains(&value(&samples, "swap_usage")));
        assert!(value(&samples, "load_average") >= 0.0);
        assert_eq!(sample(&samples, "cpu_usage").reason.as_deref(), Some("needs a second look"));
        let pressure = sample(&samples, "memory_pressure");
        assert!(pressure.value.is_some() != pressure.reason.is_some());
        wait_until(
            "the processor was looked at twice",
            || matches!(sample(&memory.measure(), "cpu_usage").value, Some(Value::Number(percent)) if (0.0..=100.0).contains(&percent)),
        );
    }
}

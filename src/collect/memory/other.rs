//! What sysinfo says of memory, processors and load, where there is no `/proc`.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, System};

use super::{Figures, percent};

const NONE: &str = "sysinfo has no figures here";

#[derive(Default)]
pub(super) struct Host {
    system: Option<System>,
    /// sysinfo tells the usage since its last look; it is added up here.
    times: (u64, u64),
}

impl Host {
    fn system(&mut self) -> Result<&mut System, String> {
        if self.system.is_none() {
            self.system = System::new().ok();
        }
        self.system.as_mut().ok_or_else(|| NONE.to_owned())
    }

    pub(super) fn figures(&mut self) -> Result<Figures, String> {
        let system = self.system()?;
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let (total, available) = (system.total_memory(), system.available_memory());
        if total == 0 {
            return Err(NONE.to_owned());
        }
        #[expect(clippy::cast_precision_loss, reason = "no host has 2^53 bytes of memory")]
        let available_mib = available as f64 / 1_048_576.0;
        let usage = percent(total.saturating_sub(available), total);
        Ok(Figures { usage, available_mib, swap: percent(system.used_swap(), system.total_swap()) })
    }

    pub(super) fn pressure(&mut self) -> Result<f64, String> {
        Err("only Linux has pressure figures".to_owned())
    }

    /// Processor time of all cores since the start: busy, and all of it, in no unit.
    pub(super) fn cpu(&mut self) -> Result<(u64, u64), String> {
        let system = self.system()?;
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10,000")]
        let busy = (f64::from(system.global_cpu_usage()).clamp(0.0, 100.0) * 100.0) as u64;
        self.times = (self.times.0 + busy, self.times.1 + 10_000);
        Ok(self.times)
    }

    /// The load of one minute for each core.
    pub(super) fn load(&mut self) -> Result<f64, String> {
        let cores = u32::try_from(self.system()?.cpus().len()).unwrap_or(1).max(1);
        System::load_average().map(|load| load.one / f64::from(cores)).map_err(|_| "no load average".to_owned())
    }
}

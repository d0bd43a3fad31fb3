//! What a look at 10 to 2,000 targets costs, collector by collector: `cargo bench --bench scale`, or `… -- logs` for some of them.
//!
//! The real collectors run on their own schedule in this process. What counts is processor time, not time on the clock: that of the
//! whole process without the thread that takes the samples and without the servers that are watched. docs/performance.md has
//! the table, and what it means.

#[cfg(target_os = "linux")]
mod look;
#[cfg(target_os = "linux")]
mod scene;
#[cfg(target_os = "linux")]
mod servers;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("scale: /proc is measured, so this runs on Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::look::{Cost, WARM, look};
    use super::scene::{self, Scene};

    /// Says that this program has a mount namespace of its own.
    pub(super) const OWN_MOUNTS: &str = "--own-mounts";
    const SIZES: [usize; 4] = [10, 100, 1000, 2000];
    /// Besides the watched ones, where a host is to be full of processes.
    const OTHERS: usize = 10_000;

    /// What is watched, how the scene for so many targets is set, and how many other processes the host has.
    type Case = (&'static str, fn(usize) -> Result<Scene, String>, usize);

    const CASES: [Case; 10] = [
        ("disks: mounts, listed", scene::mounts, 0),
        ("disks: mounts, \"auto\"", scene::auto_mounts, 0),
        ("processes: pid files", scene::pid_files, 0),
        ("processes: patterns", scene::patterns, 0),
        ("processes: patterns, 10,000 others", scene::patterns, OTHERS),
        ("logs: paths", scene::logs, 0),
        ("logs: one glob", scene::log_glob, 0),
        ("certificates: PEM files", scene::pem_files, 0),
        ("certificates: served", scene::served, 0),
        ("endpoints: HTTP", scene::endpoints, 0),
    ];

    pub(super) fn main() {
        let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let test = words.iter().any(|word| word == "--test");
        if !words.iter().any(|word| word == OWN_MOUNTS) && run_with_own_mounts() {
            return;
        }
        words.retain(|word| !word.starts_with("--"));
        let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
        let (sizes, looks, warm) = if test { (&SIZES[..1], 1, Duration::ZERO) } else { (&SIZES[..], 5, WARM) };
        println!("| watched | targets | first look, ms | each look, ms | each target, µs |\n| --- | ---: | ---: | ---: | ---: |");
        for (name, set, others) in CASES.iter().filter(|case| wanted(case.0)) {
            let _others = scene::sleepers("1801", if test { others / 100 } else { *others });
            for size in sizes {
                match set(*size).map(|scene| look(&scene, looks, warm)) {
                    Ok(cost) => row(name, *size, cost),
                    Err(why) => println!("| {name} | {size} | {why} | | |"),
                }
            }
        }
    }

    /// Runs this program where its mounts are nobody else's. It takes root; without, no mounts are measured.
    #[expect(clippy::disallowed_methods, reason = "a benchmark starts itself")]
    fn run_with_own_mounts() -> bool {
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private"]);
            command
        };
        if !unshare().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return false;
        }
        let own = std::env::current_exe().expect("this program has a path");
        let status = unshare().arg(own).args(std::env::args().skip(1)).arg(OWN_MOUNTS).status();
        assert!(status.is_ok_and(|status| status.success()), "the program with its own mounts failed");
        true
    }

    fn row(name: &str, targets: usize, Cost { first, each, late }: Cost) {
        let ms = |span: Duration| span.as_secs_f64() * 1000.0;
        let targets_f = f64::from(u32::try_from(targets).unwrap_or(u32::MAX));
        let remark = if late > 0 { format!(" ({late} late)") } else { String::new() };
        println!("| {name}{remark} | {targets} | {:.1} | {:.2} | {:.1} |", ms(first), ms(each), ms(each) * 1000.0 / targets_f);
    }
}

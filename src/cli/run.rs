//! `autoheal run`: the agent in the foreground.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::path::Path;

use clap::Args;
use log::LevelFilter;

use super::{Answer, Failure, exit, state, table};
use crate::agent::{self, Setup};
use crate::clock::Moment;
use crate::config::reload::{self, Beginning};
use crate::config::{Config, Origin, Places};
use crate::heal::confine::protections;
use crate::record::escape::terminal;
use crate::record::json::to_the_millisecond;
use crate::sample::Sample;

/// Options of `run`.
#[derive(Args, Debug, Default)]
pub struct RunArgs {
    /// Decide and record everything, execute nothing, whatever the settings say.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &RunArgs, places: &Places, quiet: bool) -> Answer {
    super::block_signals()?;
    let location = places.locate();
    let (data_dir, _lock) = state::claim(places, &location)?;
    let beginning = Beginning::read(location, &data_dir).map_err(|loaded| super::refused(*loaded))?;
    introduce(&beginning, &data_dir, args.dry_run);
    let first_look = if quiet { |_: &[Sample], _: Moment| {} } else { show };
    agent::run(Setup { beginning, data_dir, dry_run: args.dry_run, first_look }).map_err(|message| Failure::new("agent", message))?;
    Ok(exit::DONE)
}

/// Which configuration it is, whether it is a dry run and how to change that, and what is watched.
fn introduce(beginning: &Beginning, data_dir: &Path, dry_run_asked: bool) {
    let config = &beginning.config;
    let copy = if beginning.problems.is_empty() { "" } else { " (REFUSED: the last good copy of it is in force)" };
    log::info!("autoheal {} on the configuration {}{copy}, reports in {}", env!("CARGO_PKG_VERSION"), config.origin, data_dir.display());
    if dry_run_asked {
        log::info!("dry run: nothing is executed, because of --dry-run");
    } else if config.settings.dry_run {
        log::info!("dry run: nothing is executed; to let autoheal act, {}", how_to_act(config));
    }
    reload::warn(config, None);
    for lack in protections::all().iter().filter(|one| one.state != protections::State::InForce) {
        log::warn!("a protection of actions is not whole here name={} reason={}", lack.name, lack.detail);
    }
    log::info!("watching {}", config.settings.watch);
}

fn how_to_act(config: &Config) -> String {
    match &config.origin {
        Origin { dir: Some(dir), built_in_settings: false } => format!("set \"dry_run\": false in {}", dir.join("autoheal.json").display()),
        Origin { dir: Some(dir), .. } => format!("write {} with \"dry_run\": false", dir.join("autoheal.json").display()),
        Origin { dir: None, .. } => "put both files into /etc/autoheal, with \"dry_run\": false in autoheal.json".to_owned(),
    }
}

/// More rows of the first table nobody reads, and thousands of them take their memory.
const FIRST_ROWS: usize = 200;

/// The first table: on standard error with everything else that `run` says, unless that is a journal.
fn show(samples: &[Sample], now: Moment) {
    if std::env::var_os("JOURNAL_STREAM").is_none() {
        let shown = &samples[..samples.len().min(FIRST_ROWS)];
        let more = match samples.len() - shown.len() {
            0 => String::new(),
            _ => "and many more; autoheal probe shows all of them\n".to_owned(),
        };
        let _ = writeln!(super::errors(), "{}{more}", table::first_samples(shown, now));
    }
}

/// `LEVEL time message`, without the time where the journal has its own. A message is one line, and nothing in it is obeyed by a
/// terminal, whatever stands in it: here, once for all. So is the message of a panic.
pub(super) fn log_to_stderr(verbose: u8, quiet: bool, agent: bool) {
    let level = match (verbose, quiet) {
        (_, true) => LevelFilter::Warn,
        (0, _) if agent => LevelFilter::Info,
        (0, _) => LevelFilter::Warn,
        (1, _) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    env_logger::Builder::new()
        .filter_module("autoheal", level)
        .filter_level(LevelFilter::Warn)
        .format(move |out, record| {
            let style = out.default_level_style(record.level());
            let level = record.level();
            let message = terminal(&record.args().to_string());
            if journal {
                writeln!(out, "{style}{level:<5}{style:#} {message}")
            } else {
                let now = to_the_millisecond(Moment::now().wall);
                writeln!(out, "{style}{level:<5}{style:#} {now} {message}")
            }
        })
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
        log::error!("{panic}{trace}");
    }));
}

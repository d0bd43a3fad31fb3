//! `autoheal heal PLAYBOOK`: runs a playbook by hand, under all the same rules, and prints its timeline as it happens.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};

use super::agent::Desk;
use super::fields::{list, text, time};
use super::{Answer, Failure, exit, state};
use crate::clock::Moment;
use crate::collect::Collectors;
use crate::config::{Config, Places};
use crate::heal::by_hand;
use crate::heal::command::{Change, Command};
use crate::heal::executor;
use crate::heal::healer::{Healer, Saved};
use crate::heal::tree;
use crate::heal::worker::{self, Wiring};
use crate::host::signals;
use crate::incident::id::Ids;
use crate::incident::{Incident, Opening, Status};
use crate::record::escape::terminal;
use crate::record::json::{to_the_millisecond, to_the_second};
use crate::record::recorder::{self, Recorder};
use crate::record::saved;
use crate::record::store::Reports;
use crate::sample::Batch;
use crate::serve::client::Client;
use crate::serve::protocol::Request;
use crate::threads::Worker;

/// Options of `heal`.
#[derive(Args, Debug)]
pub struct HealArgs {
    /// The playbook's id.
    playbook: String,
    /// Only targets with this label; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = super::label)]
    labels: Vec<(String, String)>,
    /// Do not look at the condition and the cooldown first. Everything else holds.
    #[arg(long)]
    force: bool,
    /// Wait for the end (the default).
    #[arg(long)]
    wait: bool,
    /// Decide and record everything, execute nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the playbook on every target that it concerns now.
///
/// # Errors
/// When the data directory cannot be used, an agent is running on it, or nobody can be told.
pub fn run(args: &HealArgs, places: &Places, json: bool, out: &mut dyn Write) -> Answer {
    let location = places.locate();
    match Desk::new(state::kept(places, &location), json).client() {
        Ok(client) => return through_agent(args, client, json, out),
        Err(refusal) if refusal.exit == exit::NO_AGENT => {}
        Err(refusal) => return Err(refusal.into()),
    }
    super::block_signals()?;
    let config = &Arc::new(super::load(&location)?);
    let request = by_hand::Request { playbook: &args.playbook, labels: args.labels.iter().cloned().collect(), force: args.force };
    request.playbook(config)?;
    let (data_dir, _lock) = state::claim(places, &location)?;
    let unusable = |error: &dyn std::fmt::Display| Failure::new("data_dir", format!("{}: {error}", data_dir.display()));
    let reports = Reports::new(&data_dir).map_err(|error| unusable(&error))?;
    let (recorder, restored) = Recorder::open(reports, Moment::now()).map_err(|error| unusable(&error))?;
    tree::become_subreaper();
    let openings = match request.openings(config)? {
        by_hand::Found::Open(openings) => openings,
        by_hand::Found::Nothing(text) => return nothing_to_do(&text, json, out),
    };
    let mut saved = saved::restore(restored, &crate::host::boot_id(), Moment::now());
    // What an agent left open is taken up by the next one: a heal by hand neither waits for it nor doubles it.
    let left = std::mem::take(&mut saved.incidents);
    let mut session = Session::start(config, recorder, saved, data_dir.clone(), args.dry_run);
    for opening in openings {
        match left.iter().find(|incident| incident.key() == opening.key()) {
            Some(open) => {
                session.refused = Some(format!("incident {} of {} is open; start the agent, which takes it up", open.id, open.key()))
            }
            None => session.open(opening)?,
        }
    }
    let worst = session.follow(json, out);
    session.stop();
    worst
}

/// The agent that runs does it; what happens is printed all the same.
fn through_agent(args: &HealArgs, client: Client, json: bool, out: &mut dyn Write) -> Answer {
    let (playbook, labels) = (args.playbook.clone(), args.labels.iter().cloned().collect());
    let request = Request::Heal { playbook, labels, force: args.force, dry_run: args.dry_run };
    let mut code = exit::DONE;
    let last = client.follow(&request, |line| {
        let incident = &line["incident"];
        if incident.is_object() {
            let status = serde_json::from_value(incident["status"].clone()).map_or(exit::FAILED, code_of);
            code = code.max(status);
            if !json {
                return Ok(writeln!(out, "report: {}", terminal(&text(&incident["report"])))?);
            }
        }
        if json {
            writeln!(out, "{line}")?;
        } else {
            let (at, id, event) = (time(&line["at"]), text(incident), text(&line["event"]));
            writeln!(out, "{}", terminal(&format!("{at} {id} {event}: {}", text(&line["text"]))))?;
        }
        out.flush().map_err(Failure::from)
    })?;
    if let Some(nothing) = last["nothing"].as_str() {
        return nothing_to_do(nothing, json, out);
    }
    let refused: Vec<String> = list(&last["refused"]).iter().map(text).collect();
    if !refused.is_empty() {
        say_refused(&refused.join("; "), json, out)?;
        code = code.max(exit::REFUSED);
    }
    Ok(code)
}

/// A refusal is a line like every other thing that happens.
fn say_refused(reason: &str, json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if json {
        let line = serde_json::json!({"at": to_the_millisecond(Moment::now().wall), "event": "refused", "text": reason, "incident": null});
        writeln!(out, "{line}")
    } else {
        writeln!(out, "refused: {}", terminal(reason))
    }
}

fn nothing_to_do(text: &str, json: bool, out: &mut dyn Write) -> Answer {
    if json {
        let line = serde_json::json!({"at": to_the_millisecond(Moment::now().wall), "event": "cleared", "text": text, "incident": null});
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{}", terminal(text))?;
    }
    Ok(exit::DONE)
}

/// A heal worker of our own, with collectors and without a detector.
struct Session {
    shutdown: Option<Sender<()>>,
    collectors: Collectors,
    healer: Worker,
    recorder: Worker,
    commands: Sender<Command>,
    changes: Receiver<Change>,
    open: HashMap<String, usize>,
    refused: Option<String>,
    _keep: Keep,
}

/// Ends of channels that nobody uses here, but whose closing would stop the heal worker or the collectors.
struct Keep {
    _edges: Sender<crate::detect::Edge>,
    _configs: Sender<Arc<Config>>,
    _samples: Receiver<Batch>,
}

impl Session {
    fn start(config: &Arc<Config>, recorder: Recorder, saved: Saved, data_dir: PathBuf, dry_run: bool) -> Self {
        let (shutdown, stop) = bounded(0);
        let (samples_out, samples) = bounded(1);
        let (edges_out, edges) = unbounded();
        let (configs_out, configs) = unbounded();
        let (commands, commands_in) = unbounded();
        let (changes_out, changes) = unbounded();
        let (record, records) = unbounded();
        let again = commands.clone();
        let recorder = recorder::start(recorder, records, move || drop(again.send(Command::WriteDown)));
        let (collectors, collect) = Collectors::start(Arc::clone(&config.settings), samples_out, stop.clone());
        let healer = worker::start(Wiring {
            healer: Healer::new(
                crate::host::name(),
                Ids::new(crate::agent::seed()),
                dry_run || config.settings.dry_run,
                config.settings.max_actions_per_hour,
            ),
            config: Arc::clone(config),
            dry_run,
            saved,
            data_dir,
            record,
            helper: executor::own_binary(),
            edges,
            configs,
            commands: commands_in,
            collect,
            exclusions: collectors.exclusions(),
            units: collectors.units(),
            detect: None,
            changes: changes_out,
            shutdown: stop,
        });
        let keep = Keep { _edges: edges_out, _configs: configs_out, _samples: samples };
        Self { shutdown: Some(shutdown), collectors, healer, recorder, commands, changes, open: HashMap::new(), refused: None, _keep: keep }
    }

    fn open(&mut self, opening: Opening) -> Result<(), Failure> {
        let (reply, answer) = bounded(1);
        let ended = || Failure::new("heal", "the heal worker ended unexpectedly".to_owned());
        self.commands.send(Command::Heal(Box::new(opening), reply)).map_err(|_| ended())?;
        match answer.recv().map_err(|_| ended())? {
            Ok(id) => {
                self.open.entry(id).or_insert(0);
            }
            Err(reason) => self.refused = Some(reason),
        }
        Ok(())
    }

    /// Prints what happens until every incident has ended; the exit code is the worst one's.
    fn follow(&mut self, json: bool, out: &mut dyn Write) -> Answer {
        let requests = signals::watch();
        let mut code = exit::DONE;
        if let Some(reason) = &self.refused {
            say_refused(reason, json, out)?;
            code = exit::REFUSED;
        }
        while !self.open.is_empty() {
            let change = select! {
                recv(self.changes) -> change => change.map_err(|_| Failure::new("heal", "the heal worker ended unexpectedly".to_owned()))?,
                recv(requests) -> _ => {
                    // The heal worker lets a running action end and records it.
                    self.shutdown.take();
                    return Err(Failure::new("stopped", "stopped by a signal".to_owned()));
                }
            };
            let Change::Incident { incident, report, .. } = change else { continue };
            let printed = self.open.entry(incident.id.clone()).or_insert(0);
            print(&incident, *printed, json, out)?;
            *printed = incident.timeline.len();
            if !incident.status.is_live() {
                self.open.remove(&incident.id);
                code = code.max(code_of(incident.status));
                if json {
                    writeln!(out, "{}", serde_json::json!({"incident": incident.view(Some(&report), Moment::now())}))?;
                } else {
                    writeln!(out, "report: {}", report.display())?;
                }
            }
        }
        Ok(code)
    }

    fn stop(mut self) {
        drop(self.shutdown.take());
        for worker in [&self.healer, self.collectors.worker(), &self.recorder] {
            let _ = worker.ended().recv_timeout(Duration::from_secs(25));
        }
        self.changes = never();
    }
}

fn print(incident: &Incident, from: usize, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    for entry in incident.timeline.iter().skip(from) {
        if json {
            let mut line = serde_json::json!(entry.view());
            line["incident"] = serde_json::json!(incident.id);
            writeln!(out, "{line}")?;
        } else {
            let at = to_the_second(entry.at.wall);
            writeln!(out, "{at} {} {}: {}", incident.id, entry.event, terminal(&entry.text))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn code_of(status: Status) -> u8 {
    match status {
        Status::Resolved | Status::Cleared | Status::DryRun => exit::DONE,
        Status::RateLimited | Status::Suppressed => exit::REFUSED,
        _ => exit::FAILED,
    }
}

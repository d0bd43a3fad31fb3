//! autoheal watches a host, repairs trouble under strict rules, proves each repair with a fresh measurement, and writes down
//! what it did. This page is the architecture; the modules below stand in reading order.
//!
//! # What happens to a sample
//!
//! ```text
//! collectors ──Batch──▶ detector ──Edge──▶ heal worker ──Permit──▶ executor, native actions
//! (local thread,  bounded,   (condition     (incidents;     │
//!  timers,        latest     state per key)  one action     ├──▶ fresh measurement: asks the collectors, comes back as an event
//!  pool)          wins                       at a time)     ├──▶ evidence: asks the witness, comes back as an event
//!                                                           └──Message──▶ recorder: history (SQLite), reports (Markdown)
//! reloader ──Arc<Config>──▶ agent ──▶ collectors, detector, heal worker
//! control socket ──Call──▶ clerk ──Command (with a reply sender)──▶ heal worker, detector, reloader
//! ```
//!
//! 1. A [collector](collect) measures a target and sends [samples](sample): a [metric], labels, a value or the reason
//!    why there is none.
//! 2. The [detector](detect) keeps the latest sample of each metric and target, evaluates [conditions](detect::condition),
//!    and sends an [edge](detect::Edge) when one fires or clears.
//! 3. The [heal worker](heal::worker) opens an [incident]. Its condition is measured afresh; if it holds, the playbook's
//!    actions are reviewed by the [guard](heal::guard), run one at a time by the [executor](heal::executor), and proven by
//!    fresh measurements. What did not work is escalated.
//! 4. What lies between two incidents of a target (cooldown, failures, breaker, what people were told) is its
//!    [track](heal::track).
//! 5. After each step the incident goes to the [recorder](record::recorder): a row of the history and its
//!    [report](record::report). An action starts when its intent is durable; its helper waits at a gate until then. What may leave a
//!    daemon is started by systemd, as a [transient unit](heal::transient).
//!
//! # Who owns what
//!
//! | state | owner |
//! | --- | --- |
//! | timers, collectors, what is in flight | thread `collect`; `collect:pool` threads borrow one collector at a time; `collect:relief` takes over when `collect` hangs |
//! | deaths of watched processes | thread `collect:deaths` waits for them and tells `collect` |
//! | latest samples, progress of conditions, the minute of samples that goes on | thread `detect` |
//! | incidents, tracks, silences by hand, what people are told | thread `heal` |
//! | the running action | thread `heal:action`, one at most; `heal:adopted` waits for one of an earlier life |
//! | what the journal says of a unit that was stopped | `collect:journal`, a thread for each look |
//! | the last look at all processes | thread `heal:evidence` |
//! | history, reports, what waits for room | thread `record` |
//! | connections of people | threads `control`, `control:peer`; `clerk` and `clerk:stream` wait for the answers |
//! | which signal came | thread `signals`; it hands them on and reaps orphans of actions |
//! | the files' last good contents, and their copies in the data directory | thread `reload` |
//! | the configuration in force, what the service manager was told | the [agent], on the main thread; others read the [board](serve::board) |
//!
//! # Invariants, as absences
//!
//! - The core does no input or output, starts no thread and reads no clock: [`clock::Moment`] is an argument. Core are
//!   `metric`, `sample`, `placeholder`, `config::{playbook, settings, problem}`, `detect::{condition, canonical, progress, latest, detector,
//!   rule, routes, opening}`, `incident`, `heal::{healer, track, budget, silence, outcome}`, `notification::throttle`,
//!   `record::{report, retold, notice, stats, escape, json}`.
//! - Nothing but [`heal::guard`] makes a [`Permit`](heal::guard::Permit), and nothing runs without one.
//! - No shell is ever started, but for a text that an `exact:` rule allows as a whole.
//! - Nothing runs whose intent is not written down first, unless there is no room or the disk takes over 2 s; nothing without an
//!   outcome runs again.
//! - No thread that acts waits for another's answer: measurements, evidence, acknowledgements and outcomes are events. The channel graph has no cycle that blocks,
//!   because edges, orders and answers go through unbounded channels and samples coalesce.
//! - No thread starts but through [`threads`], no program but through the executor.
//! - No text from outside leaves as it came: each sink (screen, log, report, JSON, service manager) has one function in
//!   [`record::escape`] and applies it itself.
//! - No `unsafe` but the calls in [`host::raw`].

pub mod clock;
pub mod metric;
pub mod sample;

pub mod collect;
pub mod detect;
pub mod incident;
pub mod heal;
pub mod record;
pub mod notification;

pub mod config;
pub mod placeholder;

pub mod agent;
pub mod cli;
pub mod host;
pub mod serve;
pub mod threads;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

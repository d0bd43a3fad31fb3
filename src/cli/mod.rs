//! The command line: `autoheal [OPTIONS] COMMAND`; no command is `run`.

pub mod agent;
pub mod allow;
pub mod answer;
pub mod check;
mod check_targets;
mod check_text;
pub mod explain;
mod fields;
pub mod heal;
pub mod incidents;
pub(crate) mod markdown;
pub mod match_;
pub mod probe;
pub mod run;
pub mod schema;
pub mod silence;
mod screen;
mod span;
mod state;
pub mod stats;
pub mod status;
pub mod table;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use clap::error::ErrorKind as ErrorKindOfClap;
use clap::{Parser, Subcommand};

use crate::config::settings::Settings;
use crate::config::{self, Config, Loaded, Location, Places};
use crate::serve::protocol::Refusal;
use screen::Screen;

/// Exit codes (contract: "Exit codes").
pub mod exit {
    /// It worked.
    pub const DONE: u8 = 0;
    /// It did not succeed.
    pub const FAILED: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// No agent is running where one is needed.
    pub const NO_AGENT: u8 = 3;
    /// Refused: rate limited, silenced, not permitted.
    pub const REFUSED: u8 = 4;
}

/// The exit code of a command that did what it could, or why it could not.
pub type Answer = Result<u8, Failure>;

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Failure {
    exit: u8,
    code: Cow<'static, str>,
    message: String,
}

impl Failure {
    /// It did not succeed. `code` is for machines.
    #[must_use]
    pub fn new(code: &'static str, message: String) -> Self {
        Self { exit: exit::FAILED, code: code.into(), message }
    }

    /// It is refused.
    #[must_use]
    pub fn refused(code: &'static str, message: String) -> Self {
        Self { exit: exit::REFUSED, code: code.into(), message }
    }

    /// It was asked in the wrong way.
    #[must_use]
    pub fn usage(message: String) -> Self {
        Self { exit: exit::USAGE, code: "usage".into(), message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<io::Error> for Failure {
    /// A broken pipe ends quietly: whoever read us has seen enough.
    fn from(error: io::Error) -> Self {
        let exit = if error.kind() == ErrorKind::BrokenPipe { exit::DONE } else { exit::FAILED };
        Self { exit, code: "output".into(), message: format!("cannot write the result: {error}") }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { exit: refusal.exit, code: refusal.code.into(), message: refusal.message }
    }
}

/// Over the options that every command has: its own come first.
const EVERYWHERE: &str = "Options of every command";

#[derive(Parser, Debug)]
#[command(name = "autoheal", version, about, long_about = None, max_term_width = 110)]
#[command(
    after_help = "Without a command: run.\n\nExamples:\n  autoheal run --dry-run\n  autoheal check\n  autoheal probe disk_usage\n  autoheal heal process_down --label process_name=web"
)]
struct Cli {
    /// Where autoheal-playbooks.json and autoheal.json are.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Where reports and state are kept.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Accept configuration files that others could write, with a warning. For development.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    insecure_config: bool,
    /// Print one JSON object instead of text; `heal` and `incidents --follow` print one a line.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    /// Log more; twice for even more.
    #[arg(short, long, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log only warnings and errors.
    #[arg(short, long, global = true, help_heading = EVERYWHERE, conflicts_with = "verbose")]
    quiet: bool,
    /// When to colour.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "WHEN", default_value = "auto")]
    color: Colour,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the agent in the foreground, until SIGTERM or SIGINT; SIGHUP reloads.
    #[command(after_help = "Example:\n  autoheal run --dry-run")]
    Run(run::RunArgs),
    Check(check::Check),
    /// Say what the code of a configuration problem means, with an example.
    #[command(after_help = "Example:\n  autoheal explain unknown_key")]
    Explain(explain::ExplainArgs),
    /// Measure everything once, now, and print the samples.
    Probe(probe::ProbeArgs),
    /// Run a playbook by hand, under all the same rules.
    #[command(after_help = "Example:\n  autoheal heal process_down --label process_name=web")]
    Heal(heal::HealArgs),
    /// Show the agent, its configuration, targets, incidents and silences.
    #[command(after_help = "Example:\n  autoheal status --json")]
    Status,
    /// List incidents, show one, or follow what happens.
    #[command(
        after_help = "Examples:\n  autoheal incidents --open\n  autoheal incidents --playbook process_down --since 7d\n  autoheal incidents 7f3k\n  autoheal incidents --follow"
    )]
    Incidents(incidents::IncidentsArgs),
    /// Let an action run that waits for a yes; shows it first and asks.
    #[command(after_help = "Example:\n  autoheal approve 7f3k")]
    Approve(answer::AnswerArgs),
    /// Do not let an action run that waits for a yes; shows it first and asks.
    #[command(after_help = "Example:\n  autoheal deny 7f3k --reason 'the backup is running'")]
    Deny(answer::AnswerArgs),
    /// Open no incident for a while.
    #[command(
        after_help = "Examples:\n  autoheal silence disk_space_low --label mount=/data --for 2h --reason backup\n  autoheal silence --list\n  autoheal silence --expire ID"
    )]
    Silence(silence::SilenceArgs),
    /// Close a breaker and end a cooldown, so that a playbook may act again.
    #[command(after_help = "Example:\n  autoheal reset process_down --label process_name=web")]
    Reset(agent::ResetArgs),
    /// Read the configuration again, and say whether it is in force.
    #[command(after_help = "Example:\n  autoheal reload")]
    Reload,
    /// Show how well autoheal does its work.
    #[command(after_help = "Example:\n  autoheal stats --since 30d")]
    Stats(stats::StatsArgs),
    /// Show which processes a watch entry matches now, and why.
    Match(match_::MatchArgs),
    /// Ask the guard: what may run, by which rule.
    #[command(after_help = "Examples:\n  autoheal allow test 'find /tmp -mtime +7 -delete'\n  autoheal allow list")]
    Allow(allow::AllowArgs),
    /// Print the JSON Schema of a file, for editors.
    #[command(after_help = "Example:\n  autoheal schema playbooks >autoheal-playbooks.schema.json")]
    Schema(schema::SchemaArgs),
}

/// Reads the command line, does what it says, and returns the exit code.
#[must_use]
pub fn main() -> u8 {
    colour_as_asked(std::env::args_os());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are answers, not mistakes; clap knows which is which.
        Err(error) if error.use_stderr() && std::env::args_os().any(|word| word == "--json") => {
            return report(&Failure::usage(usage(&error)), true, &mut Screen::new(anstream::stdout(), true));
        }
        Err(error) => {
            let text = error.render().ansi().to_string();
            let stream: Box<dyn Write> = if error.use_stderr() { Box::new(anstream::stderr()) } else { Box::new(anstream::stdout()) };
            let _ = Screen::new(stream, false).write_all(text.as_bytes());
            return u8::try_from(error.exit_code()).unwrap_or(exit::USAGE);
        }
    };
    run::log_to_stderr(cli.verbose, cli.quiet, matches!(cli.command, None | Some(Command::Run(_))));
    let mut out = Screen::new(anstream::stdout().lock(), cli.prints_json());
    match dispatch(&cli, &mut out).and_then(|code| out.flush().map(|()| code).map_err(Failure::from)) {
        Ok(code) => code,
        Err(failure) => report(&failure, cli.json, &mut out),
    }
}

/// What is wrong with the command line, without the advice that clap prints below it.
fn usage(error: &clap::Error) -> String {
    if error.kind() == ErrorKindOfClap::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing; --help lists them".to_owned();
    }
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let text = lines.join("\n");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// Sets what `--color` says before the command line is read as a whole: help and mistakes have colours too.
fn colour_as_asked(words: impl IntoIterator<Item = OsString>) {
    if let Some(choice) = colour_in(words) {
        choice.write_global();
    }
}

fn colour_in(words: impl IntoIterator<Item = OsString>) -> Option<anstream::ColorChoice> {
    let mut words = words.into_iter().skip(1).take_while(|word| word != "--").filter_map(|word| word.into_string().ok());
    let mut found = None;
    while let Some(word) = words.next() {
        let when = if word == "--color" { words.next() } else { word.strip_prefix("--color=").map(str::to_owned) };
        found = match when.as_deref() {
            Some("always") => Some(anstream::ColorChoice::Always),
            Some("never") => Some(anstream::ColorChoice::Never),
            _ => found,
        };
    }
    found
}

fn report(failure: &Failure, json: bool, out: &mut dyn Write) -> u8 {
    if failure.exit != exit::DONE {
        if json {
            let _ = writeln!(out, "{}", serde_json::json!({"error": {"code": failure.code, "message": failure.message}}));
        } else {
            let _ = writeln!(errors(), "autoheal: {}", failure.message);
        }
    }
    failure.exit
}

/// Standard error.
fn errors() -> Screen<anstream::Stderr> {
    Screen::new(anstream::stderr(), false)
}

fn dispatch(cli: &Cli, out: &mut dyn Write) -> Answer {
    let places = Places::from_environment(cli.config_dir.clone(), cli.data_dir.clone(), cli.insecure_config);
    let settings = || load_settings(&places.locate());
    let desk = || agent::Desk::new(state::kept(&places, &places.locate()), cli.json);
    match &cli.command {
        None => run::run(&run::RunArgs::default(), &places, cli.quiet),
        Some(Command::Run(args)) => run::run(args, &places, cli.quiet),
        Some(Command::Check(args)) => {
            let (color, width) = (cli.is_coloured(), check_text::columns());
            check::run(args, check::Context { places: &places, json: cli.json, color, width, look: Some(&check::look) }, out)
        }
        Some(Command::Explain(args)) => explain::run(args, cli.json, out),
        Some(Command::Probe(args)) => Ok(probe::run(args, &settings()?, cli.json, out)?),
        Some(Command::Heal(args)) => heal::run(args, &places, cli.json, out),
        Some(Command::Status) => status::run(&desk(), out),
        Some(Command::Incidents(args)) => incidents::run(args, &desk(), out),
        Some(Command::Approve(args)) => answered(args, answer::Decision::Approve, &desk(), out),
        Some(Command::Deny(args)) => answered(args, answer::Decision::Deny, &desk(), out),
        Some(Command::Silence(args)) => silence::run(args, &desk(), out),
        Some(Command::Reset(args)) => agent::reset(args, &desk(), out),
        Some(Command::Reload) => agent::reload(&desk(), out),
        Some(Command::Stats(args)) => stats::run(args, &desk(), out),
        Some(Command::Schema(args)) => schema::run(args, out),
        Some(Command::Match(args)) => match_::run(args, &settings()?, cli.json, out),
        Some(Command::Allow(args)) => {
            let streams = &mut allow::Streams { input: &mut io::stdin().lock(), out, errors: &mut errors() };
            Ok(allow::run(args, &settings()?, cli.json, streams)?)
        }
    }
}

fn answered(args: &answer::AnswerArgs, decision: answer::Decision, desk: &agent::Desk, out: &mut dyn Write) -> Answer {
    let input = io::stdin();
    let is_terminal = input.is_terminal();
    let talk = &mut answer::Dialogue { input: &mut input.lock(), is_terminal, out, errors: &mut errors() };
    answer::run(args, decision, desk, talk)
}

impl Cli {
    /// Whether what goes to standard output is for a parser.
    fn prints_json(&self) -> bool {
        match &self.command {
            Some(Command::Schema(_)) => true,
            Some(Command::Allow(args)) if args.is_batch() => true,
            _ => self.json,
        }
    }

    fn is_coloured(&self) -> bool {
        match self.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        }
    }
}

/// The configuration of a location, or all its problems as a message.
fn load(location: &Location) -> Result<Config, Failure> {
    let Loaded { texts, result } = config::load(location);
    result.map_err(|problems| refused(Loaded::<Config> { texts, result: Err(problems) }))
}

/// The settings of a location, or all their problems as a message.
fn load_settings(location: &Location) -> Result<Settings, Failure> {
    let Loaded { texts, result } = config::load_settings(location);
    result.map_err(|problems| refused(Loaded::<Settings> { texts, result: Err(problems) }))
}

/// All problems of a configuration that is not loaded. Only what stops the load: `check` says the rest.
fn refused<T>(loaded: Loaded<T>) -> Failure {
    let mut problems = loaded.result.err().unwrap_or_default();
    problems.retain(|problem| problem.severity == config::problem::Level::Error);
    let text = config::render(&problems, &loaded.texts, false);
    let missing = problems.iter().any(|problem| problem.code == "file_missing");
    let help = if missing { "--config-dir names the directory that holds both files" } else { "`autoheal check` says more" };
    Failure::new("config", format!("the configuration is refused:\n{}\n{help}", text.trim_end()))
}

/// Before the first thread of a command that handles signals itself.
fn block_signals() -> Result<(), Failure> {
    crate::host::signals::block().map_err(|error| Failure::new("signals", format!("signals cannot be blocked: {error}")))
}

/// `NAME=VALUE`
fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_chosen_before_help_is_printed() {
        use anstream::ColorChoice::{Always, Never};
        let asked = |line: &str| colour_in(line.split(' ').map(OsString::from));
        for (line, choice) in [
            ("autoheal --help", None),
            ("autoheal --color never --help", Some(Never)),
            ("autoheal heal --color=always", Some(Always)),
            ("autoheal --color never --color always", Some(Always)),
            ("autoheal --color auto", None),
            ("autoheal allow test -- --color never", None),
        ] {
            assert_eq!(asked(line), choice, "{line}");
        }
    }
}

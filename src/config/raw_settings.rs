//! The shape of `autoheal.json`, and how it becomes [`Settings`].

use crate::placeholder;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jsonc_parser::ast::Value;

use super::document::span;
use super::node::{Cx, Entries, FromNode, record};
use super::problem::Draft;
use super::raw_later::{Http, Notify};
use super::raw_watch::Watch;
use super::settings::{AllowedCommand, History, ServiceCommand, Settings, VerbKey};
use super::shape::{AbsolutePath, Days, Interval, Named, PositiveSeconds, words};
use crate::heal::guard;
use crate::heal::silence::RecurringSilence;

const INTERVAL: Duration = Duration::from_secs(30);
const ACTIONS_PER_HOUR: u32 = 60;

/// Where programs are looked up unless the settings say otherwise.
const COMMAND_PATH: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    #[cfg(target_os = "macos")]
    "/opt/homebrew/bin",
];

/// Reads the settings. `None`: at least one problem is an error.
pub(crate) fn read(root: &Value<'_>, cx: &mut Cx<'_>) -> Option<Settings> {
    let raw = Raw::from_node(root, cx)?;
    if !raw.notify.as_ref().is_some_and(|notify| notify.reaches_a_person) {
        let at = span(root).start;
        let message = "no channel reaches a person: what autoheal cannot repair is only in its log and its reports";
        cx.under("notify", |cx| cx.report::<()>(at..at + 1, Draft::warning("nobody_told", message)));
    }
    Some(raw.settings())
}

record! {
    /// The settings as they stand in the file.
    Raw {
        dry_run: Option<bool>,
        interval_seconds: Option<Interval>,
        watch: Option<Watch>,
        allowed_commands: Option<Vec<Rules>>,
        command_path: Option<Vec<AbsolutePath>>,
        services: Option<Entries<ServiceCommands>>,
        max_actions_per_hour: Option<u32>,
        notify: Option<Notify>,
        #[expect(dead_code, reason = "read for its problems only in this version")]
        http: Option<Http>,
        history: Option<RawHistory>,
        silences: Option<Vec<RecurringSilence>>,
    }
}

impl Raw {
    fn settings(self) -> Settings {
        let interval = self.interval_seconds.map_or(INTERVAL, |interval| interval.0);
        let rules = self.allowed_commands.map(|elements| elements.into_iter().flat_map(|rules| rules.0).collect());
        let command_path = self.command_path.map(|dirs| dirs.into_iter().map(|dir| dir.0).collect());
        let services = self.services.unwrap_or_default().0.into_iter().map(|(name, commands)| (name, commands.0)).collect();
        Settings {
            dry_run: self.dry_run.unwrap_or(false),
            interval,
            watch: self.watch.unwrap_or_default().with_interval(interval),
            allowed_commands: rules.unwrap_or_else(guard::shipped),
            command_path: command_path.unwrap_or_else(|| COMMAND_PATH.iter().map(PathBuf::from).collect()),
            services,
            max_actions_per_hour: self.max_actions_per_hour.unwrap_or(ACTIONS_PER_HOUR),
            silences: self.silences.unwrap_or_default(),
            history: self.history.map_or_else(History::default, RawHistory::history),
        }
    }
}

record! {
    /// `history`
    RawHistory { incidents_days: Option<Days>, samples_days: Option<Days>, keep_reports: Option<KeepReports>, }
}

impl RawHistory {
    fn history(self) -> History {
        let default = History::default();
        History {
            incidents: self.incidents_days.map_or(default.incidents, |days| days.0),
            samples: self.samples_days.map_or(default.samples, |days| days.0),
            keep_reports: self.keep_reports.map_or(default.keep_reports, |keep| keep.0),
        }
    }
}

/// `"all"`, or a number of days.
#[derive(Debug)]
struct KeepReports(Option<Duration>);

impl FromNode for KeepReports {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::StringLit(literal) if literal.value == "all" => Some(Self(None)),
            Value::NumberLit(_) => Days::from_node(node, cx).map(|days| Self(Some(days.0))),
            _ => cx.expected("\"all\" or a number of days", node),
        }
    }
}

/// One element of `allowed_commands`; `"@shipped"` stands for many rules.
#[derive(Debug)]
struct Rules(Vec<AllowedCommand>);

record! {
    /// A rule with conditions of its own. `sandbox`: by default only the tools of the guard's table are confined to the paths of
    /// their rule; `"on"` confines any program, `"off"` none, and lets it gain privileges as well.
    RuleObject {
        rule: Named,
        run_as: Option<Named>,
        requires_approval: Option<bool>,
        timeout_seconds: Option<PositiveSeconds>,
        sandbox: Option<Switch>,
        note: Option<String>,
    }
}

#[derive(Clone, Copy, Debug)]
struct Switch(bool);

words! {
    Switch: "on" => Switch(true), "off" => Switch(false);
}

impl FromNode for Rules {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let source = cx.path().to_owned();
        let rule = match node {
            Value::StringLit(literal) if literal.value == "@shipped" => return Some(Self(guard::shipped())),
            Value::StringLit(literal) if literal.value.starts_with('@') => {
                return cx.invalid("unknown_word", "the only list of rules with a name is \"@shipped\"", node);
            }
            Value::StringLit(_) => RuleObject {
                rule: Named::from_node(node, cx)?,
                run_as: None,
                requires_approval: None,
                timeout_seconds: None,
                sandbox: None,
                note: None,
            },
            Value::Object(_) => RuleObject::from_node(node, cx)?,
            _ => return cx.expected("a rule: text, or an object with \"rule\"", node),
        };
        Some(Self(vec![AllowedCommand {
            rule: rule.rule.0,
            run_as: rule.run_as.map(|user| user.0),
            requires_approval: rule.requires_approval.unwrap_or(false),
            timeout: rule.timeout_seconds.map(|seconds| seconds.0),
            sandbox: rule.sandbox.map(|switch| switch.0),
            note: rule.note,
            source,
        }]))
    }
}

/// The commands of one service.
#[derive(Debug)]
struct ServiceCommands(BTreeMap<ServiceCommand, String>);

record! {
    /// One entry of `services`.
    RawService {
        restart: Option<FixedCommand>,
        start: Option<FixedCommand>,
        stop: Option<FixedCommand>,
        reload: Option<FixedCommand>,
        status: Option<FixedCommand>,
    }
}

impl FromNode for ServiceCommands {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let raw = RawService::from_node(node, cx)?;
        let commands: BTreeMap<ServiceCommand, String> = [
            (ServiceCommand::Verb(VerbKey::Restart), raw.restart),
            (ServiceCommand::Verb(VerbKey::Start), raw.start),
            (ServiceCommand::Verb(VerbKey::Stop), raw.stop),
            (ServiceCommand::Verb(VerbKey::Reload), raw.reload),
            (ServiceCommand::Status, raw.status),
        ]
        .into_iter()
        .filter_map(|(key, command)| command.map(|command| (key, command.0)))
        .collect();
        if commands.is_empty() {
            let at = span(node).start;
            let draft = Draft::error("missing_key", "a service needs at least one command");
            return cx.report(at..at + 1, draft.allowed(["restart", "start", "stop", "reload", "status"]));
        }
        Some(Self(commands))
    }
}

/// A command of the settings: it is its own allow rule, so it may hold no placeholder.
#[derive(Debug)]
pub(crate) struct FixedCommand(pub(crate) String);

impl FromNode for FixedCommand {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let command = Named::from_node(node, cx)?.0;
        let Some((part, name)) = placeholder::find(&command).into_iter().next() else { return Some(Self(command)) };
        let message = format!("a command of the settings is its own allow rule and may hold no placeholder, found {{{name}}}");
        cx.report_inside(node, &part, Draft::error("unknown_placeholder", message).found(name));
        None
    }
}

//! The shape of `autoheal.json`, and how it becomes [`Settings`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jsonc_parser::ast::Value;
use schemars::json_schema;

use super::document::span;
use super::node::{Cx, Entries, FromNode, record};
use super::problem::Draft;
use super::raw_later::{Http, Notify};
use super::raw_watch::Watch;
use super::schema::{described, schema};
use super::settings::{AllowedCommand, History, ServiceCommand, Settings, VerbKey};
use super::shape::{AbsolutePath, Days, Interval, MAX_DAYS, Named, PositiveSeconds, SAYS_SOMETHING, words};
use crate::heal::guard;
use crate::heal::silence::RecurringSilence;
use crate::placeholder;

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
    let raw = File::from_node(root, cx)?;
    if !raw.notify.as_ref().is_some_and(|notify| notify.reaches_a_person) {
        let at = span(root).start;
        let message = "no channel reaches a person: what autoheal cannot repair is only in its log and its reports";
        cx.under("notify", |cx| cx.report::<()>(at..at + 1, Draft::warning("nobody_told", message)));
    }
    Some(raw.settings())
}

record! {
    /// What autoheal watches, which commands may ever run, and whom it tells.
    pub(crate) File {
        /// `true`: decide and record everything, and execute nothing.
        dry_run: bool = false,
        /// How many seconds lie between two measurements; each watch entry can have its own.
        interval_seconds: Interval = 30,
        /// What is measured.
        watch: Watch = {},
        /// The only commands that may ever run. "@shipped" stands for the rules that come with autoheal.
        allowed_commands: Vec<Rules> = ["@shipped"],
        /// The directories where programs are looked up. Without it: the system's usual ones.
        command_path: Option<Vec<AbsolutePath>>,
        /// Services that no service manager knows: the name, and a command for each verb.
        services: Entries<ServiceCommands> = {},
        /// How many actions may run on this host in an hour; beyond that everything waits, and one message goes out.
        max_actions_per_hour: u32 = 60,
        /// Who is told of what. In this version only the log has an effect.
        notify: Option<Notify>,
        /// The dashboard and the HTTP interface; `null` or nothing: off. They have no effect in this version.
        #[expect(dead_code, reason = "read for its problems only in this version")]
        http: Option<Http>,
        /// How long things are kept.
        history: RawHistory = {},
        /// Recurring maintenance windows: autoheal measures, and neither acts nor tells.
        silences: Option<Vec<RecurringSilence>>,
    }
}

impl File {
    fn settings(self) -> Settings {
        let interval = self.interval_seconds.0;
        let command_path = self.command_path.map(|dirs| dirs.into_iter().map(|dir| dir.0).collect());
        let services = self.services.0.into_iter().map(|(name, commands)| (name, commands.0)).collect();
        Settings {
            dry_run: self.dry_run,
            interval,
            watch: self.watch.with_interval(interval),
            allowed_commands: self.allowed_commands.into_iter().flat_map(|rules| rules.0).collect(),
            command_path: command_path.unwrap_or_else(|| COMMAND_PATH.iter().map(PathBuf::from).collect()),
            services,
            max_actions_per_hour: self.max_actions_per_hour,
            silences: self.silences.unwrap_or_default(),
            history: self.history.history(),
        }
    }
}

record! {
    /// How long things are kept.
    RawHistory {
        /// How many days incidents are kept.
        incidents_days: Days = 90,
        /// How many days measurements are kept.
        samples_days: Days = 7,
        /// How many days reports are kept.
        keep_reports: KeepReports = "all",
    }
}

impl RawHistory {
    fn history(self) -> History {
        History { incidents: self.incidents_days.0, samples: self.samples_days.0, keep_reports: self.keep_reports.0 }
    }
}

schema! {
    KeepReports = {"anyOf": [{"const": "all"}, {"type": "number", "minimum": 0, "maximum": MAX_DAYS}]};
    FixedCommand = {"type": "string", "pattern": SAYS_SOMETHING};
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
    /// A rule with conditions of its own.
    RuleObject {
        /// The rule: a command, with patterns where it may differ.
        rule: Named,
        /// The user that the command runs as.
        run_as: Option<Named>,
        /// `true`: a person must approve each time.
        requires_approval: bool = false,
        /// The longest that the command may take, in seconds.
        timeout_seconds: Option<PositiveSeconds>,
        /// Without it only the tools of the guard's table are confined to the paths of their rule.
        sandbox: Option<Switch>,
        /// For people.
        note: Option<String>,
    }
}

#[derive(Clone, Copy, Debug)]
struct Switch(bool);

words! {
    Switch:
        /// The program is confined to the paths of the rule.
        "on" => Switch(true),
        /// The program is not confined, and may gain privileges.
        "off" => Switch(false);
}

schema! {
    Rules = |generator| {
        json_schema!({"oneOf": [
            described("@shipped", "The rules that come with autoheal; `autoheal allow list` shows them."),
            {"type": "string", "pattern": r"^\s*[^@\s]", "description": "A rule: a command, with patterns where it may differ."},
            generator.subschema_for::<RuleObject>()
        ]})
    };
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
                requires_approval: false,
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
            requires_approval: rule.requires_approval,
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
    /// The commands of a service; at least one. Each is its own allow rule, and holds no placeholder.
    RawService {
        /// Restarts it.
        restart: Option<FixedCommand>,
        /// Starts it.
        start: Option<FixedCommand>,
        /// Stops it.
        stop: Option<FixedCommand>,
        /// Has it read its configuration again.
        reload: Option<FixedCommand>,
        /// Succeeds when it runs.
        status: Option<FixedCommand>,
    }
}

schema! {
    ServiceCommands = |generator| {
        let mut schema = generator.subschema_for::<RawService>();
        schema.insert("minProperties".to_owned(), 1.into());
        schema
    };
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

//! From the settings' `allowed_commands` to compiled rules and remarks about them.

use std::time::Duration;

use super::answer::RuleProblem;
use super::program::RunAs;
use super::rule::{Form, NATIVE};
use super::{shipped, special};
use crate::config::settings::AllowedCommand;

/// One rule, ready to be matched.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// As written.
    pub(super) text: String,
    pub(super) form: Form,
    /// It is for the line of a native action.
    pub(super) native: bool,
    pub(super) run_as: Option<RunAs>,
    pub(super) requires_approval: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) sandbox: Option<bool>,
    source: String,
    note: Option<String>,
    wide: bool,
}

/// One rule, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleLine<'p> {
    /// As written.
    pub rule: &'p str,
    /// `shipped`, or its place in the settings.
    pub source: &'p str,
    /// It allows more than one would think.
    pub wide: bool,
    /// It asks for a yes.
    pub requires_approval: bool,
    /// The user that it runs as.
    pub run_as: Option<&'p str>,
    /// The operator's or our remark.
    pub note: Option<&'p str>,
}

impl Rule {
    pub(super) fn line(&self) -> RuleLine<'_> {
        RuleLine {
            rule: &self.text,
            source: &self.source,
            wide: self.wide,
            requires_approval: self.requires_approval,
            run_as: self.run_as.as_ref().map(|user| user.name.as_str()),
            note: self.note.as_deref(),
        }
    }

    fn parse(command: &AllowedCommand) -> Result<Self, String> {
        super::text::scan(&command.rule).map_err(|refusal| refusal.reason.replace("command", "rule"))?;
        let form = Form::parse(&command.rule)?;
        special::check_rule(&form)?;
        Ok(Self {
            text: command.rule.trim().to_owned(),
            native: matches!(form, Form::Words(_)) && form.program().is_some_and(|program| NATIVE.contains(&program)),
            wide: special::is_wide(&form),
            form,
            run_as: command.run_as.as_deref().map(RunAs::of),
            requires_approval: command.requires_approval,
            timeout: command.timeout,
            sandbox: command.sandbox,
            source: command.source.clone(),
            note: command.note.clone(),
        })
    }

    /// What somebody who writes `"sandbox": "on"` may not expect.
    fn sandbox_remark(&self) -> Option<&'static str> {
        match &self.form {
            _ if self.sandbox != Some(true) => None,
            Form::Words(_) if self.native => Some("\"sandbox\" says nothing to a native action: the agent does it itself"),
            Form::Exact(text) if super::token::tokenise(text).is_err() => Some("in a sandbox a shell starts no program and writes nothing"),
            _ => None,
        }
    }
}

/// Compiles every element; what cannot be understood allows nothing and is an error.
pub(super) fn compile(commands: &[AllowedCommand]) -> (Vec<Rule>, Vec<RuleProblem>) {
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for command in commands {
        let mut problem = |warning: bool, message: String, suggestion: Option<String>| {
            problems.push(RuleProblem { source: command.source.clone(), warning, message, suggestion });
        };
        if let Some(stands_for) = shipped::legacy(&command.rule) {
            let texts: Vec<&str> = stands_for.iter().map(|rule| rule.rule.as_str()).collect();
            problem(
                true,
                format!(
                    "the expression {} is understood as the shipped rules of that program; a prefix is never enough",
                    super::quoted(&command.rule)
                ),
                Some(texts.join("\n")),
            );
            rules.extend(stands_for.iter().filter_map(|rule| Rule::parse(&with_limits_of(rule, command)).ok()));
            continue;
        }
        if shipped::is_expression(&command.rule) {
            let message = format!(
                "{} is a regular expression; a rule reads like the command, with slots where it may vary",
                super::quoted(&command.rule)
            );
            problem(false, message, Some(shipped::propose(&command.rule)));
            continue;
        }
        match Rule::parse(command) {
            Err(message) => problem(false, message, None),
            Ok(rule) => {
                if let Some(remark) = rule.sandbox_remark() {
                    problem(true, remark.to_owned(), None);
                }
                if let Some(user) = rule.run_as.as_ref().filter(|user| user.uid.is_none()) {
                    problem(true, format!("the user {} does not exist here", super::quoted(&user.name)), None);
                }
                if rule.wide && rule.source != "shipped" {
                    problem(
                        true,
                        format!("the rule {} is wide: it allows more than one command of a kind", super::quoted(&rule.text)),
                        None,
                    );
                }
                rules.push(rule);
            }
        }
    }
    (rules, problems)
}

/// A shipped rule in place of an older expression: what the operator asked for besides stays in force.
fn with_limits_of(rule: &AllowedCommand, command: &AllowedCommand) -> AllowedCommand {
    AllowedCommand {
        rule: rule.rule.clone(),
        requires_approval: rule.requires_approval || command.requires_approval,
        note: command.note.clone().or_else(|| rule.note.clone()),
        ..command.clone()
    }
}

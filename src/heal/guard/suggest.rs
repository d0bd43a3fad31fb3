//! The narrowest rule that would allow a command, for a person to add.

use super::answer::{Refusal, RefusalKind, Reviewed};
use super::compile;
use super::label::LabelKind;
use super::rule::NATIVE;
use super::special::base_name;
use super::template::{Piece, Word};
use super::token::tokenise;
use super::{Policy, Request, Values, advice, quoted, text};
use crate::config::settings::AllowedCommand;

/// What could be added to the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// Nothing: a rule allows the command already.
    Allowed(Box<Reviewed>),
    /// This rule.
    Rule {
        /// As it would stand in the settings.
        rule: String,
        /// What a person should know before they add it.
        notes: Vec<String>,
    },
}

impl Policy {
    /// Proposes a rule for a command: its words as they are, and for each placeholder a slot of its label's type. A text with an
    /// operator of a shell becomes an `exact:` rule. The proposal has been tried: with it, the command is allowed.
    ///
    /// # Errors
    /// No rule can allow the command, or its directory must be known first.
    pub fn suggest(&self, command: &str, values: &Values) -> Result<Suggestion, Refusal> {
        let request = Request::Command(command);
        let ask = |policy: &Self| if values.is_empty() { policy.check(&request) } else { policy.test(&request, values) };
        if let Ok(reviewed) = ask(self) {
            return Ok(Suggestion::Allowed(Box::new(reviewed)));
        }
        text::scan(command)?;
        let (rule, mut notes) = match tokenise(command) {
            Ok(words) => (of_words(&words, values)?, Vec::new()),
            Err(fault) => (format!("exact: {}", command.trim()), vec![advice::refusal(command, &fault).reason]),
        };
        let added = AllowedCommand {
            rule: rule.clone(),
            run_as: None,
            requires_approval: false,
            timeout: None,
            sandbox: None,
            note: None,
            source: "proposal".to_owned(),
        };
        let (rules, problems) = compile::compile(&[added]);
        if let Some(problem) = problems.iter().find(|problem| !problem.warning) {
            return Err(Refusal::new(RefusalKind::NoRule, format!("no rule can allow it: {}", problem.message)));
        }
        notes.extend(problems.into_iter().map(|problem| problem.message));
        let with_it = Self { rules: self.rules.iter().cloned().chain(rules).collect(), ..self.clone() };
        let reviewed = ask(&with_it).map_err(|refusal| Refusal {
            reason: format!("no rule can allow it: {}", refusal.reason),
            nearest_rule: None,
            ..refusal
        })?;
        if let Some(program) = reviewed.missing_program {
            notes.push(format!("program not found on command_path: {}", quoted(&program)));
        }
        Ok(Suggestion::Rule { rule, notes })
    }
}

impl Policy {
    /// The rule that would allow a command of a program that no rule knows, unless an action of another type, or a command
    /// without that program, does the same.
    pub(crate) fn missing_rule(&self, command: &str) -> Option<String> {
        let program = command.split_ascii_whitespace().next().map(base_name)?;
        if advice::instead_of(program, command).is_some() || tokenise(command).is_err() {
            return None;
        }
        match self.suggest(command, &Values::new()).ok()? {
            Suggestion::Rule { rule, .. } => Some(rule),
            Suggestion::Allowed(_) => None,
        }
    }
}

fn of_words(words: &[Word], values: &Values) -> Result<String, Refusal> {
    let program = match words.first().map(|word| word.pieces.as_slice()) {
        Some([Piece::Text(program)]) if !program.is_empty() => program.as_str(),
        _ => return Err(Refusal::new(RefusalKind::Placeholder, "no rule can allow it: a rule begins with a literal program")),
    };
    if NATIVE.contains(&program) {
        let reason = format!("{program} is a type of action, not a program: write \"type\": \"{program}\"");
        return Err(Refusal::new(RefusalKind::NoRule, reason));
    }
    let parts: Result<Vec<String>, Refusal> = words.iter().map(|word| of_word(word, base_name(program), values)).collect();
    Ok(parts?.join(" "))
}

fn of_word(word: &Word, program: &str, values: &Values) -> Result<String, Refusal> {
    let mut rule = String::new();
    let mut before = "";
    for piece in &word.pieces {
        match piece {
            Piece::Text(text) => {
                rule.push_str(&quote(text, word.pieces.len() == 1));
                before = text;
            }
            Piece::Placeholder(name) => {
                if rule.ends_with('}') {
                    let reason = format!("two placeholders touch: put something between {{{name}}} and the one before it");
                    return Err(Refusal::new(RefusalKind::Placeholder, reason).at(word.span.clone()));
                }
                // A path that begins with a literal directory is one slot from there on.
                if before.starts_with('/') {
                    return Ok(format!("{{path:{}}}", directory(before)));
                }
                rule.push_str(&slot(name, program, values.get(name)).map_err(|refusal| refusal.at(word.span.clone()))?);
            }
        }
    }
    Ok(rule)
}

/// The slot that takes the values of a label: this one value if it is known, unless it is a path, which a slot looks up.
fn slot(name: &str, program: &str, value: Option<&String>) -> Result<String, Refusal> {
    let plain = |value: &&String| !value.contains([' ', '}', '|']) && !value.is_empty();
    let known = |kind: &str| value.filter(plain).map(|value| format!("{{{kind}:{value}}}"));
    let which = || {
        let reason = format!("the rule must say below which directory or address {{{name}}} lies: give its value with --label {name}=…");
        Refusal::new(RefusalKind::Placeholder, reason)
    };
    Ok(match LabelKind::of(name) {
        LabelKind::Path => {
            let value = value.filter(|value| value.starts_with('/')).ok_or_else(which)?;
            if name == "mount" { format!("{{path:{value}}}") } else { format!("{{file:{}}}", directory(value)) }
        }
        LabelKind::Url => known("url").ok_or_else(which)?,
        LabelKind::Host => known("one").unwrap_or_else(|| "{domain}".to_owned()),
        LabelKind::Integer => known("one").unwrap_or_else(|| "{int}".to_owned()),
        LabelKind::Measurement => known("one").unwrap_or_else(|| r"{re:[0-9a-z_.]+}".to_owned()),
        LabelKind::Identifier | LabelKind::Any => known("one").unwrap_or_else(|| {
            match program {
                "systemctl" => "{unit}",
                "brew" => "{formula}",
                "pkill" | "pgrep" | "killall" => "{procname}",
                _ => "{name}",
            }
            .to_owned()
        }),
    })
}

/// The directory that a path lies in: `/var/log` of `/var/log/app.log` and of `/var/log/`.
fn directory(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// A literal as a rule writes it.
fn quote(text: &str, whole: bool) -> String {
    let safe = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if text.chars().all(safe) && !(whole && text.is_empty()) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
#[path = "suggest_tests.rs"]
mod tests;

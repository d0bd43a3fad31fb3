//! The shape of `autoheal-playbooks.json`, and how it becomes [`Playbook`]s.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jsonc_parser::ast::Value;

use super::condition::{self, joinable, within};
use super::document::Document;
use super::node::{Cx, Fields, FromNode, Spanned, entries, is_ignored, record};
use super::playbook::{Action, CooldownScope, Playbook, SavedPlaybook, Severity, Strategy, Verify};
use super::problem::Draft;
use super::shape::{AtLeastOne, Retries, Seconds};
use super::source::Text;
use crate::detect::condition::Condition;

const MAX_ID: usize = 64;

/// Reads every playbook of the file, in its order; those with problems are left out.
pub(crate) fn read(root: &Value<'_>, cx: &mut Cx<'_>) -> Vec<Playbook> {
    let playbooks = entries(root, cx, is_ignored, |key, node, cx| {
        let good = is_id(key.name);
        if !good {
            let draft = Draft::error("bad_id", "an id has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or a digit");
            cx.report::<()>(key.span, draft.found(key.name).suggest_if(as_id(key.name).map(|id| format!("write {id:?}"))));
        }
        let source = cx.source_of(node);
        Raw::from_node(node, cx).filter(|raw| joins(raw, cx) && good).map(|raw| raw.named(key.name, source))
    });
    playbooks.into_iter().flatten().map(|(_, playbook)| playbook).collect()
}

fn is_id(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= MAX_ID && name.starts_with(letter) && name.chars().all(|found| letter(found) || found == '_' || found == '-')
}

/// The name in the letters that an id may have.
fn as_id(name: &str) -> Option<String> {
    let id = name.trim().to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-', "_");
    is_id(&id).then_some(id)
}

record! {
    /// One playbook as it stands in the file.
    Raw {
        description: Option<String>,
        enabled: Option<bool>,
        severity: Option<Severity>,
        repeat_seconds: Option<Seconds>,
        condition: Spanned<Condition>,
        actions: Vec<Action>,
        verify: Option<Spanned<Verify>>,
        strategy: Option<Strategy>,
        requires_approval: Option<bool>,
        approval_timeout_seconds: Option<Seconds>,
        cooldown_seconds: Option<Seconds>,
        cooldown_scope: Option<CooldownScope>,
        max_attempts: Option<AtLeastOne>,
        relapse_seconds: Option<Seconds>,
        retry_after_seconds: Option<Seconds>,
        dry_run: Option<bool>,
        runbook_url: Option<String>,
    }
}

impl Raw {
    fn named(self, id: &str, source: Arc<str>) -> Playbook {
        let seconds = |given: Option<Seconds>, default| given.map_or(Duration::from_secs(default), |seconds| seconds.0);
        Playbook {
            id: id.to_owned(),
            description: self.description.unwrap_or_else(|| id.replace(['_', '-'], " ")),
            enabled: self.enabled.unwrap_or(true),
            severity: self.severity.unwrap_or(Severity::Warning),
            repeat: seconds(self.repeat_seconds, 0),
            condition: self.condition.value,
            actions: self.actions,
            verify: self.verify.map(|verify| verify.value),
            strategy: self.strategy.unwrap_or(Strategy::All),
            requires_approval: self.requires_approval.unwrap_or(false),
            approval_timeout: seconds(self.approval_timeout_seconds, 300),
            cooldown: seconds(self.cooldown_seconds, 300),
            cooldown_scope: self.cooldown_scope.unwrap_or(CooldownScope::Target),
            max_attempts: self.max_attempts.map_or(3, |attempts| attempts.0),
            relapse: seconds(self.relapse_seconds, 900),
            retry_after: seconds(self.retry_after_seconds, 3600),
            dry_run: self.dry_run.unwrap_or(false),
            runbook_url: self.runbook_url,
            source,
        }
    }
}

impl TryFrom<SavedPlaybook> for Playbook {
    type Error = String;

    /// Reads a playbook again from its own text. The guard looks at its actions when they run, as always.
    fn try_from(saved: SavedPlaybook) -> Result<Self, String> {
        let text = Text::new("the history", &format!("{{{}: {}}}", serde_json::json!(saved.id), saved.source));
        let document = Document::open(&text).map_err(|problem| problem.to_string())?;
        let mut cx = Cx::new(&text);
        read(&document.root, &mut cx).pop().ok_or_else(|| format!("the playbook {} cannot be read any more", saved.id))
    }
}

/// Whether the metrics of the condition belong together, and the verification can name its target from the condition's labels.
fn joins(raw: &Raw, cx: &mut Cx<'_>) -> bool {
    let mut found = Vec::new();
    let condition = &raw.condition;
    let mut note = |key: &'static str, span: &Range<usize>, result: Result<(), Draft>| {
        found.extend(result.err().map(|draft| (key, span.clone(), draft)));
    };
    note("condition", &condition.span, joinable(&condition.value));
    if let Some(verify) = &raw.verify {
        let proof = &verify.value.condition;
        note("verify", &verify.span, joinable(proof));
        let (whole, part) = (condition.value.leading().metric, proof.leading().metric);
        if !within(part, whole) {
            let message = format!(
                "{} cannot prove this heal: an incident of {} does not say which {}",
                part.name,
                whole.name,
                part.identity.join(", ")
            );
            note("verify", &verify.span, Err(Draft::error("bad_join", message)));
        }
    }
    let good = found.is_empty();
    for (key, span, draft) in found {
        cx.under(key, |cx| cx.report::<()>(span, draft));
    }
    good
}

impl FromNode for Verify {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        if let Value::StringLit(_) = node {
            return Condition::from_node(node, cx).map(|condition| Self::new(condition, None));
        }
        let mut fields = Fields::open(node, cx)?;
        let condition = condition::read(&mut fields);
        let looks = Looks::read(&mut fields);
        fields.close();
        Some(Self::new(condition?, Some(looks?)))
    }
}

record! {
    /// The keys of `verify` besides the condition's.
    Looks { retry_count: Option<Retries>, retry_interval_seconds: Option<Seconds>, hold_seconds: Option<Seconds>, }
}

impl Verify {
    fn new(condition: Condition, looks: Option<Looks>) -> Self {
        let looks = looks.unwrap_or(Looks { retry_count: None, retry_interval_seconds: None, hold_seconds: None });
        Self {
            condition,
            retry_count: looks.retry_count.map_or(3, |count| count.0),
            retry_interval: looks.retry_interval_seconds.map_or(Duration::from_secs(10), |seconds| seconds.0),
            hold: looks.hold_seconds.map_or(Duration::ZERO, |seconds| seconds.0),
        }
    }
}

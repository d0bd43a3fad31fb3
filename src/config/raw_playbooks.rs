//! The shape of `autoheal-playbooks.json`, and how it becomes [`Playbook`]s.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use jsonc_parser::ast::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::condition::{self, sound, within};
use super::document::Document;
use super::node::{Cx, Fields, FromNode, Spanned, entries, fallback, is_ignored, record};
use super::playbook::{Action, CooldownScope, Playbook, SavedPlaybook, Severity, Strategy, Verify};
use super::problem::Draft;
use super::schema::IGNORED;
use super::schema_condition;
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
    /// One playbook: when it fires, what is done, and how the repair is proven.
    Raw {
        /// What the trouble is, in words; shown wherever the playbook is. Without it: the id, with blanks.
        description: Option<String>,
        /// `false`: the playbook never fires.
        enabled: bool = true,
        /// How bad it is.
        severity: Severity = "warning",
        /// A playbook without actions repeats its message after this many seconds until recovery; 0: it tells once.
        repeat_seconds: Seconds = 0,
        /// When the playbook fires.
        condition: Spanned<Condition>,
        /// What is done, in this order. May be empty: then the playbook only tells, once, and again at recovery.
        actions: Vec<Action>,
        /// What must be true after the actions: the proof of the heal.
        verify: Option<Spanned<Verify>>,
        /// How several actions follow each other.
        strategy: Strategy = "all",
        /// `true`: a person must approve before any action runs.
        requires_approval: bool = false,
        /// How many seconds a question for approval waits for its answer.
        approval_timeout_seconds: Seconds = 300,
        /// How many seconds nothing is done after an incident in which something was, counted from its end.
        cooldown_seconds: Seconds = 300,
        /// What waits during the cooldown.
        cooldown_scope: CooldownScope = "target",
        /// After this many heals of a target that failed or did not hold, autoheal calls for a person and acts no more.
        max_attempts: AtLeastOne = 3,
        /// Trouble that is back within this many seconds counts as a heal that failed.
        relapse_seconds: Seconds = 900,
        /// After so many seconds it tries once more all the same, then after twice that, up to a day; 0: never.
        retry_after_seconds: Seconds = 3600,
        /// `true`: decide and record everything, and execute nothing, for this playbook only.
        dry_run: bool = false,
        /// An address with instructions for people, put into every message.
        runbook_url: Option<String>,
    }
}

impl Raw {
    fn named(self, id: &str, source: Arc<str>) -> Playbook {
        Playbook {
            id: id.to_owned(),
            description: self.description.unwrap_or_else(|| id.replace(['_', '-'], " ")),
            enabled: self.enabled,
            severity: self.severity,
            repeat: self.repeat_seconds.0,
            condition: self.condition.value,
            actions: self.actions,
            verify: self.verify.map(|verify| verify.value),
            strategy: self.strategy,
            requires_approval: self.requires_approval,
            approval_timeout: self.approval_timeout_seconds.0,
            cooldown: self.cooldown_seconds.0,
            cooldown_scope: self.cooldown_scope,
            max_attempts: self.max_attempts.0,
            relapse: self.relapse_seconds.0,
            retry_after: self.retry_after_seconds.0,
            dry_run: self.dry_run,
            runbook_url: self.runbook_url,
            source,
        }
    }
}

/// The whole file, for its schema: [`read`] goes on where a playbook is wrong.
#[derive(Debug)]
pub(crate) struct File;

impl JsonSchema for File {
    fn schema_name() -> Cow<'static, str> {
        "playbooks".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let ids = format!("{IGNORED}|^[a-z0-9][a-z0-9_-]{{0,{}}}$", MAX_ID - 1);
        json_schema!({
            "type": "object",
            "description": "What autoheal does about trouble. Each key is the id of a playbook, and the type of its incidents.",
            "propertyNames": {"pattern": ids},
            "additionalProperties": generator.subschema_for::<Raw>()
        })
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

/// Whether the condition is sound, its metrics belong together, and the verification can name its target from the condition's labels.
fn joins(raw: &Raw, cx: &mut Cx<'_>) -> bool {
    let mut found = Vec::new();
    let condition = &raw.condition;
    let mut note = |key: &'static str, span: &Range<usize>, result: Result<(), Draft>| {
        found.extend(result.err().map(|draft| (key, span.clone(), draft)));
    };
    note("condition", &condition.span, sound(&condition.value));
    if let Some(verify) = &raw.verify {
        let proof = &verify.value.condition;
        note("verify", &verify.span, sound(proof));
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
            return Condition::from_node(node, cx).zip(fallback("{}")).map(|(condition, looks)| Self::new(condition, &looks));
        }
        let mut fields = Fields::open(node, cx)?;
        let condition = condition::read(&mut fields);
        let looks = Looks::read(&mut fields);
        fields.close();
        Some(Self::new(condition?, &looks?))
    }
}

impl JsonSchema for Verify {
    fn schema_name() -> Cow<'static, str> {
        "verify".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let looks = Looks::json_schema(generator);
        schema_condition::spellings(generator, &looks)
    }
}

record! {
    /// The keys of `verify` besides the condition's.
    Looks {
        /// How often it is looked at again before the heal counts as failed.
        retry_count: Retries = 3,
        /// How many seconds lie between two looks.
        retry_interval_seconds: Seconds = 10,
        /// How many seconds it must stay true.
        hold_seconds: Seconds = 0,
    }
}

impl Verify {
    fn new(condition: Condition, looks: &Looks) -> Self {
        Self { condition, retry_count: looks.retry_count.0, retry_interval: looks.retry_interval_seconds.0, hold: looks.hold_seconds.0 }
    }
}

//! A heal by hand: which targets it is for, now.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::collect;
use crate::config::Config;
use crate::config::playbook::Playbook;
use crate::detect::detector;
use crate::incident::{Opening, Source};
use crate::sample::{Labels, Sample};
use crate::serve::protocol::Refusal;

/// How long the measurement of all targets may take.
const MEASURE: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The playbook's id.
    pub playbook: &'a str,
    /// Labels that a target must have.
    pub labels: Labels,
    /// Do not look at the condition and the cooldown first.
    pub force: bool,
}

/// What there is to do.
#[derive(Debug)]
pub enum Found {
    /// These are opened.
    Open(Vec<Opening>),
    /// The condition holds for nothing: in words.
    Nothing(String),
}

impl Request<'_> {
    /// The playbook.
    ///
    /// # Errors
    /// When there is none of that name; the names that there are.
    pub fn playbook<'c>(&self, config: &'c Config) -> Result<&'c Arc<Playbook>, Refusal> {
        config.playbooks.iter().find(|playbook| playbook.id == self.playbook).ok_or_else(|| {
            let ids: Vec<&str> = config.playbooks.iter().map(|playbook| playbook.id.as_str()).collect();
            Refusal::failed("no_playbook", format!("there is no playbook {:?}; there are: {}", self.playbook, ids.join(", ")))
        })
    }

    /// Measures everything and says what is to be opened: where the condition holds; forced, every target that the labels
    /// select. A single one that is well gets its incident too, which measures again and says `cleared`: who asked about one
    /// target wants to read about that one.
    ///
    /// # Errors
    /// When no target is meant, or nobody can tell whether the condition holds.
    pub fn openings(&self, config: &Config) -> Result<Found, Refusal> {
        let playbook = self.playbook(config)?;
        let selected = self.selected(playbook, &collect::measure_once(&config.settings, MEASURE));
        let alone = selected.len() == 1;
        let opened = selected.iter().filter(|(holds, _)| self.force || *holds == Some(true) || alone && *holds == Some(false));
        let openings: Vec<Opening> = opened.map(|(_, opening)| opening.clone()).collect();
        if openings.is_empty() { self.nothing(playbook, &selected) } else { Ok(Found::Open(openings)) }
    }

    /// The watched targets that the labels select, and whether the condition holds for each now.
    fn selected(&self, playbook: &Arc<Playbook>, samples: &[Sample]) -> Vec<(Option<bool>, Opening)> {
        detector::concerned(playbook, samples)
            .into_iter()
            .map(|identity| {
                let own = detector::samples_of(&playbook.condition, &identity, samples);
                let holds = playbook.condition.state_of(&identity, &own);
                (holds, detector::opening(playbook, &identity, own, Moment::now()))
            })
            .filter(|(_, opening)| opening.target.labels().covers(&self.labels))
            .map(|(holds, opening)| (holds, Opening { source: Source::Cli, force: self.force, ..opening }))
            .collect()
    }

    fn nothing(&self, playbook: &Playbook, selected: &[(Option<bool>, Opening)]) -> Result<Found, Refusal> {
        if self.force || (selected.is_empty() && !self.labels.is_empty()) {
            let text = format!("no watched target of {} has these labels; autoheal probe shows what is watched", playbook.id);
            return Err(Refusal::failed("no_target", text));
        }
        let unknown: Vec<String> = selected
            .iter()
            .filter(|(holds, _)| holds.is_none())
            .map(|(_, opening)| {
                let reason = opening.samples.iter().filter(|sample| sample.value.is_none()).find_map(|sample| sample.reason.as_deref());
                format!("{}: {}", opening.key(), reason.unwrap_or("not measured"))
            })
            .collect();
        // Unknown never clears: somebody who asked is told, not reassured.
        if !unknown.is_empty() && unknown.len() == selected.len() {
            let text = format!("nobody can tell whether {} holds: {}", playbook.condition, unknown.join("; "));
            return Err(Refusal::failed("unknown", text));
        }
        let remark = match (selected.is_empty(), unknown.is_empty()) {
            (true, _) => " (no watched target is meant)".to_owned(),
            (false, true) => String::new(),
            (false, false) => format!(" (unknown for {})", unknown.join("; ")),
        };
        Ok(Found::Nothing(format!("cleared: {} holds for no target now{remark}; nothing was done", playbook.condition)))
    }
}

//! The targets of a playbook in words, each with what was measured of it.

use super::table;
use crate::config::checkup::name;
use crate::config::playbook::Playbook;
use crate::config::watched::Watched;
use crate::detect::detector;
use crate::sample::{Labels, Sample};

/// A glob may match hundreds of logs; the JSON names them all.
const MOST: usize = 12;

/// One target, or what stands for several.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// `mount=/data`
    pub(super) name: String,
    /// `96.2 %, …`; empty where nothing was measured.
    pub(super) value: String,
    /// The condition holds now.
    pub(super) holds: bool,
}

/// What was measured, the targets first for which the condition holds now.
pub(super) fn measured(playbook: &Playbook, targets: &[Labels], samples: &[Sample]) -> Vec<Line> {
    let mut lines: Vec<Line> = targets.iter().map(|identity| line(playbook, identity, samples)).collect();
    lines.sort_by_key(|line| !line.holds);
    let more = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    lines.extend((more > 0).then(|| text(format!("and {more} more"))));
    lines
}

/// What the watch entries say. `looked`: it was looked for their targets, and there are none.
pub(super) fn named(playbook: &Playbook, entries: &[&Watched], looked: bool) -> Vec<Line> {
    if entries.is_empty() {
        let key = playbook.condition.leading().metric.kind.settings_key();
        return vec![text(format!("nothing yet: {key} names no such target"))];
    }
    let entry = |entry: &Watched| match &entry.many {
        Some(many) if looked => format!("nothing that is there now: {many}"),
        Some(many) => many.clone(),
        None => name(&entry.target.identity),
    };
    entries.iter().map(|one| text(entry(one))).collect()
}

fn text(name: String) -> Line {
    Line { name, value: String::new(), holds: false }
}

fn line(playbook: &Playbook, identity: &Labels, samples: &[Sample]) -> Line {
    let own = detector::samples_of(&playbook.condition, identity, samples);
    let value = |sample: &Sample| match (&sample.value, &sample.reason) {
        (None, Some(reason)) => format!("not known: {reason}"),
        (Some(_), Some(remark)) => format!("{} ({remark})", table::value(sample)),
        _ => table::value(sample),
    };
    let values: Vec<String> = match own.as_slice() {
        [one] => vec![value(one)],
        several => several.iter().map(|sample| format!("{} {}", sample.metric.name, value(sample))).collect(),
    };
    let holds = playbook.condition.state_of(identity, &own) == Some(true);
    Line { name: name(identity), value: values.join(", "), holds }
}

//! Playbooks of random shape.

use std::sync::Arc;

use autoheal::config::playbook::{Playbook, SavedPlaybook};
use serde_json::{Value, json};

use super::Random;

/// What the playbooks look at.
pub(super) const METRICS: [&str; 2] = ["disk_usage", "inode_usage"];

/// A playbook. Every metric is bad over 90 and proven well under 85.
pub(super) fn make(random: &mut Random, id: &str, metric: &str) -> Arc<Playbook> {
    let actions: Vec<Value> = (0..random.below(4)).map(|index| action(random, id, index)).collect();
    let mut playbook = json!({
        "severity": random.of(&["critical", "error", "warning", "info"]),
        "condition": {"metric": metric, "operator": ">", "threshold": 90},
        "strategy": if random.percent(40) && !actions.is_empty() { "ladder" } else { "all" },
        "actions": actions,
        "requires_approval": random.percent(15),
        "approval_timeout_seconds": random.of(&[30, 300]),
        "cooldown_seconds": random.below(121),
        "cooldown_scope": random.of(&["target", "target", "playbook"]),
        "max_attempts": 1 + random.below(3),
        "relapse_seconds": random.of(&[0, 30, 120, 900]),
        "retry_after_seconds": random.of(&[0, 20, 300, 3600]),
        "repeat_seconds": random.of(&[0, 0, 60]),
        "dry_run": random.percent(5),
    });
    if random.percent(70) {
        playbook["verify"] = json!({
            "metric": metric, "operator": "<", "threshold": 85,
            "retry_count": random.below(3), "retry_interval_seconds": random.of(&[0, 1, 10]), "hold_seconds": random.of(&[0, 0, 5, 30]),
        });
    }
    parse(id, &playbook)
}

fn action(random: &mut Random, id: &str, index: u64) -> Value {
    json!({
        "type": "shell", "command": format!("fix {id}{index}"),
        "requires_approval": random.percent(15), "continue_on_failure": random.percent(30),
    })
}

/// The same playbook with something else in it.
pub(super) fn edit(random: &mut Random, playbook: &Playbook) -> Arc<Playbook> {
    let mut source: Value = serde_json::from_str(&playbook.source).unwrap();
    match random.below(6) {
        0 => source["enabled"] = json!(!playbook.enabled),
        1 => source["dry_run"] = json!(!playbook.dry_run),
        2 => source["max_attempts"] = json!(1 + random.below(3)),
        3 => source["cooldown_seconds"] = json!(random.below(121)),
        4 => source["cooldown_scope"] = json!(random.of(&["target", "playbook"])),
        _ => source["relapse_seconds"] = json!(random.of(&[0, 30, 120])),
    }
    parse(&playbook.id, &source)
}

fn parse(id: &str, source: &Value) -> Arc<Playbook> {
    let saved = SavedPlaybook { id: id.to_owned(), source: source.to_string().into() };
    Arc::new(Playbook::try_from(saved).unwrap_or_else(|error| panic!("{error}: {source}")))
}

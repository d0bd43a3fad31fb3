//! The tables of the reference: metrics, placeholders, slots of rules, and its contents.

use std::collections::{BTreeMap, BTreeSet};

use super::examples::EXAMPLES;
use super::{Page, code_text, in_file};
use crate::collect::SELDOM;
use crate::config::codes::Place;
use crate::config::{Text, parse, semantic, source::shipped_settings};
use crate::heal::guard::SLOTS;
use crate::metric::{LABELS, METRICS, Metric, Values};
use crate::placeholder::FACTS;

pub(super) fn metrics(page: &mut Page) {
    page.line("\n## Metrics\n\n| metric | value | unit | labels | where it is watched |\n| --- | --- | --- | --- | --- |");
    for metric in METRICS {
        let (words, unit) = match metric.values {
            Values::Number(unit) => (metric.doc.to_owned(), unit),
            Values::Words(words) => {
                (format!("{}; {}", words.iter().map(|word| code_text(word)).collect::<Vec<_>>().join(", "), metric.doc), "")
            }
        };
        let labels: Vec<String> = all_labels(metric).map(code_text).collect();
        page.line(format!("| `{}` | {words} | {unit} | {} | `{}` |", metric.name, labels.join(", "), metric.kind.settings_key()));
    }
    page.line("\n`process_memory` is another name of `process_memory_mb`. A certificate has `host` and `port`, or `path`.");
    page.line(format!(
        "\n{} cost a look of their own. While no condition and no `verify` of an enabled playbook names one, it is for the history and \
         `status` alone, and is measured every 10 s at most, whatever the interval of its entry.",
        SELDOM.map(code_text).join(", ")
    ));
}

fn all_labels(metric: &Metric) -> impl Iterator<Item = &'static str> {
    metric.identity.iter().chain(metric.facts).copied()
}

/// What placeholders stand for, and in which keys.
pub(super) fn placeholders(page: &mut Page) {
    page.line(
        "\n## Placeholders\n\n`{name}` in a text of an action stands for a label of the incident, or for a fact about it. Each has a type, and must fit the slot of the rule that takes it. It fills one argument or a part \
         of one, and is never looked at again: whatever it holds, it cannot become another argument or a command. It cannot stand for a \
         program or an option. `{{name}}` is the text `{name}`; braces around what is no name are left alone.",
    );
    page.line(format!(
        "\nThey are filled in {} of actions, and nowhere else.",
        texts().into_iter().map(|key| code_text(&key)).collect::<Vec<_>>().join(", ")
    ));
    page.line("\n| placeholder | stands for | where it can stand |\n| --- | --- | --- |");
    for (label, about) in LABELS {
        let metrics = METRICS.iter().filter(|metric| all_labels(metric).any(|own| own == *label));
        let keys: BTreeSet<&str> = metrics.map(|metric| metric.kind.settings_key()).collect();
        let keys: Vec<String> = keys.into_iter().map(code_text).collect();
        page.line(format!("| `{{{label}}}` | {about} | playbooks with a metric of {} |", keys.join(", ")));
    }
    for (fact, about) in FACTS {
        page.line(format!("| `{{{fact}}}` | {about} | every playbook |"));
    }
}

/// The keys of actions whose text may hold placeholders, as far as the examples have them.
fn texts() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (_, _, example) in EXAMPLES.iter().filter(|(_, place, _)| *place == Place::Action) {
        let config = parse(&Text::new("p", &in_file(Place::Action, example)), &shipped_settings()).unwrap();
        let action = &config.playbooks[0].actions[0];
        for (path, _) in semantic::texts(action) {
            let key = path.strip_prefix(&format!("{}.", action.path)).unwrap();
            keys.insert(key.split(['.', '[']).next().unwrap().to_owned());
        }
    }
    keys
}

/// What a rule of `allowed_commands` is made of.
pub(super) fn rules(page: &mut Page) {
    page.line(
        "\n## Rules of `allowed_commands`\n\nA rule reads like the command that it allows, word by word, from the first to the last: there is no *and \
         anything after*. Words are literal, or have slots in braces; a part in `[ ]` may be left out, and several of these beside each \
         other may come in any order. A rule that begins with `exact:` allows one text as a whole, and is the only way to a shell. \
         `autoheal allow list` shows the rules in force, `autoheal allow test 'COMMAND'` says which one allows a command or which word \
         fails, `autoheal allow suggest 'COMMAND'` writes the narrowest rule for it.\n\n    find {path:/tmp|/var/log} [-xdev] [-type \
         {one:f|d}] [-name {glob}] -mtime {age} -delete\n    backupctl prune --keep {int}\n    exact: ps aux | sort -nrk 4 | head -5\n",
    );
    page.line("| slot | takes | such as | takes for example | but not |\n| --- | --- | --- | --- | --- |");
    for slot in SLOTS {
        let cell = |text: &str| code_text(&text.replace('|', "\\|"));
        let braces = |text: &str| cell(&format!("{{{text}}}"));
        let written = braces(slot.written);
        let example = if slot.example == slot.written { String::new() } else { braces(slot.example) };
        let meaning = slot.meaning.replace('|', "\\|");
        page.line(format!("| {written} | {meaning} | {example} | {} | {} |", cell(slot.takes), cell(slot.refuses)));
    }
}

/// The headings of the page as a list of links, as GitHub makes their anchors.
pub(super) fn contents(text: &str) -> String {
    let (mut list, mut seen) = (String::from("\n## Contents\n\n"), BTreeMap::<String, usize>::new());
    // What stands in a block of code is no heading.
    for heading in text.lines().filter(|line| line.starts_with("## ") || line.starts_with("### ") || line.starts_with("#### ")) {
        let (marks, title) = heading.split_once(' ').unwrap();
        let kept = title.to_lowercase().replace(|letter: char| !(letter.is_alphanumeric() || " -_".contains(letter)), "").replace(' ', "-");
        let count = seen.entry(kept.clone()).or_default();
        let anchor = if *count == 0 { kept } else { format!("{kept}-{count}") };
        *count += 1;
        if marks.len() < 4 {
            list.push_str(&format!("{}- [{title}](#{anchor})\n", "  ".repeat(marks.len() - 2)));
        }
    }
    list
}

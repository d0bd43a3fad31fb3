//! What the guard would say of each action for the targets that exist now: the template was allowed at load, a target may still
//! fill it with what no rule allows, or with a service that nobody knows.

use std::sync::Arc;

use super::checkup::{few, placed};
use super::playbook::{Action, Playbook};
use super::problem::{Draft, Problem};
use super::remarks::Remark;
use super::source::Text;
use super::{Config, checkup};
use crate::collect::Survey;
use crate::heal::guard::{Refusal, RefusalKind};
use crate::heal::job;
use crate::placeholder::{self, Values};
use crate::sample::{Sample, Target};

/// So many targets of a playbook are tried; with more of a kind the rest fares alike.
const MOST_TARGETS: usize = 200;

/// A remark about each action that would be refused now for a target that was measured. Looks at programs and paths as the guard
/// does; nothing runs.
#[must_use]
pub fn refused_now(config: &Config, playbooks: &Text, survey: &Survey) -> Vec<Problem> {
    let enabled = config.playbooks.iter().filter(|playbook| playbook.enabled);
    placed(playbooks, enabled.flat_map(|playbook| of_playbook(playbook, config, survey)).collect())
}

fn of_playbook(playbook: &Playbook, config: &Config, survey: &Survey) -> Vec<Remark> {
    let targets = targets(playbook, &survey.samples);
    let filled = |action: &&Action| action.kind.main_text().is_some_and(|(_, text)| !placeholder::find(text).is_empty());
    playbook.actions.iter().filter(filled).filter_map(|action| of_action(action, playbook, &targets, config, survey)).collect()
}

/// What was measured: of a target that nobody could look at nothing can be said.
fn targets(playbook: &Playbook, samples: &[Sample]) -> Vec<Arc<Target>> {
    let mut found: Vec<Arc<Target>> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.value.is_some() && playbook.condition.concerns(sample.metric, &sample.target)) {
        if found.len() < MOST_TARGETS && !found.iter().any(|target| target.identity == sample.target.identity) {
            found.push(Arc::clone(&sample.target));
        }
    }
    found
}

fn of_action(action: &Action, playbook: &Playbook, targets: &[Arc<Target>], config: &Config, survey: &Survey) -> Option<Remark> {
    let meant = targets.iter().filter(|target| action.when.selects(|label| target.label(label)));
    let refused: Vec<(&Arc<Target>, Refusal)> = meant
        .filter_map(|target| {
            let refusal = job::refusal(&action.kind, &values(playbook, target), config, &survey.units)?;
            depends_on_target(refusal.kind).then_some((target, refusal))
        })
        .collect();
    let (_, first) = refused.first()?;
    let names = refused.iter().map(|(target, _)| checkup::name(&target.identity)).collect();
    let message = format!("for {} the guard would refuse it now: {}", few(names), first.reason);
    let next = match (first.kind, &first.nearest_rule) {
        (RefusalKind::UnknownService, _) => "name its \"service\" in watch.processes, or give its commands under services".to_owned(),
        (_, Some(rule)) => format!("the nearest rule of allowed_commands is {rule}"),
        (_, None) => "`autoheal allow test` tries it".to_owned(),
    };
    let (key, _) = action.kind.main_text()?;
    Some((format!("{}.{key}", action.path), Draft::warning("refused_here", message).suggest(next)))
}

/// What is wrong with the template, or with a program, is said at load.
fn depends_on_target(kind: RefusalKind) -> bool {
    matches!(kind, RefusalKind::Placeholder | RefusalKind::NoRule | RefusalKind::Path | RefusalKind::UnknownService)
}

/// The labels of the target, and facts that an incident of it could have.
fn values(playbook: &Playbook, target: &Target) -> Values {
    let labels = target.labels();
    let metric = playbook.condition.leading().metric.name;
    let facts = placeholder::facts().map(|fact| match fact {
        "playbook" => (fact, playbook.id.as_str()),
        "metric" => (fact, metric),
        "severity" => (fact, playbook.severity.name()),
        _ => (fact, "0"),
    });
    labels.iter().chain(facts).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::clock::Moment;
    use crate::metric;
    use crate::sample::{Labels, Value};

    #[test]
    fn what_a_target_would_make_of_an_action_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let allowed = dir.path().canonicalize().unwrap();
        let playbooks = Text::new(
            "p",
            r#"{"log": {"condition": "log_file_size_mb > 1", "actions": [
                {"type": "archive_log", "path": "{path}"},
                {"type": "archive_log", "path": "{path}", "when": {"path": "/none"}},
                {"type": "top_processes"}]}}"#,
        );
        let settings = format!(r#"{{"watch": {{"logs": []}}, "allowed_commands": ["archive_log {{file:{}}}"]}}"#, allowed.display());
        let config = parse(&playbooks, &Text::new("s", &settings)).unwrap();
        let sample = |path: &str| {
            let target = Target::new(Labels::from([("path", path)]), Labels::default());
            Sample::known(metric::named("log_file_size_mb"), &target, Value::Number(2.0), Moment::at_seconds(1.0))
        };
        let inside = allowed.join("app.log").display().to_string();
        let survey = |paths: &[&str]| Survey { samples: paths.iter().map(|path| sample(path)).collect(), ..Survey::default() };
        assert_eq!(refused_now(&config, &playbooks, &survey(&[&inside])), []);
        let found = refused_now(&config, &playbooks, &survey(&[&inside, "/srv/a.log", "/srv/b.log"]));
        let [problem] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((problem.code, problem.path.as_str(), problem.line), ("refused_here", "$.log.actions[0].path", 2));
        assert!(problem.message.starts_with("for path=/srv/a.log, path=/srv/b.log the guard would refuse it now: "), "{problem}");
    }

    #[test]
    fn a_process_whose_service_nobody_knows_is_told() {
        let book = r#"{"down": {"condition": "process_status == stopped", "actions": [{"type": "service_restart", "service": "{process_name}"}]}}"#;
        let settings = r#"{"watch": {"processes": [{"name": "no-such-service-here"}, {"name": "web"}]}, "services": {"web": {"restart": "/bin/true"}}}"#;
        let playbooks = Text::new("p", book);
        let config = parse(&playbooks, &Text::new("s", settings)).unwrap();
        let sample = |name: &str| {
            let target = Target::new(Labels::from([("process_name", name)]), Labels::default());
            Sample::known(metric::named("process_status"), &target, Value::Text("stopped".into()), Moment::at_seconds(1.0))
        };
        let survey = Survey { samples: vec![sample("no-such-service-here"), sample("web")], ..Survey::default() };
        let found = refused_now(&config, &playbooks, &survey);
        // With launchd or Homebrew nobody knows which services there are until they are asked.
        if cfg!(target_os = "linux") {
            let [problem] = found.as_slice() else { panic!("{found:#?}") };
            assert!(problem.message.contains("process_name=no-such-service-here the guard would refuse it now"), "{problem}");
            assert!(problem.suggestion.as_deref().unwrap().contains("watch.processes"), "{problem}");
        }
    }
}

//! Steps 1 to 5 in order: a request against the policy.

use std::path::PathBuf;
use std::time::Duration;

use super::answer::{Permit, Refusal, RefusalKind, Reviewed};
use super::compile::Rule;
use super::confinement::Confinement;
use super::matching::{Binding, Miss, matches};
use super::path::{self, Visit};
use super::program::{self, Identity, RunAs};
use super::rule::Form;
use super::service::{Line, Manager, systemd_knows};
use super::special::{base_name, check_argv};
use super::swap::Follower;
use super::template::{Argument, Piece, Word, fill_name, parse, show};
use super::text::{MAX_WORDS, scan};
use super::token::tokenise;
use super::{Policy, Request, Values, advice, quoted};
use crate::config::playbook::Verb;

/// One pass of a request through the guard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Review<'a> {
    pub(super) policy: &'a Policy,
    /// `None`: the template, at load.
    pub(super) values: Option<&'a Values>,
    /// Something is going to run: what is missing is a refusal.
    pub(super) run: bool,
    /// Which processes can fill `{process_name}`; `None`: every watched one.
    pub(super) processes: Option<&'a [&'a str]>,
}

/// What the guard found out about a request that it does not refuse.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    argv: Vec<String>,
    program: Option<PathBuf>,
    identity: Option<Identity>,
    pub(super) missing_program: Option<String>,
    unknown_service: Option<String>,
    shell: bool,
    native: bool,
    confinement: Confinement,
    grant: Grant,
}

/// What the matching rules say together.
#[derive(Clone, Debug)]
struct Grant {
    rule: String,
    run_as: Option<RunAs>,
    requires_approval: bool,
    timeout: Option<Duration>,
    sandbox: Option<bool>,
    writable: Option<Vec<String>>,
}

impl<'a> Review<'a> {
    /// At load.
    pub(super) fn template(policy: &'a Policy) -> Self {
        Self { policy, values: None, run: false, processes: None }
    }

    /// The whole way.
    pub(super) fn answer(&self, request: &Request<'_>) -> Result<Answer, Refusal> {
        match *request {
            Request::Command(text) => self.command(text),
            Request::Service { verb, service } => self.service(verb, service),
            Request::Http { method, url } => self.native(&["http", method, url]),
            Request::DeleteFiles { directory } => self.native(&["delete_files", directory]),
            Request::ArchiveLog { path, to: None } => self.native(&["archive_log", path]),
            Request::ArchiveLog { path, to: Some(to) } => self.native(&["archive_log", path, to]),
            Request::SignalProcess { process, signal } => self.native(&["signal_process", process, signal]),
        }
        .map_err(|refusal| if matches!(request, Request::Command(_)) { refusal } else { refusal.placeless() })
    }

    fn command(&self, text: &str) -> Result<Answer, Refusal> {
        scan(text)?;
        match tokenise(text) {
            Ok(words) => {
                let arguments = self.arguments(&words)?;
                let (argv, grant) = self.decide(&arguments, Some(text), false)?;
                self.with_program(argv, grant)
            }
            Err(fault) => self.shell(text).unwrap_or_else(|| Err(advice::refusal(text, &fault))),
        }
    }

    /// A text with an operator: only if the whole of it is an exact rule.
    fn shell(&self, text: &str) -> Option<Result<Answer, Refusal>> {
        let matching: Vec<&Rule> = self.policy.rules.iter().filter(|rule| is_exactly(&rule.form, text)).collect();
        let grant = Grant::strictest(&matching)?;
        let argv = ["/bin/sh", "-c", text.trim()].map(str::to_owned).to_vec();
        Some(self.with_program(argv, grant).map(|answer| Answer { shell: true, ..answer }))
    }

    fn native(&self, fields: &[&str]) -> Result<Answer, Refusal> {
        fields.iter().try_for_each(|field| scan(field))?;
        let words: Vec<Word> = fields.iter().map(|field| Word::field(field)).collect();
        let (argv, grant) = self.decide(&self.arguments(&words)?, None, true)?;
        let confinement = Confinement::Free("the agent does it itself");
        let (missing_program, unknown_service) = (None, None);
        Ok(Answer { argv, program: None, identity: None, missing_program, unknown_service, shell: false, native: true, confinement, grant })
    }

    fn service(&self, verb: Verb, service: &str) -> Result<Answer, Refusal> {
        scan(service)?;
        let pieces = parse(service);
        match self.values {
            Some(values) => self.service_named(verb, &fill_name(&pieces, values)?),
            None if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) => self.service_named(verb, &show(&pieces)),
            None => self.service_template(verb, &pieces),
        }
    }

    /// Every process that can fill the placeholder must come to an allowed line; where that cannot be known, the manager's
    /// line must be allowed for any name.
    fn service_template(&self, verb: Verb, pieces: &[Piece]) -> Result<Answer, Refusal> {
        let by_process = pieces.iter().all(|piece| !matches!(piece, Piece::Placeholder(name) if name != "process_name"));
        let processes: Vec<&str> = match self.processes {
            Some(processes) => processes.to_vec(),
            None => self.policy.services.processes().collect(),
        };
        if by_process && !processes.is_empty() {
            let answers: Result<Vec<Answer>, Refusal> = processes
                .iter()
                .map(|process| {
                    let values = Values::from([("process_name".to_owned(), (*process).to_owned())]);
                    self.service_named(verb, &fill_name(pieces, &values)?)
                })
                .collect();
            if let Ok(mut answers) = answers {
                let strict = answers.iter().any(|answer| answer.grant.requires_approval);
                let differ = answers.iter().any(|answer| answer.argv != answers[0].argv);
                let mut answer = answers.swap_remove(0);
                answer.grant.requires_approval = strict;
                if differ {
                    answer.argv = vec![verb.action_name().to_owned(), show(pieces)];
                }
                return Ok(Answer { unknown_service: None, ..answer });
            }
        }
        let words = self.policy.services.template(verb)?;
        let arguments =
            words.iter().map(|word| Word { pieces: parse(&word.replace("{service}", &show(pieces))), span: 0..0 }).collect::<Vec<_>>();
        let (argv, grant) = self.decide(&self.arguments(&arguments)?, None, false)?;
        self.with_program(argv, grant)
    }

    fn service_named(&self, verb: Verb, name: &str) -> Result<Answer, Refusal> {
        match self.policy.services.line(verb, name, self.run)? {
            Line::Own { command, source } => self.own_command(&command, &source),
            Line::Managed { manager, service, argv } => {
                let arguments: Vec<Argument> = argv.into_iter().map(Argument::plain).collect();
                let (argv, grant) = self.decide(&arguments, None, false)?;
                let here = manager == Manager::Systemd && Manager::of_this_host() == Some(Manager::Systemd);
                let unknown_service = (here && !systemd_knows(&service)).then_some(service);
                Ok(Answer { unknown_service, ..self.with_program(argv, grant)? })
            }
        }
    }

    /// A command that stands literally in the settings is its own rule. It holds no placeholder.
    pub(super) fn own_command(&self, command: &str, source: &str) -> Result<Answer, Refusal> {
        scan(command)?;
        let words = match tokenise(command) {
            Ok(words) => words,
            Err(fault) => {
                return self.shell(command).unwrap_or_else(|| Err(advice::refusal(command, &fault))).map(Answer::of_a_service);
            }
        };
        if let Some(word) = words.iter().find(|word| word.placeholders().next().is_some()) {
            let reason = "a command of the settings may hold no placeholder";
            return Err(Refusal::new(RefusalKind::Placeholder, reason).at(word.span.clone()));
        }
        let argv: Vec<String> = self.arguments(&words)?.into_iter().map(|argument| argument.text).collect();
        check_argv(&argv).map_err(|reason| Refusal::new(RefusalKind::NoRule, reason))?;
        let grant = Grant { rule: source.to_owned(), run_as: None, requires_approval: false, timeout: None, sandbox: None, writable: None };
        self.with_program(argv, grant).map(Answer::of_a_service)
    }

    fn arguments(&self, words: &[Word]) -> Result<Vec<Argument>, Refusal> {
        if words.len() > MAX_WORDS {
            return Err(Refusal::new(RefusalKind::Text, format!("the command has {} words; {MAX_WORDS} are allowed", words.len())));
        }
        words.iter().enumerate().map(|(index, word)| word.resolve(index == 0, self.values)).collect()
    }

    /// Matches the argv with every rule. Where several match, the stricter limits of all of them hold.
    fn decide(&self, arguments: &[Argument], text: Option<&str>, native: bool) -> Result<(Vec<String>, Grant), Refusal> {
        let mut matching: Vec<&Rule> = Vec::new();
        let mut argv = None;
        let mut refused = None;
        let mut misses: Vec<(&Rule, Miss<'_>)> = Vec::new();
        for rule in self.policy.rules.iter().filter(|rule| rule.native == native) {
            let result = match &rule.form {
                Form::Exact(_) if text.is_some_and(|text| is_exactly(&rule.form, text)) => Ok(Vec::new()),
                Form::Exact(_) => continue,
                Form::Words(items) => self.match_words(rule, items, arguments),
            };
            match result.map(|bindings| self.paths(rule, arguments, &bindings)) {
                Ok(Ok(words)) => {
                    matching.push(rule);
                    argv.get_or_insert(words);
                }
                Ok(Err(refusal)) => {
                    refused.get_or_insert(refusal.nearest(&rule.text));
                }
                Err(miss) => misses.push((rule, miss)),
            }
        }
        match (argv, Grant::strictest(&matching)) {
            (Some(argv), Some(grant)) => Ok((argv, grant)),
            _ => Err(refused.unwrap_or_else(|| no_rule(arguments, &misses))),
        }
    }

    /// An absolute program matches a bare one if it has its name and is the file that `command_path` finds. The name counts,
    /// because many names can be links to one file that does what it is called by.
    fn match_words<'r>(
        &self,
        rule: &'r Rule,
        items: &'r [super::rule::Item],
        arguments: &[Argument],
    ) -> Result<Vec<Binding<'r>>, Miss<'r>> {
        if let ([first, rest @ ..], Some(program)) = (arguments, rule.form.program())
            && first.text.starts_with('/')
            && base_name(&first.text) == program
            && program::find(&self.policy.command_path, program).is_some_and(|found| program::same_file(&found, first.text.as_ref()))
        {
            let bare: Vec<Argument> = std::iter::once(Argument::plain(program)).chain(rest.iter().cloned()).collect();
            return matches(items, &bare);
        }
        matches(items, arguments)
    }

    /// The argv with real paths, if they go through no link and the program's own conditions hold.
    fn paths(&self, rule: &Rule, arguments: &[Argument], bindings: &[Binding<'_>]) -> Result<Vec<String>, Refusal> {
        let mut argv: Vec<String> = arguments.iter().map(|argument| argument.text.clone()).collect();
        let uid = rule.run_as.as_ref().and_then(|user| user.uid).unwrap_or_else(|| nix::unistd::geteuid().as_raw());
        for binding in bindings.iter().rev() {
            let Some((roots, directory)) = binding.slot.roots() else { continue };
            let argument = &arguments[binding.argument];
            let visit = match (self.run, rule.native) {
                (false, _) => Visit::None,
                (true, true) => Visit::Native,
                (true, false) => Visit::Program(Follower::new(uid, &argv, binding.argument)),
            };
            let real = path::resolve(roots, &argument.text[binding.range.clone()], directory, visit)
                .map_err(|reason| Refusal::new(RefusalKind::Path, crate::record::escape::terminal(&reason)).at(argument.span.clone()))?;
            argv[binding.argument].replace_range(binding.range.clone(), &real);
        }
        check_argv(&argv).map_err(|reason| Refusal::new(RefusalKind::NoRule, reason))?;
        Ok(argv)
    }

    fn with_program(&self, argv: Vec<String>, mut grant: Grant) -> Result<Answer, Refusal> {
        let found = program::resolve(&self.policy.command_path, &argv[0], grant.run_as.as_ref())?;
        let missing_program = found.is_none().then(|| argv[0].clone());
        if let Some(user) = found.as_ref().and_then(|program| program.run_as.as_deref()) {
            grant.run_as = Some(RunAs { name: user.to_owned(), uid: None });
        }
        let (program, identity) = found.map(|program| (program.path, program.identity)).unzip();
        let confinement = Confinement::of(&argv[0], program.as_deref(), grant.sandbox, grant.writable.as_deref());
        Ok(Answer { argv, program, identity, missing_program, unknown_service: None, shell: false, native: false, confinement, grant })
    }
}

fn is_exactly(form: &Form, text: &str) -> bool {
    matches!(form, Form::Exact(exact) if exact == text.trim())
}

impl Grant {
    /// The first rule gives its name, one with a user before one without; every limit is the strictest.
    fn strictest(rules: &[&Rule]) -> Option<Self> {
        let first = rules.iter().find(|rule| rule.run_as.is_some()).or(rules.first())?;
        let sandboxes = || rules.iter().filter_map(|rule| rule.sandbox);
        Some(Self {
            rule: first.text.clone(),
            run_as: first.run_as.clone(),
            requires_approval: rules.iter().any(|rule| rule.requires_approval),
            timeout: rules.iter().filter_map(|rule| rule.timeout).min(),
            sandbox: sandboxes().max(),
            writable: Confinement::writable(rules),
        })
    }
}

/// The refusal of an argv that no rule matches: the first word that fails, and the rule that came closest.
fn no_rule(arguments: &[Argument], misses: &[(&Rule, Miss<'_>)]) -> Refusal {
    let matched = misses.iter().map(|(_, miss)| miss.matched).max().unwrap_or(0);
    let Some(program) = arguments.first() else { return Refusal::new(RefusalKind::Text, "the command is empty") };
    if matched == 0 {
        let reason = if program.text.contains('=') {
            format!("{} is an assignment, not a program: a command runs in an environment of its own", quoted(&program.text))
        } else {
            let line = arguments.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            let instead = advice::instead_of(base_name(&program.text), &line).map_or_else(String::new, |advice| format!(": {advice}"));
            format!("no rule allows the program {}{instead}", quoted(&program.text))
        };
        let refusal = Refusal::new(RefusalKind::NoRule, reason).at(program.span.clone());
        let distance = |rule: &Rule| strsim::osa_distance(rule.form.program().unwrap_or_default(), base_name(&program.text));
        let limit = (program.text.len() / 3).clamp(1, 2);
        let close = misses.iter().map(|(rule, _)| *rule).min_by_key(|rule| distance(rule)).filter(|rule| distance(rule) <= limit);
        return close.map_or(refusal.clone(), |rule| refusal.nearest(&rule.text));
    }
    let closest: Vec<&(&Rule, Miss<'_>)> = misses.iter().filter(|(_, miss)| miss.matched == matched).collect();
    let patterns = || closest.iter().flat_map(|(_, miss)| miss.expected.iter());
    let mut expected: Vec<String> = Vec::new();
    for text in patterns().map(|pattern| pattern.describe()) {
        if !expected.contains(&text) {
            expected.push(text);
        }
    }
    expected.truncate(6);
    let expected = if expected.is_empty() { "nothing more".to_owned() } else { expected.join(", or ") };
    let takes_path = patterns().any(|pattern| pattern.slots().any(|slot| slot.roots().is_some()));
    let refusal = match arguments.get(matched) {
        None => {
            let end = arguments.last().map_or(0, |last| last.span.end);
            Refusal::new(RefusalKind::NoRule, format!("the command ends too early: the rule expects {expected}")).at(end..end)
        }
        Some(word) => {
            let kind = match word {
                word if word.filled => RefusalKind::Placeholder,
                word if takes_path && word.text.starts_with('/') => RefusalKind::Path,
                _ => RefusalKind::NoRule,
            };
            let reason = if word.filled && patterns().all(|pattern| pattern.literal().is_some()) {
                format!("only a slot of a rule can take a placeholder: {} stands where the rule expects {expected}", quoted(&word.text))
            } else {
                format!("{} is not what the rule expects there: {expected}", quoted(&word.text))
            };
            Refusal::new(kind, reason).at(word.span.clone())
        }
    };
    closest.first().map_or(refusal.clone(), |(rule, _)| refusal.nearest(&rule.text))
}

impl Answer {
    /// For a command of the settings' `services`.
    fn of_a_service(self) -> Self {
        Self { confinement: Confinement::Free("a service that it starts would be held as long as it lives"), ..self }
    }

    /// For people: what would run.
    pub(super) fn into_reviewed(self) -> Reviewed {
        Reviewed {
            argv: self.argv,
            rule: self.grant.rule,
            shell: self.shell,
            requires_approval: self.grant.requires_approval,
            missing_program: self.missing_program,
            program: self.program,
            run_as: self.grant.run_as.map(|user| user.name),
            timeout: self.grant.timeout,
            unknown_service: self.unknown_service,
            confinement: self.confinement,
        }
    }

    /// For the executor: what runs. Nothing may be missing.
    pub(super) fn into_permit(mut self) -> Result<Permit, Refusal> {
        if let Some(program) = self.missing_program {
            return Err(Refusal::new(RefusalKind::MissingProgram, format!("program not found on command_path: {}", quoted(&program))));
        }
        if let Some(service) = self.unknown_service {
            return Err(Refusal::new(RefusalKind::UnknownService, format!("systemd knows no service {}", quoted(&service))));
        }
        if let Some(program) = &self.program {
            let text = program.to_str().ok_or_else(|| Refusal::new(RefusalKind::UnsafeProgram, "the program's path is not UTF-8"))?;
            text.clone_into(&mut self.argv[0]);
        }
        Ok(Permit {
            argv: self.argv,
            program: self.program.unwrap_or_default(),
            identity: self.identity,
            rule: self.grant.rule,
            shell: self.shell,
            native: self.native,
            run_as: self.grant.run_as.map(|user| user.name),
            requires_approval: self.grant.requires_approval,
            timeout: self.grant.timeout,
            confinement: self.confinement,
        })
    }
}

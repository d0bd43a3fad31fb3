//! What `check` prints for people: aligned, in colour, and no wider than the terminal.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter};

use super::check::{ActionView, View};
use super::check_targets::Line;
use crate::config::problem::{Level, Problem};
use crate::config::source::Texts;
use crate::config::{render, visible};

/// Where the text of an item begins.
const INDENT: usize = 14;
/// Longer lines are hard to read on any screen.
const WIDEST: usize = 120;
/// Below this nothing can be aligned.
const NARROWEST: usize = 50;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const COMMAND: Style = AnsiColor::Cyan.on_default();
const ALARM: Style = AnsiColor::Red.on_default().bold();

/// How many columns standard output has; `None` if it is no terminal.
pub(super) fn columns() -> Option<usize> {
    let stdout = io::stdout();
    let size = if stdout.is_terminal() { rustix::termios::tcgetwinsize(stdout).ok()? } else { return None };
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Where it is written, and how.
pub(super) struct Page<'o> {
    pub(super) out: &'o mut dyn Write,
    pub(super) width: Option<usize>,
    pub(super) color: bool,
}

impl Page<'_> {
    /// Errors and warnings with their places, then notes in a line each.
    pub(super) fn problems(&mut self, problems: &[Problem], texts: &Texts) -> io::Result<()> {
        let (notes, worse): (Vec<Problem>, Vec<Problem>) = problems.iter().cloned().partition(|problem| problem.severity == Level::Note);
        self.out.write_all(render(&worse, texts, self.color).as_bytes())?;
        self.out.write_all(render(&notes, texts, self.color).as_bytes())?;
        match worse.iter().chain(&notes).min_by_key(|problem| problem.severity) {
            Some(worst) => self.wrapped("", "", &format!("`autoheal explain {}` says more; so it does for every code", worst.code)),
            None => Ok(()),
        }
    }

    /// The end of the page.
    pub(super) fn summary(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out)?;
        self.wrapped("", "", &self.styled(BOLD, &visible(text)))
    }

    pub(super) fn playbook(&mut self, view: &View) -> io::Result<()> {
        let head = format!("{} ({}): {}", self.styled(BOLD, &visible(&view.id)), view.state, visible(&view.description));
        writeln!(self.out)?;
        self.wrapped("", "  ", &head)?;
        self.item("fires when", &visible(&view.fires_when))?;
        self.item("condition", &visible(&view.condition))?;
        self.targets(&view.on)?;
        if view.ladder {
            self.item("does", "step by step, until one is proven:")?;
        }
        let mut before = "";
        for (index, action) in view.actions.iter().enumerate() {
            let head = if index == 0 && !view.ladder { "does" } else { "" };
            self.action(head, index + 1, action, before)?;
            before = &action.rule;
        }
        self.item("proven by", &visible(&view.proven_by))
    }

    fn targets(&mut self, lines: &[Line]) -> io::Result<()> {
        let names: Vec<String> = lines.iter().map(|line| visible(&line.name)).collect();
        let valued = names.iter().zip(lines).filter(|(_, line)| !line.value.is_empty());
        let longest = valued.map(|(name, _)| textwrap::core::display_width(name)).max().unwrap_or(0);
        for (index, (name, line)) in names.iter().zip(lines).enumerate() {
            let head = if index == 0 { "on" } else { "" };
            let gap = " ".repeat(longest.saturating_sub(textwrap::core::display_width(name)));
            let holds = if line.holds { format!(": {}", self.styled(ALARM, "the condition holds now")) } else { String::new() };
            let value = if line.value.is_empty() { String::new() } else { format!("{gap}  {}{holds}", visible(&line.value)) };
            self.item(head, &format!("{name}{value}"))?;
        }
        Ok(())
    }

    /// The command, what it is for, and when; below it the rule, unless that says nothing new.
    fn action(&mut self, head: &str, number: usize, action: &ActionView, before: &str) -> io::Result<()> {
        let words: Vec<String> = action.argv.iter().map(|word| quoted(word)).collect();
        let command = words.join(" ");
        let mut line = self.styled(COMMAND, &visible(&command));
        if action.text != action.argv.join(" ") && action.argv.first() != Some(&action.text) {
            line.push_str(&format!(": {}", visible(&action.text)));
        }
        if !action.conditions.is_empty() {
            line.push_str(&format!(" ({})", visible(&action.conditions.join(", "))));
        }
        let number = format!("{number}. ");
        let indent = " ".repeat(INDENT + number.len());
        let head = self.head(head) + &number;
        self.wrapped(&head, &indent, &line)?;
        let rule = match &action.rule {
            rule if rule.is_empty() => return Ok(()),
            rule if *rule == command => "by a rule of the same words".to_owned(),
            rule if *rule == before => "by the same rule".to_owned(),
            rule => format!("by the rule  {}", visible(rule)),
        };
        let rule: Vec<String> = self.lines(&rule, INDENT + number.len()).iter().map(|line| self.styled(DIM, line)).collect();
        rule.iter().try_for_each(|line| writeln!(self.out, "{indent}{line}"))
    }

    fn item(&mut self, head: &str, text: &str) -> io::Result<()> {
        let head = self.head(head);
        self.wrapped(&head, &" ".repeat(INDENT), text)
    }

    fn head(&self, head: &str) -> String {
        format!("  {}", self.styled(DIM, &format!("{head:<width$}", width = INDENT - 2)))
    }

    /// `text`, which is safe for a terminal, after `first`, its further lines after `other`.
    fn wrapped(&mut self, first: &str, other: &str, text: &str) -> io::Result<()> {
        let indent = textwrap::core::display_width(first).max(other.len());
        let lines = self.lines(text, indent);
        lines.iter().enumerate().try_for_each(|(index, line)| writeln!(self.out, "{}{line}", if index == 0 { first } else { other }))
    }

    fn lines(&self, text: &str, indent: usize) -> Vec<String> {
        let Some(width) = self.width else { return vec![text.to_owned()] };
        let width = width.clamp(NARROWEST, WIDEST).saturating_sub(indent);
        let options = Options::new(width).break_words(false).word_splitter(WordSplitter::NoHyphenation);
        let wrapped = textwrap::wrap(text, options.word_separator(WordSeparator::AsciiSpace));
        wrapped.into_iter().map(|line| line.into_owned()).collect()
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.color && !text.trim().is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// A word as one would type it, so that it is seen where it begins and ends.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=+,@{}%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

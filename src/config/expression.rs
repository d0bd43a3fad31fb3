//! The condition language: `memory_usage > 95% && process_memory_mb{process_name="node"} > 2048 for 2m`.
//!
//! ```text
//! condition  = any ["for" duration]
//! any        = all ("||" all)*
//! all        = part ("&&" part)*
//! part       = "!" part | "(" condition ")" | metric ["{" test ("," test)* "}"] operator operand
//! test       = label ("=" | "!=" | "=~" | "!~") "text"      (~: globs, separated by |)
//! operand    = number [unit] | word | "text"
//! ```
//! `Condition`'s `Display` writes this language; a test holds that the two agree.

use std::ops::Range;
use std::time::Duration;

use super::condition::{Part, fits, known_label, known_metric, simplified};
use super::problem::Draft;
use super::token::{Token, tokens};
use crate::detect::condition::{Comparison, Condition, LabelTest, Operand, Operator, Pattern, Selector, Test};
use crate::metric::{Metric, Values};

/// A problem with its place in the text.
pub(crate) type Fault = (Range<usize>, Draft);

const MAX_BYTES: usize = 1024;
const MAX_DEPTH: usize = 32;
const MAX_HOLD: Duration = Duration::from_secs(30 * 86_400);

/// A syntax error, with what was wrong before it. It is not written into a `Draft` at once because most of them are the same.
pub(crate) fn fault(span: Range<usize>, message: impl Into<String>) -> Fault {
    (span, Draft::error("bad_expression", message))
}

/// Reads an expression. Unknown metrics, labels and words are all reported; a syntax error ends the reading.
pub(crate) fn parse(text: &str) -> Result<Condition, Vec<Fault>> {
    if text.len() > MAX_BYTES {
        return Err(vec![fault(MAX_BYTES..text.len(), format!("an expression has at most {MAX_BYTES} bytes"))]);
    }
    let tokens = tokens(text).map_err(|fault| vec![fault])?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0, faults: Vec::new() };
    match parser.condition().and_then(|condition| parser.finish().map(|()| condition)) {
        Ok(Some(condition)) if parser.faults.is_empty() => Ok(condition),
        Ok(_) => Err(parser.faults),
        Err(syntax) => {
            parser.faults.push(syntax);
            Err(parser.faults)
        }
    }
}

struct Parser<'t> {
    tokens: &'t [(Token, Range<usize>)],
    at: usize,
    end: usize,
    depth: usize,
    /// Problems that do not end the reading. A part that has one is `None`.
    faults: Vec<Fault>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |(_, span)| span.clone())
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(here)) if *here == symbol);
        self.at += usize::from(found);
        found
    }

    fn expected<T>(&self, what: &str) -> Result<T, Fault> {
        let found = self.peek().map_or_else(|| "the end".to_owned(), ToString::to_string);
        let (span, draft) = fault(self.span(), format!("expected {what}, found {found}"));
        let word = match self.peek() {
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("and") => Some("did you mean \"&&\"?"),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("or") => Some("did you mean \"||\"?"),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("not") => Some("did you mean \"!\"?"),
            Some(Token::Symbol("=")) => Some("did you mean \"==\"?"),
            _ => None,
        };
        Err((span, draft.suggest_if(word)))
    }

    fn finish(&self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) if self.tokens[..self.at].iter().any(|(token, _)| token.is_word("for")) => {
                let (span, draft) = fault(self.span(), "expected the end after \"for\"");
                Err((span, draft.suggest("put parentheses around the part with \"for\"")))
            }
            Some(_) => self.expected("&&, ||, for, or the end"),
        }
    }

    fn condition(&mut self) -> Result<Option<Condition>, Fault> {
        let condition = self.any()?;
        if !self.peek().is_some_and(|token| token.is_word("for")) {
            return Ok(condition);
        }
        self.at += 1;
        let hold_for = self.duration()?;
        Ok(condition.map(|condition| simplified(Condition { test: Test::All(vec![condition]), hold_for })))
    }

    fn any(&mut self) -> Result<Option<Condition>, Fault> {
        self.chain("||", Self::all, Test::Any)
    }

    fn all(&mut self) -> Result<Option<Condition>, Fault> {
        self.chain("&&", Self::part, Test::All)
    }

    fn chain(
        &mut self,
        symbol: &str,
        next: fn(&mut Self) -> Result<Option<Condition>, Fault>,
        make: fn(Vec<Condition>) -> Test,
    ) -> Result<Option<Condition>, Fault> {
        let mut parts = vec![next(self)?];
        while self.take(symbol) {
            parts.push(next(self)?);
        }
        let parts: Option<Vec<Condition>> = parts.into_iter().collect();
        Ok(parts.map(|mut parts| if parts.len() == 1 { parts.remove(0) } else { Condition::now(make(parts)) }))
    }

    fn part(&mut self) -> Result<Option<Condition>, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(fault(self.span(), format!("parentheses and ! are nested more than {MAX_DEPTH} deep")));
        }
        let part = if self.take("!") {
            self.part()?.map(|part| Condition::now(Test::Not(Box::new(part))))
        } else if self.take("(") {
            let inner = self.condition()?;
            if !self.take(")") {
                return self.expected("&&, ||, for, or )");
            }
            inner
        } else {
            self.comparison()?.map(|comparison| Condition::now(Test::Compare(comparison)))
        };
        self.depth -= 1;
        Ok(part)
    }

    fn comparison(&mut self) -> Result<Option<Comparison>, Fault> {
        let span = self.span();
        let Some(Token::Word(name)) = self.peek() else { return self.expected("a metric, ! or (") };
        let metric = known_metric(name);
        self.at += 1;
        let metric = self.keep(span, metric);
        let selector = self.selector(metric)?;
        let operator_span = self.span();
        let operator = self.operator()?;
        let operand_span = self.span();
        let operand = self.operand(metric)?;
        let (Some(metric), Some(selector), Some(operand)) = (metric, selector, operand) else { return Ok(None) };
        if let Err((part, draft)) = fits(metric, operator, &operand) {
            self.faults.push((if part == Part::Operator { operator_span } else { operand_span }, draft));
            return Ok(None);
        }
        Ok(Some(Comparison { metric, operator, operand, selector }))
    }

    /// Keeps the problem for later, if there is one.
    fn keep<T>(&mut self, span: Range<usize>, result: Result<T, Draft>) -> Option<T> {
        result.map_err(|draft| self.faults.push((span, draft))).ok()
    }

    fn operator(&mut self) -> Result<Operator, Fault> {
        let found = match self.peek() {
            Some(Token::Symbol(symbol)) => Operator::ALL.into_iter().find(|operator| operator.symbol() == *symbol),
            _ => None,
        };
        self.at += usize::from(found.is_some());
        found.map_or_else(|| self.expected("one of > >= < <= == !="), Ok)
    }

    fn operand(&mut self, metric: Option<&Metric>) -> Result<Option<Operand>, Fault> {
        let operand = match self.peek() {
            Some(Token::Number(number)) => Operand::Number(*number),
            Some(Token::Word(word)) => Operand::Text(word.clone()),
            Some(Token::Text(parts)) => Operand::Text(parts.join("|")),
            _ => return self.expected(if metric.is_some_and(Metric::is_text) { "a word" } else { "a number" }),
        };
        self.at += 1;
        let Operand::Number(number) = operand else { return Ok(Some(operand)) };
        let span = self.span();
        let unit = match self.peek() {
            Some(Token::Symbol("%")) => "%".to_owned(),
            Some(Token::Word(word)) if !word.eq("for") && !["and", "or"].contains(&word.to_lowercase().as_str()) => word.clone(),
            _ => return Ok(Some(Operand::Number(number))),
        };
        self.at += 1;
        let Some(metric) = metric else { return Ok(None) };
        let factor = self.keep(span, factor(metric, &unit));
        Ok(factor.map(|factor| Operand::Number(number * factor)))
    }

    fn selector(&mut self, metric: Option<&'static Metric>) -> Result<Option<Selector>, Fault> {
        let mut tests = Vec::new();
        if !self.take("{") {
            return Ok(Some(Selector::default()));
        }
        loop {
            tests.push(self.label_test(metric)?);
            if self.take("}") {
                return Ok(tests.into_iter().collect::<Option<_>>().map(Selector));
            }
            if !self.take(",") {
                return self.expected(", or }");
            }
        }
    }

    fn label_test(&mut self, metric: Option<&'static Metric>) -> Result<Option<LabelTest>, Fault> {
        let span = self.span();
        let Some(Token::Word(label)) = self.peek().cloned() else { return self.expected("a label") };
        self.at += 1;
        let known = metric.and_then(|metric| self.keep(span, known_label(metric, &label)));
        let operators = [("=", false, false), ("!=", true, false), ("=~", false, true), ("!~", true, true)];
        let found = operators.into_iter().find(|(symbol, ..)| matches!(self.peek(), Some(Token::Symbol(here)) if here == symbol));
        let Some((_, negated, glob)) = found else { return self.expected("one of = != =~ !~") };
        self.at += 1;
        let span = self.span();
        let Some(Token::Text(parts)) = self.peek().cloned() else { return self.expected("text in quotes") };
        self.at += 1;
        let patterns = if glob {
            let built: Result<Vec<Pattern>, String> = parts.iter().map(|part| Pattern::new(part)).collect();
            self.keep(span, built.map_err(|reason| Draft::error("bad_pattern", format!("not a glob: {reason}"))))
        } else {
            Some(vec![Pattern::exact(&parts.join("|"))])
        };
        Ok(known.and(patterns).map(|patterns| LabelTest { label, negated, patterns }))
    }

    /// `2m`, `1h 30m`, `90s`
    fn duration(&mut self) -> Result<Duration, Fault> {
        let start = self.span().start;
        let mut seconds = 0.0;
        let mut any = false;
        while let Some(Token::Number(number)) = self.peek() {
            let number = *number;
            self.at += 1;
            let factor = match self.peek() {
                Some(Token::Word(unit)) => seconds_in(unit),
                _ => None,
            };
            let Some(factor) = factor else { return self.expected("a unit: one of ms s m h d") };
            self.at += 1;
            seconds += number * factor;
            any = true;
        }
        if !any {
            return self.expected("a time such as 2m");
        }
        let end = self.tokens[self.at - 1].1.end;
        let hold = Duration::try_from_secs_f64(seconds).ok().filter(|hold| *hold <= MAX_HOLD);
        hold.ok_or_else(|| fault(start..end, "a time is between 0 and 30 days"))
    }
}

fn seconds_in(unit: &str) -> Option<f64> {
    match unit {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86_400.0),
        _ => None,
    }
}

/// With what a number in this unit is multiplied to be in the metric's.
fn factor(metric: &Metric, unit: &str) -> Result<f64, Draft> {
    let own = match metric.values {
        Values::Number(own) => own,
        Values::Words(_) => "",
    };
    let (factor, allowed): (_, &[&str]) = match own {
        "%" => ((unit == "%").then_some(1.0), &["%"]),
        "ms" => (seconds_in(unit).map(|seconds| seconds * 1000.0), &["ms", "s", "m", "h", "d"]),
        "s" => (seconds_in(unit), &["s", "ms", "m", "h", "d"]),
        "d" => (seconds_in(unit).map(|seconds| seconds / 86_400.0), &["d", "ms", "s", "m", "h"]),
        "MiB" | "MiB/h" => (if unit == "GB" { Some(1024.0) } else { (unit == "MB").then_some(1.0) }, &["MB", "GB"]),
        _ => (None, &[]),
    };
    factor.ok_or_else(|| {
        let message = match allowed.first() {
            Some(first) => format!("{} is measured in {first}, which {unit:?} is not a multiple of", metric.name),
            None => format!("{} has no unit, found {unit:?}", metric.name),
        };
        Draft::error("bad_unit", message).words(unit, allowed)
    })
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;

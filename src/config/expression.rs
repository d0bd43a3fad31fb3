//! The condition language: `memory_usage > 95% && process_memory_mb{process_name="node"} > 2048 for 2m`.
//!
//! ```text
//! condition  = any ["for" time]
//! any        = all ("||" all)*
//! all        = part ("&&" part)*
//! part       = "!" part | "(" condition ")" | comparison
//! comparison = metric ["{" test ("," test)* "}"] operator operand
//! operator   = ">" | ">=" | "<" | "<=" | "==" | "!="
//! test       = label ("=" | "!=" | "=~" | "!~") text
//! operand    = number [unit] | word | text
//! time       = (number unit)+
//! number     = ["-"] (digit+ ["." digit*] | "." digit+) [("e" | "E") ["+" | "-"] digit+]
//! text       = '"' (letter | "\" escape)* '"'
//! escape     = '"' | "\" | "|" | "n" | "r" | "t" | "u{" hexadecimal+ "}"
//! ```
//! `Condition`'s `Display` writes this language; a test holds that the two agree. `docs/expressions.md` has it for people.

use std::ops::Range;
use std::time::Duration;

use super::condition::{MAX_DEPTH, Part, fits, known_label, known_metric, simplified};
use super::problem::Draft;
use super::token::{Token, tokens};
use super::units::{in_own, in_seconds, meant_time};
use crate::detect::condition::{Comparison, Condition, LabelTest, Operand, Operator, Pattern, Selector, Test};
use crate::metric::Metric;

/// A problem with its place in the text.
pub(crate) type Fault = (Range<usize>, Draft);

const MAX_HOLD: Duration = Duration::from_secs(30 * 86_400);

/// A syntax error, with what was wrong before it. It is not written into a `Draft` at once because most of them are the same.
pub(crate) fn fault(span: Range<usize>, message: impl Into<String>) -> Fault {
    (span, Draft::error("bad_expression", message))
}

const METRIC: &str = "a metric, ! or (";
const LABEL_OPERATOR: &str = "one of = != =~ !~";
const UNIT_OF_TIME: &str = "a unit: one of ms s m h d";

/// Reads an expression. It may be as long as its file. Unknown metrics, labels and words are all reported; a syntax error ends the reading.
pub(crate) fn parse(text: &str) -> Result<Condition, Vec<Fault>> {
    let tokens = tokens(text).map_err(|fault| vec![fault])?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0, held: false, faults: Vec::new() };
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
    /// The condition that was read last ended with `for`.
    held: bool,
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
        Err((span, draft.suggest_if(self.meant(what))))
    }

    /// What was probably meant by the next word, where something else is expected.
    fn meant(&self, expected: &str) -> Option<&'static str> {
        let symbol = |at: usize| match self.tokens.get(at) {
            Some((Token::Symbol(symbol), _)) => *symbol,
            _ => "",
        };
        match self.peek()? {
            Token::Word(word) if word.eq_ignore_ascii_case("and") => Some("did you mean \"&&\"?"),
            Token::Word(word) if word.eq_ignore_ascii_case("or") => Some("did you mean \"||\"?"),
            Token::Word(word) if word.eq_ignore_ascii_case("not") => Some("did you mean \"!\"?"),
            Token::Symbol("==") if expected == LABEL_OPERATOR => Some("did you mean \"=\"?"),
            Token::Symbol("=") => match symbol(self.at + 1) {
                ">" => Some("did you mean \">=\"?"),
                "<" => Some("did you mean \"<=\"?"),
                _ => Some("did you mean \"==\"?"),
            },
            Token::Number(_) if expected == METRIC => Some("the metric stands on the left, such as disk_usage > 90"),
            _ => None,
        }
    }

    /// Where a condition ends, and something else stands.
    fn no_end<T>(&self, end: &str) -> Result<T, Fault> {
        if !self.held {
            return self.expected(&format!("&&, ||, for, or {end}"));
        }
        let (span, draft) = fault(self.span(), format!("expected {end} after \"for\""));
        Err((span, draft.suggest("put parentheses around the part with \"for\"")))
    }

    fn finish(&self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { self.no_end("the end") }
    }

    fn condition(&mut self) -> Result<Option<Condition>, Fault> {
        let condition = self.any()?;
        self.held = self.peek().is_some_and(|token| token.is_word("for"));
        if !self.held {
            return Ok(condition);
        }
        self.at += 1;
        let hold_for = self.duration()?;
        Ok(condition.map(|condition| simplified(Condition { test: Test::All(vec![condition]), hold_for })))
    }

    /// `&&` binds more than `||`. One function for both: parentheses come back here, and the stack of a thread is small.
    fn any(&mut self) -> Result<Option<Condition>, Fault> {
        let mut any = Vec::new();
        loop {
            let mut all = vec![self.part()?];
            while self.take("&&") {
                all.push(self.part()?);
            }
            any.push(combined(all, Test::All));
            if !self.take("||") {
                return Ok(combined(any, Test::Any));
            }
        }
    }

    /// `!(` is one level of nesting, as it is in the condition that it makes: what was loaded can be printed and read again.
    fn part(&mut self) -> Result<Option<Condition>, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(fault(self.span(), format!("parentheses and ! are nested more than {MAX_DEPTH} deep")));
        }
        let negated = self.take("!");
        let part = if self.take("(") {
            let inner = self.condition()?;
            if !self.take(")") {
                return self.no_end(")");
            }
            inner
        } else if negated {
            self.part()?
        } else {
            self.comparison()?.map(|comparison| Condition::now(Test::Compare(comparison)))
        };
        self.depth -= 1;
        Ok(part.map(|part| if negated { Condition::now(Test::Not(Box::new(part))) } else { part }))
    }

    fn comparison(&mut self) -> Result<Option<Comparison>, Fault> {
        let span = self.span();
        let reserved = |word: &str| word == "for" || ["and", "or", "not"].contains(&word.to_lowercase().as_str());
        let Some(Token::Word(name)) = self.peek().filter(|token| !matches!(token, Token::Word(word) if reserved(word))) else {
            return self.expected(METRIC);
        };
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
        Ok(self.keep(span, in_own(metric, number, &unit)).map(Operand::Number))
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
        let Some((_, negated, glob)) = found else { return self.expected(LABEL_OPERATOR) };
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
        let tokens = self.tokens;
        let (mut seconds, mut end) = (0.0, None);
        while let Some((Token::Number(number), span)) = tokens.get(self.at) {
            if number.is_sign_negative() {
                return Err(fault(span.clone(), "a time is not negative"));
            }
            self.at += 1;
            seconds += self.unit_of_time(*number)?;
            end = Some(tokens[self.at - 1].1.end);
        }
        let Some(end) = end else { return self.expected("a time such as 2m") };
        let hold = Duration::try_from_secs_f64(seconds).ok().filter(|hold| *hold <= MAX_HOLD);
        hold.ok_or_else(|| fault(start..end, "a time is between 0 and 30 days"))
    }

    /// So many of the unit that comes next, in seconds.
    fn unit_of_time(&mut self, number: f64) -> Result<f64, Fault> {
        let word = match self.peek() {
            Some(Token::Word(word)) => word.as_str(),
            _ => "",
        };
        if let Some(seconds) = in_seconds(number, word) {
            self.at += 1;
            return Ok(seconds);
        }
        let (meant, none) = (meant_time(word), self.peek().is_none());
        let next = meant.map(|unit| format!("did you mean {unit:?}?")).or(none.then(|| format!("write {number}s if seconds are meant")));
        self.expected(UNIT_OF_TIME).map_err(|(span, draft)| (span, draft.suggest_if(next)))
    }
}

/// `None` if one of the parts is: it has a problem.
fn combined(parts: Vec<Option<Condition>>, make: fn(Vec<Condition>) -> Test) -> Option<Condition> {
    let mut parts: Vec<Condition> = parts.into_iter().collect::<Option<_>>()?;
    Some(if parts.len() == 1 { parts.remove(0) } else { Condition::now(make(parts)) })
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "expression_page_tests.rs"]
mod page_tests;

//! Step 4, first half: the whole argv against one rule, word by word.

use std::ops::Range;

use super::label::LabelKind;
use super::rule::{Item, Part, Pattern};
use super::slot::Slot;
use super::template::{Argument, Piece, show};

/// A stretch of an argument that a slot took.
#[derive(Clone, Debug)]
pub(super) struct Binding<'r> {
    /// Which argument.
    pub(super) argument: usize,
    /// Where in its text, in bytes.
    pub(super) range: Range<usize>,
    /// By which slot.
    pub(super) slot: &'r Slot,
}

/// How far a rule went along with an argv.
#[derive(Debug)]
pub(super) struct Miss<'r> {
    /// How many arguments it matched.
    pub(super) matched: usize,
    /// What it would have taken next; empty: nothing more.
    pub(super) expected: Vec<&'r Pattern>,
}

/// Matches the whole argv.
pub(super) fn matches<'r>(items: &'r [Item], arguments: &[Argument]) -> Result<Vec<Binding<'r>>, Miss<'r>> {
    let mut search = Search { items, arguments, bindings: Vec::new(), miss: Miss { matched: 0, expected: Vec::new() }, steps: 0 };
    if search.try_item(0, 0) { Ok(search.bindings) } else { Err(search.miss) }
}

/// A rule and an argv that need more steps than this are not worth an answer other than no.
const MAX_STEPS: u32 = 20_000;

struct Search<'r, 'a> {
    items: &'r [Item],
    arguments: &'a [Argument],
    bindings: Vec<Binding<'r>>,
    miss: Miss<'r>,
    steps: u32,
}

impl<'r> Search<'r, '_> {
    fn try_item(&mut self, item: usize, at: usize) -> bool {
        match self.items.get(item) {
            None => {
                if at < self.arguments.len() && at > self.miss.matched {
                    self.miss = Miss { matched: at, expected: Vec::new() };
                }
                at == self.arguments.len()
            }
            Some(Item::Word(pattern)) => {
                let mark = self.bindings.len();
                if self.word(pattern, at) && self.try_item(item + 1, at + 1) {
                    return true;
                }
                self.bindings.truncate(mark);
                false
            }
            Some(Item::Groups(groups)) => self.try_groups(item, groups, 0, at),
        }
    }

    /// Tries every group that was not used, then goes on without them.
    fn try_groups(&mut self, item: usize, groups: &'r [Vec<Pattern>], used: u32, at: usize) -> bool {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return false;
        }
        for (index, group) in groups.iter().enumerate() {
            let bit = 1 << index;
            let mark = self.bindings.len();
            let fits = used & bit == 0 && group.iter().enumerate().all(|(offset, pattern)| self.word(pattern, at + offset));
            if fits && self.try_groups(item, groups, used | bit, at + group.len()) {
                return true;
            }
            self.bindings.truncate(mark);
        }
        self.try_item(item + 1, at)
    }

    fn word(&mut self, pattern: &'r Pattern, at: usize) -> bool {
        let fits = self.arguments.get(at).is_some_and(|argument| match &argument.open {
            _ if argument.filled && pattern.literal().is_some() => false,
            Some(pieces) => could_match(pattern, pieces),
            None => {
                let mut ranges = Vec::new();
                let fits = split(&pattern.parts, &argument.text, 0, &mut ranges);
                self.bindings.extend(ranges.into_iter().map(|(range, slot)| Binding { argument: at, range, slot }));
                fits
            }
        });
        if !fits && at >= self.miss.matched {
            if at > self.miss.matched {
                self.miss = Miss { matched: at, expected: Vec::new() };
            }
            self.miss.expected.push(pattern);
        }
        fits
    }
}

/// Divides a word among literals and slots; appends what the slots took only if it fits.
fn split<'r>(parts: &'r [Part], text: &str, offset: usize, taken: &mut Vec<(Range<usize>, &'r Slot)>) -> bool {
    match parts {
        [] => text.is_empty(),
        [Part::Literal(literal), rest @ ..] => {
            text.strip_prefix(literal.as_str()).is_some_and(|after| split(rest, after, offset + literal.len(), taken))
        }
        [Part::Slot(slot)] => {
            let fits = slot.accepts(text);
            if fits {
                taken.push((offset..offset + text.len(), slot));
            }
            fits
        }
        [Part::Slot(slot), rest @ ..] => {
            // A literal follows a slot (the parser sees to that): try each place where it stands.
            let Some(Part::Literal(literal)) = rest.first() else { return false };
            text.match_indices(literal.as_str()).any(|(end, _)| {
                let mark = taken.len();
                if slot.accepts(&text[..end]) {
                    taken.push((offset..offset + end, slot));
                    if split(rest, &text[end..], offset + end, taken) {
                        return true;
                    }
                }
                taken.truncate(mark);
                false
            })
        }
    }
}

/// Whether some values of the placeholders' types would make the word match.
fn could_match(pattern: &Pattern, pieces: &[Piece]) -> bool {
    if pattern.slots().any(|slot| matches!(slot, Slot::Expression(_))) {
        // Which values an expression takes cannot be told from outside; the filled word is matched again before it runs.
        return true;
    }
    pattern.slots().any(|slot| {
        let mut choices: Vec<(&str, Vec<String>)> = Vec::new();
        for piece in pieces {
            if let Piece::Placeholder(name) = piece
                && !choices.iter().any(|(known, _)| known == name)
            {
                let mut witnesses = LabelKind::of(name).witnesses(slot);
                witnesses.truncate(16);
                choices.push((name, witnesses));
            }
        }
        let combinations = choices.iter().map(|(_, witnesses)| witnesses.len()).product::<usize>().min(4096);
        (0..combinations).any(|number| split(&pattern.parts, &show(&fill_nth(pieces, &choices, number)), 0, &mut Vec::new()))
    })
}

fn fill_nth(pieces: &[Piece], choices: &[(&str, Vec<String>)], number: usize) -> Vec<Piece> {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(_) => piece.clone(),
            Piece::Placeholder(name) => {
                let mut rest = number;
                for (known, witnesses) in choices {
                    if known == name {
                        return Piece::Text(witnesses[rest % witnesses.len()].clone());
                    }
                    rest /= witnesses.len().max(1);
                }
                piece.clone()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::guard::rule::Form;
    use crate::heal::guard::template::Word;

    fn outcome(rule: &str, argv: &[&str]) -> Result<Vec<String>, (usize, Vec<String>)> {
        let Form::Words(items) = Form::parse(rule).unwrap() else { panic!("{rule}") };
        let arguments: Vec<Argument> = argv.iter().map(|word| Argument::plain(*word)).collect();
        matches(&items, &arguments)
            .map(|bindings| bindings.iter().map(|b| arguments[b.argument].text[b.range.clone()].to_owned()).collect())
            .map_err(|miss| (miss.matched, miss.expected.iter().map(|pattern| pattern.describe()).collect()))
    }

    #[track_caller]
    fn fits(rule: &str, argv: &str, bound: &[&str]) {
        assert_eq!(outcome(rule, &argv.split(' ').collect::<Vec<_>>()).unwrap(), bound, "{rule} / {argv}");
    }

    #[track_caller]
    fn misses(rule: &str, argv: &str, matched: usize) {
        let (at, _) = outcome(rule, &argv.split(' ').collect::<Vec<_>>()).expect_err(argv);
        assert_eq!(at, matched, "{rule} / {argv}");
    }

    #[test]
    fn every_word_whole() {
        fits("a b", "a b", &[]);
        misses("a b", "a", 1);
        misses("a b", "a b c", 2);
        misses("a b", "a bc", 1);
        misses("a b", "a B", 1);
        fits("a {int}", "a 7", &["7"]);
        misses("a {int}", "a 7x", 1);
    }

    #[test]
    fn groups_in_any_order_each_once() {
        let rule = "a [-x] [-m {int}] [-y] b";
        for argv in ["a b", "a -x b", "a -m 5 -x b", "a -y -x -m 5 b"] {
            assert!(outcome(rule, &argv.split(' ').collect::<Vec<_>>()).is_ok(), "{argv}");
        }
        misses(rule, "a -x -x b", 2);
        misses(rule, "a -m b", 2);
        misses(rule, "a -m 5 -m 5 b", 3);
        misses(rule, "a b -x", 2);
        misses("a [-x] b [-y]", "a -y b -x", 1);
        // The first way through a rule need not be the right one.
        fits("a [{name}] [{name}] x", "a x x", &["x"]);
        fits("a [-f {name}] [-f] b", "a -f b", &[]);
    }

    #[test]
    fn slots_as_parts_of_words() {
        fits("a until={int}h", "a until=48h", &["48"]);
        misses("a until={int}h", "a until=48", 1);
        misses("a until={int}h", "a until=4h8h", 1);
        fits("a gui/{int}/{name}", "a gui/501/com.x", &["501", "com.x"]);
        fits("a {name}.service", "a x.service.service", &["x.service"]);
        misses("a --prune={int}", "a --prune=", 1);
    }

    #[test]
    fn what_was_expected_is_told() {
        let (at, expected) = outcome("find {path:/tmp} [-type {one:f|d}] -delete", &["find", "/tmp", "-exec"]).unwrap_err();
        assert_eq!((at, expected), (2, vec!["-type".to_owned(), "-delete".to_owned()]));
    }

    #[test]
    fn a_rule_that_could_take_for_ever_does_not() {
        let rule = format!("a {}z", "[{name}] ".repeat(16));
        let argv: Vec<&str> = std::iter::once("a").chain(std::iter::repeat_n("b", 16)).collect();
        assert!(outcome(&rule, &argv).is_err());
    }

    #[track_caller]
    fn template(pattern: &str, word: &str, possible: bool) {
        let Form::Words(items) = Form::parse(&format!("a {pattern}")).unwrap() else { panic!("{pattern}") };
        let arguments = [Argument::plain("a"), Word::field(word).resolve(false, None).unwrap()];
        assert_eq!(matches(&items, &arguments).is_ok(), possible, "{pattern} and {word}");
    }

    #[test]
    fn templates_match_where_the_type_of_the_label_fits() {
        template("{unit}", "{process_name}", true);
        template("{unit}", "{process_name}.service", true);
        template("{unit}", "{process_name}.target", false);
        template("nginx", "{process_name}", false);
        template("{int}", "{pid}", true);
        template("{int}", "{process_name}", false);
        template("{path:/tmp|/var/log}", "{mount}", true);
        template("{path:/tmp}", "/tmp/{process_name}", true);
        template("{path:/tmp}", "/tmp{path}", true);
        template("{path:/tmp}", "/tmp/{path}", false);
        template("{path:/tmp}", "/etc/{process_name}", false);
        template("{file:/var/log}", "{path}", true);
        template("{path:/tmp}", "{process_name}", false);
        template("{one:nginx|redis}", "{process_name}", true);
        template("{one:1|2}", "{process_name}", false);
        template("{re:x.*}", "{process_name}", true);
        template("until={int}h", "until={hours}h", true);
        template("{domain}", "{host}", true);
        template("{age}", "+{days}", true);
        template("{name}", "{anything}", true);
        template("{url:http://a/b}", "http://a/b?c={process_name}", true);
        template("{url:http://a/b}", "http://a/{process_name}", false);
        template("{name}", "{a}-{b}", true);
    }
}

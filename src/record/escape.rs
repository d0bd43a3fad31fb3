//! Text from outside (output, names, values) made harmless: one function for each place where it can end up.

use std::fmt::Write;

/// Characters that can move a cursor, or hide or reorder text: controls (C0, DEL, C1), bidirectional marks, and what has no width.
///
/// Sources: the bidirectional controls of UAX #9; `Default_Ignorable_Code_Point` of the Unicode character database, without
/// unassigned ranges.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// For a terminal or a log line: one line, unsafe characters as `\u{1b}`, line breaks and tabs as `\n` and `\t`.
#[must_use]
pub fn terminal(text: &str) -> String {
    escape(text, |_| false)
}

fn escape(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if kept(character) || !is_deceptive(character) => out.push(character),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
        }
    }
    out
}

/// For everything that a command prints, many lines together: line breaks stay, and the styles (`ESC [ 1 m`, ECMA-48 SGR) that
/// autoheal writes itself.
#[must_use]
pub fn screen(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\u{1b}') {
        out.push_str(&escape(&rest[..start], |c| c == '\n'));
        rest = &rest[start..];
        let length = style(rest).unwrap_or(1);
        out.push_str(&if length > 1 { rest[..length].to_owned() } else { terminal(&rest[..1]) });
        rest = &rest[length..];
    }
    out + &escape(rest, |c| c == '\n')
}

/// The length of the style that the text begins with.
fn style(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

/// For JSON that is already well formed: unsafe characters become escapes of its own, so that it reads as the same values.
#[must_use]
pub fn json(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c != '\n' && is_deceptive(c) {
            out.push_str(&json_char(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// For Markdown outside of code: plain words stay as they are, anything that Markdown or HTML could understand goes into
/// inline code.
#[must_use]
pub fn markdown(text: &str) -> String {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | ':' | ';' | '=' | '/' | '-' | '%' | '(' | ')' | '\'' | '"' | '?');
    let link = text.contains("://") || text.to_ascii_lowercase().contains("www.");
    let special = link || text.starts_with(['-', ' ']) || text.ends_with(' ') || text.is_empty();
    // An underscore inside a word is no emphasis, and a comparison sign followed by a blank is no tag.
    let harmless = |(index, c): (usize, char)| {
        plain(c) || (c == '_' && is_inner(text, index)) || (matches!(c, '>' | '<' | '&' | '+') && is_spaced(text, index))
    };
    if !special && text.char_indices().all(harmless) { text.to_owned() } else { code(text) }
}

fn is_inner(text: &str, index: usize) -> bool {
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    word(text[..index].chars().next_back()) && word(text[index + 1..].chars().next())
}

fn is_spaced(text: &str, index: usize) -> bool {
    let after = &text[index + 1..];
    text[..index].ends_with([' ', '&', '>', '<']) && (after.is_empty() || after.starts_with([' ', '=', '&']))
}

/// For Markdown as inline code: a fence longer than any run of backticks inside, everything on one line.
#[must_use]
pub fn code(text: &str) -> String {
    let text = terminal(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    // A blank on both sides would be taken for padding.
    let bordered = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty();
    let pad = if bordered { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// For a cell of a Markdown table. After a backslash a bar cannot be escaped: GitHub would take the backslash for the escaped one.
#[must_use]
pub fn table_cell(text: &str) -> String {
    markdown(text).replace("\\|", "\\\\u{7c}").replace('|', "\\|")
}

/// For a block of text: line breaks and tabs stay, other unsafe characters are shown.
#[must_use]
pub fn block(text: &str) -> String {
    escape(text, |c| c == '\n' || c == '\t')
}

/// A fenced block of text from outside.
#[must_use]
pub fn fenced(language: &str, text: &str) -> String {
    fence(language, &block(text))
}

/// A fenced block whose fence is longer than any run of backticks inside. Ends with a line break.
#[must_use]
pub fn fence(language: &str, text: &str) -> String {
    let fence = "`".repeat((longest_run(text) + 1).max(3));
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{text}{end}{fence}\n")
}

/// A character as JSON's `\u` escapes.
fn json_char(character: char) -> String {
    let mut units = [0; 2];
    character.encode_utf16(&mut units).iter().fold(String::new(), |mut out, unit| {
        let _ = write!(out, "\\u{unit:04x}");
        out
    })
}

fn longest_run(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_no_control_character() {
        for (text, shown) in [
            ("plain ä ✅", "plain ä ✅"),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("\u{9b}1m\u{7f}\u{200b}", "\\u{9b}1m\\u{7f}\\u{200b}"),
        ] {
            assert_eq!(terminal(text), shown);
        }
    }

    #[test]
    fn markdown_keeps_words_and_boxes_everything_else() {
        for (text, shown) in [
            ("disk_usage > 90 (was 96.2)", "disk_usage > 90 (was 96.2)"),
            ("memory_usage > 95 && process_memory_mb > 2048", "memory_usage > 95 && process_memory_mb > 2048"),
            ("mount=/data", "mount=/data"),
            ("<img src=x>", "`<img src=x>`"),
            ("**bold**", "`**bold**`"),
            ("[x](http://evil)", "`[x](http://evil)`"),
            ("a`b", "``a`b``"),
            ("`", "`` ` ``"),
            ("line\nbreak", "`line\\nbreak`"),
            ("_em_", "`_em_`"),
            ("", "`  `"),
        ] {
            assert_eq!(markdown(text), shown);
        }
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fenced("", "a\n````\nb"), "`````\na\n````\nb\n`````\n");
        assert_eq!(fenced("", "x"), "```\nx\n```\n");
        assert_eq!(table_cell("a|b"), "`a\\|b`");
    }
}

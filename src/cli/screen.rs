//! The streams of the program: the last place where text from outside is made harmless, so that no command can forget it. What a
//! command escapes itself, it escapes so that a table stays in its columns and a value on its line.

use std::io::{self, Write};

use crate::record::escape;

/// Writes whole lines, without anything that a terminal would obey but the styles that autoheal writes itself.
pub(super) struct Screen<W: Write> {
    inner: W,
    /// The text is JSON: what is unsafe becomes an escape that every parser reads as the same character.
    json: bool,
    /// The beginning of a line whose end has not been written yet: a character or a sequence may be cut here.
    line: Vec<u8>,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(inner: W, json: bool) -> Self {
        Self { inner, json, line: Vec::new() }
    }

    fn write_out(&mut self, end: usize) -> io::Result<()> {
        let ready: Vec<u8> = self.line.drain(..end).collect();
        let text = String::from_utf8_lossy(&ready);
        let safe = if self.json { escape::json(&text) } else { escape::screen(&text) };
        self.inner.write_all(safe.as_bytes())
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = self.line.len();
        self.line.extend_from_slice(bytes);
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.write_out(before + end + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out(self.line.len())?;
        self.inner.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // Whoever wants to know whether it can be written flushes.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: bool, pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, json);
        pieces.iter().for_each(|piece| screen.write_all(piece).unwrap());
        drop(screen);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_styles_and_line_breaks_reach_a_terminal() {
        for (text, seen) in [
            ("\u{1b}[1mbold\u{1b}[0m and \u{1b}[38;5;9mred\u{1b}[m\n", "\u{1b}[1mbold\u{1b}[0m and \u{1b}[38;5;9mred\u{1b}[m\n"),
            ("a\u{1b}[2Jb\n", "a\\u{1b}[2Jb\n"),
            ("a\u{1b}]8;;http://evil\u{7}x\n", "a\\u{1b}]8;;http://evil\\u{7}x\n"),
            ("a\u{1b}[1", "a\\u{1b}[1"),
            ("one\rtwo\u{202e}\u{9b}1m\n", "one\\rtwo\\u{202e}\\u{9b}1m\n"),
        ] {
            assert_eq!(shown(false, &[text.as_bytes()]), seen);
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(shown(false, &bytes), seen, "byte by byte");
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"a\u{202e}": "\u{9b}1m \u{1b}\u{200b}\u{e0041} \n ä 🧨"});
        for text in [value.to_string(), format!("{value:#}")] {
            let out = shown(true, &[text.as_bytes(), b"\n"]);
            assert!(!out.contains(|c: char| c != '\n' && escape::is_deceptive(c)), "{out}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), value);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(shown(false, &[b"a\xff\xfe\n"]), "a\u{fffd}\u{fffd}\n");
    }
}

//! What is fuzzed: for each kind of text from outside one function that takes any bytes and panics if something is wrong with
//! what the product makes of them. No part of the product.
//!
//! The targets in `fuzz/` hand these functions to libFuzzer, which compiles with `--cfg fuzzing`. The tests hand them every seed
//! of `fuzz/corpus`, and what chance makes of the seeds.

mod certificate;
mod control;
mod guard;
mod http;
mod playbooks;
mod report;

pub use certificate::certificate;
pub use control::control;
pub use guard::guard;
pub use http::http_response;
pub use playbooks::playbooks;
pub use report::report;

/// Nothing that a terminal would obey, or an eye would not see, is in a text for people.
fn assert_harmless(text: &str) {
    let bad = text.chars().find(|&letter| letter != '\n' && crate::record::escape::is_deceptive(letter));
    assert_eq!(bad, None, "in {text:?}");
}

#[cfg(test)]
mod tests;

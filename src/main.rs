//! The autoheal binary: dispatches and returns the exit code. Everything else is in the library.

use std::process::ExitCode;

use autoheal::cli;
use autoheal::heal::confine;
use autoheal::host::raw;

fn main() -> ExitCode {
    raw::set_up_allocator();
    let arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let code = match arguments.get(1) {
        Some(word) if word == confine::COMMAND => confine::run(&arguments[2..]),
        _ => cli::main(),
    };
    ExitCode::from(code)
}

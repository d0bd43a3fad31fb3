//! `autoheal schema`: what an editor has to know to help with a configuration file.

use std::io::Write;

use super::{Answer, exit};
use crate::config::schema;

/// Arguments of `autoheal schema`.
#[derive(Clone, Debug, clap::Args)]
pub struct SchemaArgs {
    /// Which file is meant
    #[arg(value_name = "FILE")]
    pub file: File,
}

/// One of the two files that a person edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum File {
    /// autoheal-playbooks.json
    Playbooks,
    /// autoheal.json
    Settings,
}

/// Runs the command: the output is the schema, draft-07, and the same for every host.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &SchemaArgs, out: &mut dyn Write) -> Answer {
    let schema = match args.file {
        File::Playbooks => schema::playbooks(),
        File::Settings => schema::settings(),
    };
    out.write_all(schema.as_bytes())?;
    Ok(exit::DONE)
}

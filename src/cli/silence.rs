//! `silence`: open no incident for a while; list such whiles; end one.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::agent::{Desk, remark};
use super::fields::{list, print, scope, text, time};
use super::{Answer, exit, span, table};
use crate::record::escape::terminal;
use crate::serve::protocol::Request;

/// Options of `silence`.
#[derive(Args, Debug)]
pub struct SilenceArgs {
    /// The playbook's id; without one, all.
    #[arg(conflicts_with_all = ["list", "expire"])]
    playbook: Option<String>,
    /// Only targets with this label; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = super::label, conflicts_with_all = ["list", "expire"])]
    labels: Vec<(String, String)>,
    /// How long: 90s, 30m, 2h, 7d, 1h30m.
    #[arg(long = "for", value_name = "DURATION", value_parser = span::parse, required_unless_present_any = ["list", "expire"], conflicts_with_all = ["list", "expire"])]
    span: Option<Duration>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["list", "expire"])]
    reason: Option<String>,
    /// List the silences that last.
    #[arg(long, conflicts_with = "expire")]
    list: bool,
    /// End this silence now.
    #[arg(long, value_name = "ID")]
    expire: Option<String>,
}

/// Does what the options say.
///
/// # Errors
/// When no agent is running where one is needed, or it refuses.
pub fn run(args: &SilenceArgs, desk: &Desk, out: &mut dyn Write) -> Answer {
    let (answer, whence) = match (&args.expire, args.span) {
        (Some(id), _) => (desk.ask(&Request::ExpireSilence { id: id.clone() })?, None),
        (None, Some(span)) => {
            let request = Request::Silence {
                playbook: args.playbook.clone(),
                labels: args.labels.iter().cloned().collect(),
                for_seconds: span.as_secs_f64(),
                reason: args.reason.clone(),
            };
            (desk.ask(&request)?, None)
        }
        (None, None) => desk.ask_or_read(&Request::Silences)?,
    };
    if desk.json {
        print(&answer, out)?;
    } else if let Some(id) = &args.expire {
        writeln!(out, "silence {} has ended", terminal(id))?;
    } else if args.span.is_some() {
        made(args, &answer["silence"], out)?;
    } else {
        out.write_all(shown(&answer["silences"]).as_bytes())?;
        remark(whence.as_ref(), out)?;
    }
    Ok(exit::DONE)
}

fn made(args: &SilenceArgs, silence: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let id = terminal(&text(&silence["id"]));
    writeln!(out, "silence {id}: {} until {}", terminal(&scope(silence)), terminal(&time(&silence["until"])))?;
    if args.playbook.is_none() && args.labels.is_empty() {
        writeln!(out, "This is every playbook on every target: until then nothing on this host is repaired.")?;
    }
    writeln!(out, "To end it earlier: autoheal silence --expire {id}")
}

/// The silences that last, as a table.
pub(super) fn shown(silences: &Value) -> String {
    let rows: Vec<Vec<String>> = list(silences)
        .iter()
        .map(|one| vec![text(&one["id"]), scope(one), time(&one["until"]), text(&one["by"]), text(&one["reason"])])
        .collect();
    if rows.is_empty() { "no silences\n".to_owned() } else { table::print(&["id", "silenced", "until", "by", "reason"], rows) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::super::agent::tests::{Played, desk, failed, printed};
    use super::*;
    use crate::serve::protocol::Refusal;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        args: SilenceArgs,
    }

    fn args(line: &[&str]) -> Result<SilenceArgs, clap::Error> {
        Line::try_parse_from([&["silence"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn a_silence_says_what_it_covers() {
        let silence = |playbook: Value, labels: Value| json!({"silence": {"id": "ab12", "playbook": playbook, "labels": labels, "until": "2026-11-22T16:00:00.5Z", "reason": null, "by": "root"}});
        let agent = Played::saying(silence(json!("disk"), json!({"mount": "/data"})));
        let disk = args(&["disk", "--label", "mount=/data", "--for", "1h30m", "--reason", "backup"]).unwrap();
        let (code, text) = printed(|out| run(&disk, &agent.desk(false), out));
        assert_eq!(code, 0);
        assert_eq!(text, "silence ab12: disk mount=/data until 2026-11-22T16:00:00Z\nTo end it earlier: autoheal silence --expire ab12\n");
        match agent.asked() {
            Request::Silence { playbook, labels, for_seconds, reason } => {
                assert_eq!((playbook.as_deref(), labels["mount"].as_str(), for_seconds), (Some("disk"), "/data", 5400.0));
                assert_eq!(reason.as_deref(), Some("backup"));
            }
            other => panic!("{other:?}"),
        }
        let agent = Played::saying(silence(Value::Null, json!({})));
        let (_, text) = printed(|out| run(&args(&["--for", "2h"]).unwrap(), &agent.desk(false), out));
        assert!(text.contains("silence ab12: everything") && text.contains("every playbook on every target"), "{text}");
        let (_, text) = printed(|out| run(&args(&["--for", "2h"]).unwrap(), &agent.desk(true), out));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["silence"]["id"], "ab12");
    }

    #[test]
    fn silences_are_listed_also_without_an_agent_and_ended_only_with_one() {
        let agent = Played::saying(
            json!({"silences": [{"id": "ab12", "playbook": null, "labels": {}, "until": "2026-11-22T16:00:00Z", "reason": "night \u{202e}", "by": "root"}]}),
        );
        let list = args(&["--list"]).unwrap();
        let (_, text) = printed(|out| run(&list, &agent.desk(false), out));
        assert!(text.contains("ab12") && text.contains("everything") && text.contains("night \\u{202e}"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let nothing = format!("no silences\n(no agent is running, and {} has no history)\n", dir.path().display());
        assert_eq!(printed(|out| run(&list, &desk(dir.path(), false), out)), (0, nothing));
        let expire = args(&["--expire", "ab12"]).unwrap();
        assert_eq!(failed(run(&expire, &desk(dir.path(), false), &mut Vec::new())).0, 3);
        assert_eq!(printed(|out| run(&expire, &agent.desk(false), out)), (0, "silence ab12 has ended\n".to_owned()));
        let agent = Played::refusing(Refusal::failed("no_silence", "there is no silence ab12"));
        assert_eq!(failed(run(&expire, &agent.desk(false), &mut Vec::new())).0, 1);
    }

    #[test]
    fn wrong_usage_is_told() {
        for line in [
            &[][..],
            &["disk"],
            &["disk", "--for", "2"],
            &["--list", "--for", "2h"],
            &["--list", "disk"],
            &["--list", "--expire", "a"],
            &["--expire", "a", "--reason", "x"],
            &["--for", "2h", "--label", "x"],
        ] {
            assert!(args(line).is_err(), "{line:?}");
        }
    }
}

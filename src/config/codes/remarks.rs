//! Codes of warnings and notes. They stop no load; `check --strict` fails on warnings.

use super::codes;

codes! {
    Warning doubtful_rule: "a rule allows more than is probably meant",
        "A wide rule is legal, but a value from outside decides what it does. autoheal allow list marks it. Name the words that you need instead.",
        Settings: r#"{"allowed_commands": ["@shipped", "bash -c {name}"]}"# => r#"{"allowed_commands": ["@shipped", "logger restarted"]}"#;
    Warning nobody_told: "no channel reaches a person",
        "What autoheal cannot repair is then only in its log and in its reports, where nobody may look. Add a channel to notify.",
        Settings: "{}" => r#"{"notify": {"channels": [{"type": "desktop"}]}}"#;
    Warning secret_in_file: "a secret stands in a file that others may read",
        "Configuration files end in backups and repositories. Put the secret into a file of its own with mode 0600 and name that in the key that ends in _file.",
        Settings: r#"{"notify": {"channels": [{"type": "slack", "url": "https://hooks.example/T0/B0/x"}]}}"#
            => r#"{"notify": {"channels": [{"type": "slack", "url_file": "/etc/autoheal/slack"}]}}"#;
    Warning plain_http: "a secret would go over the network unencrypted",
        "The token and the messages could be read on the way. Write https://, or an address of this machine.",
        Settings: r#"{"notify": {"channels": [{"type": "pagerduty", "base_url": "http://pager.example", "routing_key_file": "/etc/autoheal/key"}]}}"#
            => r#"{"notify": {"channels": [{"type": "pagerduty", "base_url": "https://pager.example", "routing_key_file": "/etc/autoheal/key"}]}}"#;
    Warning open_answers: "strangers could read the questions",
        "Topics of ntfy are open to all who know their names. With token_file only those with the token see what is asked.",
        Settings: r#"{"notify": {"channels": [{"type": "ntfy", "topic": "ops", "answer_topic": "ops-yes"}]}}"#
            => r#"{"notify": {"channels": [{"type": "ntfy", "topic": "ops", "answer_topic": "ops-yes", "token_file": "/etc/autoheal/ntfy"}]}}"#;
    Warning not_in_this_version: "this part of the settings has no effect yet",
        "It is checked, so that the file stays good for the version that has it, but nothing comes of it now.",
        Settings: r#"{"http": {"listen": "127.0.0.1:7433"}}"# => r#"{"http": null}"#;
    Warning no_effect: "a key has no effect here",
        "repeat_seconds repeats the message of a playbook without actions, verify proves a heal, which needs actions, and retry_count of an action belongs to a rung of a ladder. Elsewhere nothing comes of them.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [{"type": "top_processes"}], "repeat_seconds": 600}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "repeat_seconds": 600}"#;
    Note no_target: "nothing that is watched can trigger this playbook",
        "The metric belongs to a kind of target of which watch in the settings names none, or none with these labels. It is only a note: the entry may come later. The example supposes that the settings watch a process called web.",
        Condition: r#""process_status{process_name=\"wbe\"} == stopped""# => r#""process_status{process_name=\"web\"} == stopped""#;
    Warning weak_verify: "the verification can hold while the trouble goes on",
        "A heal counts as proven when verify holds. If it also holds at a value where the condition does, the repair may have changed nothing. Leave verify out, and the condition must no longer hold.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "verify": "disk_usage < 95%"}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "verify": "disk_usage < 85%"}"#;
    Warning never_holds: "no measurement can satisfy a condition",
        "Percentages are from 0 to 100, sizes and times are not negative, and a word is one of a few. A condition beyond that never fires; a verification beyond it fails every heal.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "verify": "disk_usage < 0%"}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "verify": "disk_usage < 85%"}"#;
    Warning proven_by_file: "a certificate is looked at in its file, not where it is served",
        "A renewal writes the file; the server shows the old certificate until it is reloaded. Only a look at the server sees that. Name it in watch.certificates with its host and port: the playbook then looks at both, and the served one must be good as well.";
    Warning not_covered: "a watched endpoint that no playbook is about",
        "It is measured and shown, but its trouble starts nothing and nobody is told. The shipped api_slow is for endpoints of this host only, because its remedies cure nothing on another. A playbook without actions tells people and touches nothing.";
    Warning retry_longer_than_cooldown: "the checks of a repair outlast its cooldown",
        "The cooldown keeps a playbook from acting again too soon. If one check comes after it, it protects nothing. Lengthen the cooldown, or check sooner.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "cooldown_seconds": 5, "verify": {"metric": "disk_usage", "operator": "<", "threshold": 85, "retry_interval_seconds": 10}}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "cooldown_seconds": 300, "verify": {"metric": "disk_usage", "operator": "<", "threshold": 85, "retry_interval_seconds": 10}}"#;
    Warning program_missing: "the program of a command is not installed",
        "It is in none of the directories of command_path. The file is loaded all the same, because the program may be installed later; until then the action fails. With \"skip_if_missing\": true it is skipped, and this is a note.";
    Warning unknown_service: "no service has that name",
        "Neither the settings nor the service manager of this host know it. Look at its name with systemctl list-units, or give its commands under services in the settings.";
    Warning unknown_process: "no watched process has that name",
        "signal_process names an entry of watch.processes, not a program. The example supposes that the settings watch a process called web.",
        Action: r#"{"type": "signal_process", "process": "wbe", "signal": "HUP"}"# => r#"{"type": "signal_process", "process": "web", "signal": "HUP"}"#;
    Warning already_proven: "the verification holds now, while the condition does",
        "At this moment the playbook would act on this target, and the proof of the heal holds before anything was done: it cannot tell whether the repair worked. Verify what the condition measures, below its limit.";
    Warning refused_here: "the guard would refuse an action for a target that exists now",
        "The file is legal, but this target fills a placeholder with what no rule allows, or with a service that neither the settings nor the service manager know: the heal would fail and its breaker open. Add a rule, name the service in watch.processes, or leave the target out with where.";
    Note no_process: "no process is what this entry of watch.processes means",
        "Either the program does not run now, and a playbook on process_status == stopped fires, or the entry means another one than you think. autoheal match NAME shows what it finds; autoheal match --pattern 'RE' tries another pattern.";
    Warning several_programs: "a process entry means several different programs",
        "Its processes are one target: it is running as long as any of them lives, their memory is added up, and one service is restarted for all. Often the pattern also matches a shell that started the program, or an editor with the file open. Begin the pattern with ^, or match by exe or unit.";
    Note not_seen: "something could not be looked at",
        "What it means could not be read from here and now: it did not answer in time, or belongs to another user. autoheal check as the user of the agent (mostly root) sees what the agent sees.";
    Warning file_ignored: "a file of the configuration directory is not read",
        "autoheal reads two files, autoheal-playbooks.json and autoheal.json, and nothing else there: no YAML, no directory of parts. A misspelt name is silently without effect. It is a note where the file is probably a draft or another program's.";
}

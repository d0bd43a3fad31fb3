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
        "repeat_seconds repeats the message of a playbook without actions, and retry_count of an action belongs to a rung of a ladder. Elsewhere nothing comes of them.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [{"type": "top_processes"}], "repeat_seconds": 600}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "repeat_seconds": 600}"#;
    Note no_target: "nothing that is watched can trigger this playbook",
        "The metric belongs to a kind of target of which watch in the settings names none, or none with these labels. It is only a note: the entry may come later. The example supposes that the settings watch a process called web.",
        Condition: r#""process_status{process_name=\"wbe\"} == stopped""# => r#""process_status{process_name=\"web\"} == stopped""#;
    Warning weak_verify: "the verification can hold while the trouble goes on",
        "A heal counts as proven when verify holds. If it also holds at a value where the condition does, the repair may have changed nothing. Leave verify out, and the condition must no longer hold.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "verify": "disk_usage < 95%"}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "verify": "disk_usage < 85%"}"#;
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
}

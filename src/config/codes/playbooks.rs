//! Codes of playbooks: conditions, placeholders and the guard.

use super::codes;

codes! {
    Error bad_id: "a playbook cannot be called that",
        "The id becomes part of labels, of file names and of commands that you type. It has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or a digit. The description may say anything.",
        Playbooks: r#"{"Disk Full": {"condition": "disk_usage > 90%", "actions": []}}"# => r#"{"disk_full": {"condition": "disk_usage > 90%", "actions": []}}"#;
    Error bad_condition: "two forms of a condition stand together",
        "A condition is one comparison (metric, operator, and threshold or value) or one combination (all, any or not). To combine comparisons, put each into the list of all or any.",
        Condition: r#"{"metric": "disk_usage", "operator": ">", "threshold": 90, "value": 90}"#
            => r#"{"metric": "disk_usage", "operator": ">", "threshold": 90}"#;
    Error bad_expression: "a condition written as text cannot be read",
        "The form is METRIC{label=\"text\"} OPERATOR NUMBER, joined with && and ||, turned round with !( ), and for 2m at the end if it must last. The caret stands under the word that does not fit.",
        Condition: r#""disk_usage > 90% and disk_free_mb < 2048""# => r#""disk_usage > 90% && disk_free_mb < 2048""#;
    Error bad_unit: "a number has a unit that the metric is not measured in",
        "Percent is %, times are ms, s, m, h or d, sizes MB or GB. A number without a unit is in the metric's own.",
        Condition: r#""disk_free_mb < 10%""# => r#""disk_free_mb < 2GB""#;
    Error unknown_metric: "no metric has that name",
        "Metrics are named exactly as autoheal probe prints them.",
        Condition: r#""disk_use > 90%""# => r#""disk_usage > 90%""#;
    Error unknown_operator: "this is no comparison, or none for this metric",
        "Numbers are compared with > >= < <= == and !=, words such as running only with == and !=.",
        Condition: r#"{"metric": "disk_usage", "operator": "=>", "threshold": 90}"# => r#"{"metric": "disk_usage", "operator": ">=", "threshold": 90}"#;
    Error unknown_label: "the metric has no such label",
        "Labels tell targets apart: disks have mount, processes process_name, endpoints endpoint. A label that the metric lacks would select nothing for ever.",
        Condition: r#""disk_usage{path=\"/data\"} > 90%""# => r#""disk_usage{mount=\"/data\"} > 90%""#;
    Error bad_join: "the metrics of one playbook belong to different things",
        "All parts of a condition, and the verification, speak of one target. A disk and a process have no label in common, so autoheal could not say which disk goes with which process. Write two playbooks, or combine with a metric of the whole host such as memory_usage.",
        Condition: r#""disk_usage > 90% && process_status == stopped""# => r#""memory_usage > 90% && process_status == stopped""#;
    Error unknown_placeholder: "nothing fills a {placeholder}",
        "A placeholder is filled from the labels of the incident, and from playbook, metric, value, threshold, severity, hostname and incident_id. An incident of a disk has a mount and no process_name. In the settings no placeholder is allowed. Write {{ and }} for the brackets themselves.",
        Action: r#"{"type": "notify", "message": "{process_name} is full"}"# => r#"{"type": "notify", "message": "{mount} is full"}"#;
    Error command_refused: "the guard would not let this action run",
        "Nothing runs that no rule of allowed_commands allows, and there is no shell: no &&, no |, no $( ). autoheal allow test 'COMMAND' says which word fails, and autoheal allow suggest 'COMMAND' proposes the narrowest rule for a person to add. Two commands in one become two actions.",
        Action: r#"{"type": "shell", "command": "rm -rf /tmp/cache && systemctl restart nginx"}"#
            => r#"{"type": "delete_files", "directory": "/tmp", "older_than_days": 7}"#;
    Error run_as_differs: "the action names another user than its rule",
        "Under which user a command runs is decided by the rule that allows it, not by the playbook. Add \"run_as\" to the rule in allowed_commands, or remove it here.",
        Action: r#"{"type": "shell", "command": "find /tmp -type f -mtime +7 -delete", "run_as": "nobody"}"#
            => r#"{"type": "shell", "command": "find /tmp -type f -mtime +7 -delete"}"#;
}

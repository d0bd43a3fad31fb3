//! The examples of the reference. Each stands below the heading of its name and, with what [`Place`] puts around it, loads.

use super::super::codes::Place;

/// In the order of the page: the heading, where the example stands, and its text.
pub(super) const EXAMPLES: &[(&str, Place, &str)] = &[
    (
        "Playbooks: `autoheal-playbooks.json`",
        Place::Playbooks,
        r#"{
  "memory_high": {
    "description": "Memory has been full for five minutes",
    "severity": "warning",
    "condition": {"metric": "memory_usage", "operator": ">", "threshold": 95, "for_seconds": 300},
    "actions": [{"type": "top_processes", "by": "memory", "count": 5}],
    "verify": {"metric": "memory_usage", "operator": "<", "threshold": 85, "retry_count": 3},
    "cooldown_seconds": 3600,
    "runbook_url": "https://wiki.example/memory"
  }
}"#,
    ),
    (
        "Keys of `verify`",
        Place::Playbook,
        r#"{
  "condition": "process_status == stopped",
  "actions": [{"type": "service_restart", "service": "{process_name}"}],
  "verify": {
    "metric": "process_uptime_seconds",
    "operator": ">",
    "threshold": 5,
    "retry_count": 4,
    "retry_interval_seconds": 5,
    "hold_seconds": 10
  }
}"#,
    ),
    (
        "`shell`",
        Place::Action,
        r#"{
  "type": "shell",
  "description": "Remove unused containers and images; {mount} was at {value} %",
  "command": "docker system prune -f --filter until=168h",
  "frees": "/var/lib/docker",
  "skip_if_missing": true,
  "timeout_seconds": 600
}"#,
    ),
    (
        "`service_restart`",
        Place::Action,
        r#"{"type": "service_restart", "service": "{process_name}", "when": {"process_name": ["web", "worker-*"]}, "requires_approval": true}"#,
    ),
    ("`service_start`", Place::Action, r#"{"type": "service_start", "service": "{process_name}"}"#),
    ("`service_stop`", Place::Action, r#"{"type": "service_stop", "service": "nginx", "continue_on_failure": true}"#),
    ("`service_reload`", Place::Action, r#"{"type": "service_reload", "service": "nginx"}"#),
    (
        "`http`",
        Place::Action,
        r#"{
  "type": "http",
  "method": "POST",
  "url": "http://localhost:8080/admin/reset-pool",
  "headers": {"X-Incident": "{incident_id}"},
  "body": "{\"endpoint\": \"{endpoint}\"}",
  "expect_status": [200, "202-204"],
  "timeout_seconds": 10
}"#,
    ),
    (
        "`delete_files`",
        Place::Action,
        r#"{"type": "delete_files", "directory": "/var/log", "name": "*.gz", "older_than_days": 30, "max_delete_mb": 2048, "frees": "/var/log"}"#,
    ),
    ("`archive_log`", Place::Action, r#"{"type": "archive_log", "path": "{path}", "to": "/var/log/archive", "keep": 5}"#),
    (
        "`signal_process`",
        Place::Action,
        r#"{"type": "signal_process", "process": "{process_name}", "signal": "TERM", "then_kill_after_seconds": 10}"#,
    ),
    ("`top_processes`", Place::Action, r#"{"type": "top_processes", "by": "cpu", "count": 10}"#),
    ("`notify`", Place::Action, r#"{"type": "notify", "message": "{mount} on {hostname} is at {value} %"}"#),
    (
        "Settings: `autoheal.json`",
        Place::Settings,
        r#"{
  "dry_run": false,
  "interval_seconds": 30,
  "watch": {
    "disks": "auto",
    "processes": [{"name": "web", "match": {"unit": "nginx.service"}, "restartable": true}],
    "endpoints": [{"name": "shop", "url": "http://127.0.0.1:8080/health"}],
    "certificates": [{"name": "shop", "host": "shop.example"}],
    "logs": [{"path": "/var/log/*.log"}]
  },
  "allowed_commands": ["@shipped", "docker restart {name}"],
  "command_path": ["/usr/local/bin", "/usr/bin", "/bin"],
  "max_actions_per_hour": 60
}"#,
    ),
    (
        "`allowed_commands`",
        Place::Settings,
        r#"{
  "allowed_commands": [
    "@shipped",
    "docker restart {name}",
    {"rule": "backupctl prune --keep {int}", "run_as": "backup", "timeout_seconds": 900, "note": "keeps the newest"},
    {"rule": "flushctl {one:cache|sessions} [--now]", "requires_approval": true, "sandbox": "off"}
  ]
}"#,
    ),
    ("`history`", Place::Settings, r#"{"history": {"incidents_days": 365, "samples_days": 2, "keep_reports": 730}}"#),
    ("`http`", Place::Settings, r#"{"http": {"listen": "127.0.0.1:7433", "token_file": "http.token"}}"#),
    (
        "`http`: `tls`",
        Place::Settings,
        r#"{
  "http": {
    "listen": "0.0.0.0:7433",
    "allow_remote": true,
    "token_file": "http.token",
    "tls": {"cert_file": "/etc/ssl/autoheal.pem", "key_file": "/etc/ssl/private/autoheal.key"}
  }
}"#,
    ),
    (
        "`notify`",
        Place::Settings,
        r#"{
  "notify": {
    "on": ["approval", "escalated", "recovered"],
    "retry_seconds": 10,
    "retry_max_seconds": 600,
    "expire_seconds": 86400,
    "digest": "weekly",
    "channels": [{"type": "slack", "url_file": "slack.url"}]
  }
}"#,
    ),
    ("`log`", Place::Settings, r#"{"notify": {"channels": [{"type": "log", "min_severity": "info", "on": ["opened", "resolved"]}]}}"#),
    ("`desktop`", Place::Settings, r#"{"notify": {"channels": [{"type": "desktop", "min_severity": "error"}]}}"#),
    (
        "`email`",
        Place::Settings,
        r#"{
  "notify": {
    "channels": [
      {
        "type": "email",
        "host": "mail.example",
        "port": 587,
        "encryption": "starttls",
        "username": "autoheal",
        "password_file": "mail.password",
        "from": "autoheal@example.org",
        "to": ["ops@example.org"]
      }
    ]
  }
}"#,
    ),
    (
        "`webhook`",
        Place::Settings,
        r#"{
  "notify": {
    "channels": [
      {"type": "webhook", "name": "board", "url": "https://board.example/hook", "bearer_token_file": "board.token", "timeout_seconds": 10}
    ]
  }
}"#,
    ),
    (
        "`slack`",
        Place::Settings,
        r#"{"notify": {"channels": [{"type": "slack", "url_file": "slack.url", "on": ["escalated", "recovered"]}]}}"#,
    ),
    (
        "`ntfy`",
        Place::Settings,
        r#"{"notify": {"channels": [{"type": "ntfy", "base_url": "https://ntfy.example", "topic_file": "ntfy.topic", "token_file": "ntfy.token"}]}}"#,
    ),
    (
        "`telegram`",
        Place::Settings,
        r#"{"notify": {"channels": [{"type": "telegram", "token_file": "telegram.token", "chat_id": -100123456, "allowed_users": [123456]}]}}"#,
    ),
    (
        "`pagerduty`",
        Place::Settings,
        r#"{"notify": {"channels": [{"type": "pagerduty", "routing_key_file": "pagerduty.key", "min_severity": "critical"}]}}"#,
    ),
    (
        "`opsgenie`",
        Place::Settings,
        r#"{
  "notify": {
    "channels": [
      {"type": "opsgenie", "api_key_file": "opsgenie.key", "tags": ["autoheal"], "responders": [{"type": "team", "name": "ops"}]}
    ]
  }
}"#,
    ),
    ("`command`", Place::Settings, r#"{"notify": {"channels": [{"type": "command", "command": "/usr/local/bin/page-somebody --stdin"}]}}"#),
    (
        "`healthchecks`",
        Place::Settings,
        r#"{"notify": {"channels": [{"type": "healthchecks", "url_file": "healthchecks.url", "interval_seconds": 60}]}}"#,
    ),
    (
        "`services`",
        Place::Settings,
        r#"{"services": {"worker": {"restart": "workerctl restart", "reload": "workerctl reload", "status": "workerctl status"}}}"#,
    ),
    (
        "`silences`",
        Place::Settings,
        r#"{
  "silences": [
    {
      "playbooks": ["api_slow"],
      "where": {"endpoint": "shop*"},
      "days": ["sat", "sun"],
      "from": "23:30",
      "to": "02:00",
      "time_zone": "Europe/Berlin",
      "reason": "the backup runs"
    }
  ]
}"#,
    ),
    ("`watch`", Place::Settings, r#"{"watch": {"disks": "auto", "memory": true, "logs": [{"path": "/var/log/*.log"}]}}"#),
    (
        "`watch`: `certificates` with `host`",
        Place::Settings,
        r#"{"watch": {"certificates": [{"name": "mail", "host": "mail.example", "port": 25, "starttls": "smtp", "interval_seconds": 3600}]}}"#,
    ),
    (
        "`watch`: `certificates` with `path`",
        Place::Settings,
        r#"{"watch": {"certificates": [{"name": "files", "path": "/etc/ssl/mine/*.pem", "ca_file": "/etc/ssl/mine/ca.pem"}]}}"#,
    ),
    (
        "`watch`: `checks`",
        Place::Settings,
        r#"{"watch": {"checks": [{"name": "raid", "command": "/usr/lib/nagios/plugins/check_raid", "timeout_seconds": 20}]}}"#,
    ),
    ("`watch`: `disks`", Place::Settings, r#"{"watch": {"disks": [{"mount": "/"}, {"mount": "/data", "interval_seconds": 5}]}}"#),
    (
        "`watch`: `endpoints`",
        Place::Settings,
        r#"{
  "watch": {
    "endpoints": [
      {
        "name": "shop",
        "url": "https://127.0.0.1:8443/health",
        "headers": {"Host": "shop.example"},
        "expected_status": [200, "301-308"],
        "expected_body": "\"status\": *\"ok\"",
        "ca_file": "/etc/ssl/mine/ca.pem",
        "timeout_seconds": 2
      }
    ]
  }
}"#,
    ),
    (
        "`watch`: `logs`",
        Place::Settings,
        r#"{"watch": {"logs": [{"path": "/var/log/{syslog,messages}"}, {"path": "/srv/*/log", "recursive": true}]}}"#,
    ),
    ("`watch`: `memory`", Place::Settings, r#"{"watch": {"memory": {"interval_seconds": 5}}}"#),
    (
        "`watch`: `processes`",
        Place::Settings,
        r#"{
  "watch": {
    "processes": [
      {"name": "cron"},
      {"name": "web", "match": {"unit": "nginx.service"}, "restartable": true},
      {"name": "worker", "match": {"pattern": "node .*worker\\.js"}, "user": "www-data", "service": "worker"}
    ]
  }
}"#,
    ),
    (
        "`watch`: `processes`: `match`",
        Place::Settings,
        r#"{
  "watch": {
    "processes": [
      {"name": "db", "match": {"exe": "/usr/lib/postgresql/16/bin/postgres"}},
      {"name": "queue", "match": {"pidfile": "/run/queue.pid"}},
      {"name": "shell", "match": {"command": "login"}}
    ]
  }
}"#,
    ),
];

/// The spellings of a condition.
pub(super) const CONDITIONS: &[(&str, &str)] = &[
    (
        "A comparison of a number, on some targets only, for a minute",
        r#"{"metric": "disk_usage", "operator": ">", "threshold": 90, "where": {"mount": ["/", "/data*"]}, "for_seconds": 60}"#,
    ),
    ("A comparison of a word", r#"{"metric": "process_status", "operator": "==", "value": "stopped"}"#),
    (
        "All of several; each is again a condition, in any spelling",
        r#"{"all": [{"metric": "memory_usage", "operator": ">", "threshold": 95}, "process_memory_mb > 2048"]}"#,
    ),
    ("One of several", r#"{"any": ["disk_usage > 95%", "disk_free_mb < 512"], "for_seconds": 30}"#),
    ("Not", r#"{"not": {"metric": "api_status", "operator": "==", "value": "up"}}"#),
    ("An expression", r#""memory_usage > 95% && process_memory_mb{process_name=\"node\"} > 2 GB for 2m""#),
];

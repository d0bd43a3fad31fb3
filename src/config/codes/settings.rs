//! Codes of the settings.

use super::codes;

codes! {
    Error duplicate_name: "two entries have the same name",
        "The name is the label that tells targets apart; two of one name would be mixed up in every report.",
        Settings: r#"{"watch": {"processes": [{"name": "web"}, {"name": "web"}]}}"# => r#"{"watch": {"processes": [{"name": "web"}, {"name": "worker"}]}}"#;
    Error bad_name: "a name is too long, or holds control characters",
        "Names become labels that are printed in terminals and files: at most 128 bytes, no tabs and no line ends.",
        Settings: r#"{"watch": {"processes": [{"name": "web\n"}]}}"# => r#"{"watch": {"processes": [{"name": "web"}]}}"#;
    Error bad_match: "a process is matched by none or by several means",
        "Give exactly one of exe, command, pattern, pidfile and unit. autoheal match NAME shows what it finds.",
        Settings: r#"{"watch": {"processes": [{"name": "web", "match": {"exe": "/usr/sbin/nginx", "unit": "nginx"}}]}}"#
            => r#"{"watch": {"processes": [{"name": "web", "match": {"unit": "nginx"}}]}}"#;
    Error bad_rule: "a rule of allowed_commands cannot be enforced",
        "A rule is a command line whose variable words are {slots} of a type. A slot of an unknown type, or an open quote, would allow something else than you mean. autoheal allow suggest 'COMMAND' writes a rule.",
        Settings: r#"{"allowed_commands": ["@shipped", "find {somewhere} -delete"]}"# => r#"{"allowed_commands": ["@shipped"]}"#;
    Error empty_window: "a silence begins and ends at the same time",
        "From 01:00 to 01:00 could be no time or a whole day. Leave out both for the whole day.",
        Settings: r#"{"silences": [{"from": "01:00", "to": "01:00"}]}"# => r#"{"silences": [{"from": "01:00", "to": "02:00"}]}"#;
    Error bad_time: "this is no time of day",
        "Write hours and minutes with two digits each, 00:00 to 23:59.",
        Settings: r#"{"silences": [{"from": "1am", "to": "02:00"}]}"# => r#"{"silences": [{"from": "01:00", "to": "02:00"}]}"#;
    Error bad_time_zone: "no time zone has that name",
        "Zones are named as in the time zone database: UTC, Europe/Berlin, America/New_York. Without the key the host's own zone holds.",
        Settings: r#"{"silences": [{"from": "01:00", "to": "02:00", "time_zone": "Berlin"}]}"#
            => r#"{"silences": [{"from": "01:00", "to": "02:00", "time_zone": "UTC"}]}"#;
    Error no_time_zones: "this host has no time zone database",
        "Without it nobody knows when 01:00 in Berlin is. Install the package tzdata, or leave out time_zone.";
    Error bad_address: "this is no address to listen on",
        "Write an IP address and a port, with brackets round an IPv6 address: 127.0.0.1:7433, [::1]:7433.",
        Settings: r#"{"http": {"listen": "7433"}}"# => r#"{"http": {"listen": "127.0.0.1:7433"}}"#;
    Error not_on_loopback: "others on the network could reach the HTTP interface",
        "Beyond this machine it needs tls, or allow_remote if a proxy in front does that, and the token of token_file for everything.",
        Settings: r#"{"http": {"listen": "0.0.0.0:7433"}}"# => r#"{"http": {"listen": "127.0.0.1:7433"}}"#;
    Error bad_channel: "two keys of a channel contradict each other",
        "url and url_file, or topic and topic_file, say the same thing. Keep the file if it is a secret.",
        Settings: r#"{"notify": {"channels": [{"type": "webhook", "url": "http://localhost/x", "url_file": "/etc/autoheal/hook"}]}}"#
            => r#"{"notify": {"channels": [{"type": "webhook", "url_file": "/etc/autoheal/hook"}]}}"#;
    Error plain_smtp: "mail would leave this machine unencrypted",
        "The password and the messages could be read on the way. Use starttls or tls; none is for a mail server on this machine.",
        Settings: r#"{"notify": {"channels": [{"type": "email", "host": "mail.example", "encryption": "none", "from": "a@example", "to": ["b@example"]}]}}"#
            => r#"{"notify": {"channels": [{"type": "email", "host": "mail.example", "encryption": "starttls", "from": "a@example", "to": ["b@example"]}]}}"#;
}

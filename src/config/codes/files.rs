//! Codes of files, of JSON, and of the shape of values.

use super::codes;

codes! {
    Error file_missing: "there is no such file",
        "The directory is looked for with --config-dir, then in AUTOHEAL_CONFIG_DIR, then in ./config, then in /etc/autoheal. Playbooks must be there; settings may be left out, and then the built-in ones hold, in dry run.";
    Error file_unreadable: "the file cannot be read",
        "The system refused to open it, or it is a directory, a device or a pipe. Look at its owner and mode with ls -l, as the user that autoheal runs as.";
    Error file_too_large: "the file is larger than 1 MiB",
        "No configuration is that large: it is probably another file, or a log that was written to the wrong name.";
    Error not_utf8: "a byte of the file belongs to no character",
        "Both files are UTF-8. An editor that saved it as Latin-1 or UTF-16 made a letter such as é unreadable: save it as UTF-8 without a byte order mark.";
    Error not_trusted: "somebody else could change what would run here",
        "autoheal runs as root and does what its files say, so it refuses a file if it, or a directory on the way to it, can be written by anybody but root or the owner of the process. The message names the place and the command that mends it. With --insecure-config it is a warning only, for development.";
    Error file_changing: "the file is written while it is read",
        "It was another file after each of several readings, so no reading of it can be trusted. Save it once and wait a moment; a program that writes it should write beside it and rename.";
    Error file_empty: "there is nothing in the file",
        "An empty file is nearly always a save that was interrupted, so the old configuration stays in force. If nothing is meant, write {}.",
        Playbooks: "" => "{}";
    Error byte_order_mark: "the file begins with a byte order mark",
        "Some editors on Windows put three bytes before the text that nobody sees. Save the file as UTF-8 without BOM.",
        Playbooks: "\u{feff}{}" => "{}";
    Error syntax: "this is not JSON",
        "The file is strict JSON: keys and text in \"double quotes\", a comma between two entries and none after the last, no comments, true and false in small letters. Only the first such place is reported, because what follows it cannot be read for sure. For a comment write \"$comment\": \"…\", or any key that begins with _.",
        Playbooks: r#"{"disk": {"condition": "disk_usage > 90%", "actions": [],}}"# => r#"{"disk": {"condition": "disk_usage > 90%", "actions": []}}"#;
    Error too_deep: "lists and objects are nested too deep",
        "More than 24 levels of { and [ are never meant, nor are more than 48 conditions within each other. Usually a closing bracket is missing many times, or a program wrote the file.",
        Condition: r#"{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": []}]}]}]}]}]}]}]}]}]}]}]}"#
            => r#"{"all": ["disk_usage > 90%", "disk_free_mb < 2048"]}"#;
    Error wrong_type: "a value is of another type than the key wants",
        "Numbers and true or false stand without quotes, text with them; a list stands in [ ], an object in { }. The message says what is expected and what was found.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "cooldown_seconds": "300"}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "cooldown_seconds": 300}"#;
    Error unknown_key: "a key that autoheal does not know",
        "A misspelt key would be silently without effect, so it stops the load. If a known key is near, the message names it; otherwise it lists those that may stand there. Keys that begin with _ or x-, $comment and $schema are ignored everywhere: use them for notes.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "cooldown": 300}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "cooldown_seconds": 300}"#;
    Error missing_key: "a key that must be there is not",
        "The place is the opening { of the object that lacks it. A playbook needs condition and actions, an action needs type and the keys of that type.",
        Action: r#"{"type": "service_restart"}"# => r#"{"type": "service_restart", "service": "web"}"#;
    Error duplicate_key: "a key stands twice in one object",
        "JSON readers disagree about which of the two counts, so neither does. Remove one of them.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "enabled": true, "enabled": false}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "enabled": false}"#;
    Error out_of_range: "a number is too small or too large",
        "Times in *_seconds are 0 to 30 days, intervals at least 0.1 seconds, *_days at most ten years, ports 1 to 65535. The message says which limit was passed.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "max_attempts": 0}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "max_attempts": 1}"#;
    Error unknown_word: "a text is none of the words that are allowed here",
        "Some keys take one of a few words, written in small letters. The message lists them, and names the nearest.",
        Playbook: r#"{"condition": "disk_usage > 90%", "actions": [], "severity": "high"}"#
            => r#"{"condition": "disk_usage > 90%", "actions": [], "severity": "critical"}"#;
    Error empty_text: "a text says nothing",
        "A name, a command or a message of blanks only is never meant. Write it, or remove the key.",
        Action: r#"{"type": "notify", "message": " "}"# => r#"{"type": "notify", "message": "{mount} is full"}"#;
    Error empty_list: "a list is empty where it must name something",
        "An empty list would match nothing, or everything, depending on who reads it. Name at least one, or remove the key.",
        Condition: r#"{"any": []}"# => r#"{"any": ["disk_usage > 90%"]}"#;
    Error bad_path: "a path is not absolute",
        "The agent has no current directory that you could rely on. Begin the path with /, or in a playbook with a placeholder that holds such a path.",
        Action: r#"{"type": "archive_log", "path": "logs/app.log"}"# => r#"{"type": "archive_log", "path": "/var/log/app.log"}"#;
    Error bad_pattern: "a glob or a regular expression cannot be understood",
        "In where, name and path stand globs: * for any text, ? for one character, [abc], {one,two}. In pattern and expected_body stand regular expressions; a backslash is written twice in JSON.",
        Condition: r#"{"metric": "disk_usage", "operator": ">", "threshold": 90, "where": {"mount": "/data[1"}}"#
            => r#"{"metric": "disk_usage", "operator": ">", "threshold": 90, "where": {"mount": "/data[12]"}}"#;
    Error bad_url: "this is not an http or https address",
        "An address begins with http:// or https://, names a host, and holds no blanks.",
        Settings: r#"{"watch": {"endpoints": [{"name": "shop", "url": "localhost:8080/health"}]}}"#
            => r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://localhost:8080/health"}]}}"#;
    Error bad_method: "this is not an HTTP method",
        "A method is one word of letters, such as GET, HEAD, POST or PUT, and nothing else.",
        Settings: r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://localhost/", "method": "GET /"}]}}"#
            => r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://localhost/", "method": "GET"}]}}"#;
    Error bad_header: "an HTTP header cannot be sent like this",
        "A header's name holds letters, digits and dashes, its value no line ends. In an action, Host and other headers that decide where the request goes are autoheal's own, because a rule allows one method and one address.",
        Settings: r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://localhost/", "headers": {"X Probe": "1"}}]}}"#
            => r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://localhost/", "headers": {"X-Probe": "1"}}]}}"#;
    Error bad_status: "this is not an HTTP status",
        "Write a number from 100 to 999, a range as text (\"200-399\"), or a list of these.",
        Settings: r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://localhost/", "expected_status": "2xx"}]}}"#
            => r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://localhost/", "expected_status": "200-299"}]}}"#;
}

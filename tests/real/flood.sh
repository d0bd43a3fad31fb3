#!/usr/bin/env bash
# Ten thousand incidents from ten thousand label sets at once: memory stays bounded, every one is on record, people get a handful
# of messages and a summary, and the most severe are over first.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

count=10000 most_memory=64
mkdir "$DIR/logs"
settings <<EOF
{"interval_seconds": 5, "watch": {"disks": [], "memory": false, "logs": [{"path": "$DIR/logs/*.log"}]}}
EOF
# A playbook for half of the files that only tells.
tells() {
  printf '{"severity": "%s", "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1, "where": {"path": "%s"}}, "actions": []}' "$1" "$2"
}
playbooks <<EOF
{"minor": $(tells warning "$DIR/logs/minor-*"), "major": $(tells error "$DIR/logs/major-*")}
EOF
python3 - "$DIR/logs" $((count / 2)) <<'EOF'
import sys
for number in range(int(sys.argv[2])):
    for kind in ("minor", "major"):
        with open(f"{sys.argv[1]}/{kind}-{number}.log", "w") as log:
            log.truncate(2 << 20)
EOF

past() { sqlite3 -readonly "$DATA/history.db" "$1"; }
recorder() { "$AUTOHEAL" --json --data-dir "$DATA" status | jq ".recorder.$1"; }
ended() { [ "$(past "SELECT count(*) FROM incidents WHERE live = 0")" = "$count" ]; }
written() { [ "$(recorder behind)" = 0 ]; }
reported() { [ "$(find "$DATA" -name '*.md' | wc -l)" = "$count" ]; }
summarised() { grep -q "more messages of this kind" "$LOG"; }

start_agent
begun=$SECONDS
wait_for 120 "all $count incidents have ended and are on record" ended
took=$((SECONDS - begun))
# Before anybody asks for the status: that is a text of ten thousand targets.
peak=$(awk '/VmHWM/ {print int($2 / 1024)}' "/proc/$AGENT/status")
wait_for 30 "nothing waits for the recorder" written
check "none was dropped" [ "$(recorder dropped)" = 0 ]
wait_for 30 "each has its report" reported
wait_for 90 "one summary stands for the messages that were held back" summarised
check "a handful of messages went out before it" [ "$(grep -c 'a human is needed' "$LOG")" -le 10 ]
# The first ones were open before the others fired.
late=$(past "SELECT count(*) FROM incidents WHERE severity = 'warning'
  AND ended_at < (SELECT max(ended_at) FROM incidents WHERE severity = 'error')")
check "the most severe are over first ($late less severe ones before the last of them)" [ "$late" -le $((count / 10)) ]
check "memory stays below $most_memory MiB (peak $peak MiB)" [ "$peak" -lt "$most_memory" ]
printf '%s incidents in %s s, peak memory %s MiB\n' "$count" "$took" "$peak"
stop_agent

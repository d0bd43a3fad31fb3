#!/usr/bin/env bash
# A log over its limit is archived and brought down while its writer goes on writing, and no line gets lost on the way.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

log=$DIR/logs/app.log
mkdir "$DIR/logs"
cat > "$DIR/writer.py" <<'EOF'
"""Appends numbered lines: many at once, then some a second."""
import sys, time

def line(number):
    return f"{number:09} a line of a log, long enough to matter in the end\n".encode()

with open(sys.argv[1], "ab", buffering=0) as log:
    log.write(b"".join(map(line, range(60000))))
    number = 60000
    while True:
        log.write(line(number))
        number += 1
        time.sleep(0.02)
EOF
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.5,
  "watch": {"disks": [], "memory": false, "logs": [{"path": "$DIR/logs/*.log"}, {"path": "$DIR/logs/app.log"}]},
  "allowed_commands": ["@shipped", "archive_log {file:$DIR/logs} [{path:$DIR/logs}]"]
}
EOF
playbooks <<'EOF'
{
  "log_file_large": {
    "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 2},
    "actions": [{"type": "archive_log", "path": "{path}", "keep": 3}],
    "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 5, "retry_interval_seconds": 0.5},
    "cooldown_seconds": 3600
  }
}
EOF
cat > "$DIR/holes.py" <<'EOF'
"""How many numbers are missing between the first and the last line of archive and log together; fails if one stands twice."""
import glob, gzip, sys

numbers = []
for name in sorted(glob.glob(sys.argv[1] + "-*.gz")):
    numbers += [int(line.split()[0]) for line in gzip.open(name, "rt")]
numbers += [int(line.split()[0]) for line in open(sys.argv[1]).read().splitlines(True) if line.endswith("\n")]
assert numbers and numbers[0] == 0 and numbers == sorted(set(numbers)), numbers[:5]
print(numbers[-1] + 1 - len(numbers))
EOF
inode() { stat -c %i "$log"; }
size() { stat -c %s "$log"; }
grown() { [ "$(size)" -gt "$1" ]; }

: > "$log"
before=$(inode)
start_agent
refuted "a small log is no incident" has_report log_file_large
python3 "$DIR/writer.py" "$log" &
writer=$!
PIDS+=("$writer")
need 30 "that it is large is healed, proven and reported" has_report log_file_large "✅ resolved" "path=$log"
check "it is the same file, emptied" [ "$(inode)" = "$before" ]
check "it is small" [ "$(size)" -lt 1000000 ]
now=$(size)
wait_for 10 "its writer goes on writing into it" grown "$((now + 500))"
check "the writer is the same process" kill -0 "$writer"
report=$(reports log_file_large)
check_report "$report"
check "the report says what was archived" section_has "$report" "Actions Taken" "archived"
check "there is one archive" [ "$(find "$DIR/logs" -name 'app.log-*.gz' | wc -l)" = 1 ]
kill -TERM "$writer"
succeeds 5 gone "$writer"
# Between the last look and the truncation a line can fall through; more than one would be a fault.
check "at most one line is missing" [ "$(python3 "$DIR/holes.py" "$log")" -le 1 ]
stop_agent

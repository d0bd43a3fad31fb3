#!/usr/bin/env bash
# The agent is killed with SIGKILL before one system call after the other of a heal, and started again: nothing runs twice, no
# incident gets lost, and what was interrupted says so.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# What runs is told by the line that it leaves. It heals what the playbook is about, and takes its time.
helper heal-once <<'EOS'
#!/bin/sh
echo "$AUTOHEAL_INCIDENT_ID" >> "$1/ran" && sleep 0.1 && : > "$1/app.log"
EOS
table=$DIR/table
COMMAND_PATH=$(command_path)
export COMMAND_PATH
code=0
python3 "$(dirname "$0")/kill_everywhere.py" "$AUTOHEAL" "$DIR" > "$table" 2>&1 || code=$?
cat "$table"
# total COLUMN: what the last line of the table says.
total() { sed -nE "s/^total .*\\b$1=([0-9]+).*/\\1/p" "$table"; }
check "the kills came to their end" [ "$code" = 0 ]
check "at least 200 points were hit" [ "$(total killed)" -ge 200 ]
check "nothing ran twice for one incident" [ "$(total double)" = 0 ]
check "no incident is lost" [ "$(total lost)" = 0 ]
check "whatever was interrupted says so" [ "$(total unreported)" = 0 ]
check "the trouble is over, and each incident and its report say how it ended" [ "$(total unended)" = 0 ]
check "each history is whole" [ "$(total damaged)" = 0 ]

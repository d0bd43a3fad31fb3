#!/usr/bin/env bash
# A question and its answers: yes, no, too late, twice, after the playbook was edited, after a restart, and nobody who was there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

helper heal-it <<EOF
#!/bin/sh
echo "\$AUTOHEAL_INCIDENT_ID \$1" >> "$DIR/ran" && : > "$DIR/app.log"
EOF
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.2,
  "watch": {"disks": [], "memory": false, "logs": [{"path": "$DIR/app.log"}]},
  "allowed_commands": ["@shipped", "heal-it {name}"],
  "command_path": $(command_path)
}
EOF
# ask SECONDS WORD: the playbook; the word is the command's argument.
ask() {
  playbooks <<EOF
{
  "log_file_large": {
    "requires_approval": true,
    "approval_timeout_seconds": $1,
    "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1},
    "actions": [{"type": "shell", "command": "heal-it $2", "timeout_seconds": 20}],
    "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 5, "retry_interval_seconds": 0.2},
    "cooldown_seconds": 0,
    "relapse_seconds": 0,
    "max_attempts": 100
  }
}
EOF
}
# past TIME: now is later than that.
past() { [ "$(date -d "$1" +%s%N)" -lt "$(date +%s%N)" ]; }
# cli COMMAND...: the program as a person uses it.
cli() { "$AUTOHEAL" --config-dir "$CONFIG" --data-dir "$DATA" "$@" < /dev/null; }
incidents() { cli incidents --json | jq -r ".incidents[] | $1"; }
newest() { cli incidents --json | jq -r '.incidents | max_by(.detected_at).id'; }
asked() { [ "$(incidents 'select(.status == "awaiting_approval") | .id' | wc -l)" = 1 ]; }
status_is() { [ "$(incidents "select(.id == \"$1\") | .status")" = "$2" ]; }
# The agent itself has seen that the trouble is over: only then is the next one a new one.
calm() { [ "$(cli status --json | jq -r '[.incidents[], (.targets[].samples[] | select(.value > 1))] | length')" = 0 ]; }
in_force() {
  sha256sum --status -c <<< "$(cli status --json | jq -r .config.playbooks.sha256)  $CONFIG/autoheal-playbooks.json"
}
# ran ID WORD COUNT: how often the incident's action ran, and with which word.
ran() { [ "$(grep -c "^$1 $2\$" "$DIR/ran" || true)" = "$3" ]; }
never_ran() { ! grep -q "^$1 " "$DIR/ran"; }
# exits CODE COMMAND...: the command must end with that code.
exits() {
  local wanted=$1 code=0
  shift
  "$@" || code=$?
  echo "exit code $code"
  [ "$code" = "$wanted" ]
}
# question: trouble, and the id of the incident that asks about it.
question() {
  need 20 "the agent sees that all is well" calm
  head -c 1200000 /dev/zero > "$DIR/app.log"
  need 20 "the agent asks" asked
  id=$(newest)
  check "nothing runs without an answer" never_ran "$id"
}
# The trouble ends by itself, so that no further question comes.
calm_down() {
  : > "$DIR/app.log"
  wait_for 20 "it is calm again, nothing asks" calm
}

: > "$DIR/app.log"
: > "$DIR/ran"
ask 600 first
start_agent

echo "-- yes"
question
check "a yes is taken" exits 0 cli approve "$id" --yes --reason "go on"
wait_for 20 "it is resolved" status_is "$id" resolved
check "it ran once" ran "$id" first 1
check "the report says who" section_has "$DATA"/*"-$id.md" "Timeline" "approved by root"
check "the report says why" section_has "$DATA"/*"-$id.md" "Timeline" "go on"

echo "-- yes twice"
check "the second yes is refused" exits 4 cli approve "$id" --yes
check "it did not run again" ran "$id" first 1

echo "-- no"
question
check "a no is taken" exits 0 cli deny "$id" --yes --reason "not now"
wait_for 20 "it is denied" status_is "$id" denied
check "a yes after the no is refused" exits 4 cli approve "$id" --yes
calm_down
check "it never ran" never_ran "$id"

echo "-- yes after an edit of the playbook"
question
ask 600 second
wait_for 20 "the edit is in force" in_force
check "a yes is taken" exits 0 cli approve "$id" --yes
wait_for 20 "it is resolved" status_is "$id" resolved
check "what ran is what was shown" ran "$id" first 1
check "and nothing else" ran "$id" second 0

echo "-- yes after a restart"
question
stop_agent
start_agent
check "the question is still there" status_is "$id" awaiting_approval
check "nothing ran meanwhile" never_ran "$id"
check "a yes is taken" exits 0 cli approve "$id" --yes
wait_for 20 "it is resolved" status_is "$id" resolved
check "it ran once" ran "$id" second 1

echo "-- yes too late"
stop_agent
ask 1 second
start_agent
question
wait_for 20 "silence is no" status_is "$id" denied
check "a late yes is refused" exits 4 cli approve "$id" --yes
calm_down
check "it never ran" never_ran "$id"

echo "-- expired while the agent was down"
stop_agent
ask 4 second
start_agent
question
deadline=$(cli incidents "$id" --json | jq -r '.incident.approval.deadline')
kill -KILL "$AGENT"
{ wait "$AGENT" || true; } 2> /dev/null
AGENT=
wait_for 20 "the deadline $deadline passes" past "$deadline"
start_agent
wait_for 20 "it is denied" status_is "$id" denied
wait_for 20 "and somebody is told" grep -q "a human is needed.*(incident=$id" "$LOG"
check "a late yes is refused" exits 4 cli approve "$id" --yes
calm_down
check "it never ran" never_ran "$id"
stop_agent

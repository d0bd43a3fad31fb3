#!/usr/bin/env bash
# A playbook file that is saved, in place or by renaming, is in force at once; a bad one changes nothing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# book ID: a file with one playbook that fires at once, does no harm, and leaves a report of its type.
book() {
  cat <<EOF
{
  "$1": {
    "condition": {"metric": "memory_usage", "operator": ">", "threshold": 0},
    "actions": [{"type": "top_processes", "count": 1}],
    "verify": {"metric": "memory_usage", "operator": ">", "threshold": 0, "retry_count": 3, "retry_interval_seconds": 0.2},
    "cooldown_seconds": 3600,
    "relapse_seconds": 0${2:-}
  }
}
EOF
}
in_place() { cat > "$CONFIG/autoheal-playbooks.json"; }
# refused FILE: the log names a line of that file since the last `: > "$LOG"`.
refused() { grep -qE "$1:[0-9]+" "$LOG"; }

settings <<'EOF'
{"dry_run": false, "interval_seconds": 0.3, "watch": {"disks": [], "memory": true}}
EOF
book first | playbooks
start_agent
need 20 "the first file is in force" has_report first "✅ resolved"

book second | in_place
wait_for 10 "a file that was saved in place is in force" has_report second "✅ resolved"
book third | playbooks
wait_for 10 "a file that was renamed into place is in force" has_report third "✅ resolved"

: > "$LOG"
book fourth ', "cooldwon_seconds": 1' | in_place
wait_for 10 "a misspelt key is refused with file and line" refused autoheal-playbooks.json
check "the log says what was meant" grep -q "cooldown_seconds" "$LOG"
: > "$LOG"
book fourth | head -n 5 | playbooks
wait_for 10 "half a file is refused with file and line" refused autoheal-playbooks.json
: > "$LOG"
settings <<'EOF'
{"dry_run": false, "interval_seconds": 0.3, "wacht": {}}
EOF
wait_for 10 "bad settings are refused with file and line" refused autoheal.json
settings <<'EOF'
{"dry_run": false, "interval_seconds": 0.3, "watch": {"disks": [], "memory": true}}
EOF
book fifth | playbooks
wait_for 10 "the next good files are in force" has_report fifth "✅ resolved"
refuted "nothing of a bad file ever was" has_report fourth
check "the agent lives" agent_lives
mkdir "$DIR/elsewhere"
book sixth > "$DIR/elsewhere/playbooks.json"
ln -s "$DIR/elsewhere/playbooks.json" "$CONFIG/.link"
mv -T "$CONFIG/.link" "$CONFIG/autoheal-playbooks.json"
wait_for 10 "a link that was put into place is followed" has_report sixth "✅ resolved"
stop_agent

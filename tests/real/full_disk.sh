#!/usr/bin/env bash
# The agent's own disk is full, has no inodes left, or may not be written: it heals, and nothing is lost once there is room again.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

helper heal-it <<EOF
#!/bin/sh
echo "\$AUTOHEAL_INCIDENT_ID" >> "$DIR/ran" && : > "$DIR/app.log"
EOF
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.2,
  "watch": {"disks": [], "memory": false, "logs": [{"path": "$DIR/app.log"}]},
  "allowed_commands": ["@shipped", "heal-it"],
  "command_path": $(command_path)
}
EOF
playbooks <<'EOF'
{
  "log_file_large": {
    "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1},
    "actions": [{"type": "shell", "command": "heal-it", "timeout_seconds": 20}],
    "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 5, "retry_interval_seconds": 0.2},
    "cooldown_seconds": 0,
    "relapse_seconds": 0
  }
}
EOF

# new_disk OPTIONS: an empty file system becomes the data directory.
new_disk() {
  DATA=$(mktemp -d "$DIR/data-XXXXXX")
  mount -t tmpfs -o "mode=750,$1" autoheal-test "$DATA"
  MOUNTS+=("$DATA")
  : > "$DIR/app.log"
  : > "$DIR/ran"
}
fill() {
  dd if=/dev/zero of="$DATA/fill" bs=4k status=none 2> /dev/null || true
  check "no block is left" [ "$(stat -f -c %a "$DATA")" = 0 ]
}
fill_inodes() {
  local number=0
  while (: > "$DATA/inode-$number") 2> /dev/null; do number=$((number + 1)); done
  check "no inode is left" [ "$(stat -f -c %d "$DATA")" = 0 ]
}
said() { grep -cF -- "$1" "$LOG" || true; }
has_said() { [ "$(said "$1")" -ge "$2" ]; }
healed() { [ "$(wc -l < "$DIR/ran")" = "$1" ] && [ ! -s "$DIR/app.log" ]; }
# trouble_healed COUNT: one after the other, because the first may still find the room that was kept for it.
trouble_healed() {
  local number
  for ((number = 1; number <= $1; number++)); do
    head -c 1200000 /dev/zero > "$DIR/app.log"
    succeeds 20 healed "$number" || break
    succeeds 20 has_said " resolved: " "$number" || break
  done
  check "trouble is healed all the same, $1 times" healed "$1"
  check "the agent says so" has_said " resolved: " "$1"
}

# in_history COUNT: the file itself, and not the agent's memory, has so many incidents, all resolved: those that ran.
in_history() {
  local ids
  ids=$(sqlite3 -readonly "$DATA/history.db" "SELECT id FROM incidents WHERE status = 'resolved' ORDER BY id")
  [ "$(wc -l <<< "$ids")" = "$1" ] && [ "$ids" = "$(sort "$DIR/ran")" ]
}
complete() {
  local report
  has_reports "$1" log_file_large "✅ resolved" || return 1
  while read -r report; do
    section_has "$report" "Actions Taken" "✅ Success" && section_has "$report" "Verification" "✅ Resolved" || return 1
  done <<< "$(reports log_file_large)"
}
# nothing_is_lost COUNT WORDS: after room was made. The words are how the log complained.
nothing_is_lost() {
  local complaints
  wait_for 20 "with room again the history has every incident" in_history "$1"
  wait_for 20 "and each report is complete" complete "$1"
  complaints=$(said "$2")
  check "the log said once that there is no room (was $complaints)" [ "$complaints" = 1 ]
  stop_agent
  check "the history is whole" [ "$(sqlite3 -readonly "$DATA/history.db" 'PRAGMA integrity_check')" = ok ]
  check "nothing was set aside" [ -z "$(find "$DATA" -name '*damaged*')" ]
}

no_history="waits in memory until there is room"
no_reports="waits in memory, with all that follow, until there is room"
echo "-- full while the agent runs"
new_disk size=2m
start_agent
fill
trouble_healed 2
rm "$DATA/fill"
nothing_is_lost 2 "$no_history"

echo "-- full while the agent runs, with a ballast to give up"
new_disk size=8m
start_agent
wait_for 10 "there is a ballast" [ -e "$DATA/ballast" ]
fill
trouble_healed 40
check "the ballast was given up" [ ! -e "$DATA/ballast" ]
rm "$DATA/fill"
nothing_is_lost 40 "$no_history"

echo "-- full before the start"
new_disk size=2m
fill
start_agent
trouble_healed 2
rm "$DATA/fill"
nothing_is_lost 2 "$no_history"

echo "-- no inodes"
new_disk size=2m,nr_inodes=20
start_agent
fill_inodes
trouble_healed 2
rm "$DATA"/inode-*
# The files of the history are there already: only reports need an inode.
nothing_is_lost 2 "$no_reports"

echo "-- read-only for a while"
new_disk size=2m
start_agent
# Whatever is open for writing keeps its file system from becoming read-only, so a read-only one is laid over it: new files cannot be made.
check "the data directory becomes read-only" mount -t tmpfs -o ro,size=64k autoheal-test "$DATA"
trouble_healed 2
check "it becomes writable again" umount "$DATA"
nothing_is_lost 2 "$no_history"

#!/usr/bin/env bash
# `delete_files` stays in its directory: no link is followed, no other mount is entered, not even one of the same file system.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

work=$DIR/work
mkdir -p "$work/sub" "$work/tmpfs" "$work/bind" "$DIR/outside"
mount -t tmpfs -o size=1m autoheal-test "$work/tmpfs"
MOUNTS+=("$work/tmpfs")
mount --bind "$DIR/outside" "$work/bind"
MOUNTS+=("$work/bind")
ln -s "$DIR/outside" "$work/link"
for file in work/old work/sub/old work/tmpfs/old outside/old; do
  echo text > "$DIR/$file"
  touch -d '10 days ago' "$DIR/$file"
done
echo text > "$work/new"
# A million names of a few old files: what counts is how many entries there are.
count=1000000
mkdir "$DIR/million"
mount -t tmpfs -o size=64m,nr_inodes=0 autoheal-test "$DIR/million"
MOUNTS+=("$DIR/million")
python3 - "$DIR/million" "$count" <<'EOF'
import os, sys
directory, count = sys.argv[1], int(sys.argv[2])
for shelf in range(10):
    os.mkdir(f"{directory}/{shelf}")
    first = f"{directory}/{shelf}/0"
    open(first, "w").close()
    os.utime(first, (1, 1))
    for number in range(1, count // 10):
        os.link(first, f"{directory}/{shelf}/{number}")
EOF
settings <<'EOF'
{"dry_run": false, "interval_seconds": 0.3, "watch": {"disks": [], "memory": true}}
EOF
playbooks <<EOF
{
  "clean": {
    "condition": {"metric": "memory_usage", "operator": ">", "threshold": 0},
    "actions": [{"type": "delete_files", "directory": "$work", "older_than_days": 7}],
    "verify": {"metric": "memory_usage", "operator": ">", "threshold": 0, "retry_count": 3, "retry_interval_seconds": 0.2},
    "cooldown_seconds": 3600,
    "relapse_seconds": 0
  },
  "million": {
    "condition": {"metric": "memory_usage", "operator": ">", "threshold": 100},
    "actions": [{"type": "delete_files", "directory": "$DIR/million", "older_than_days": 7, "timeout_seconds": 60}],
    "verify": {"metric": "memory_usage", "operator": ">", "threshold": 0, "retry_count": 0},
    "relapse_seconds": 0
  }
}
EOF
start_agent
need 20 "the directory is cleaned" has_report clean "✅ resolved"
check "old files are gone" [ ! -e "$work/old" ]
check "below it too" [ ! -e "$work/sub/old" ]
check "a new one is still there" [ -e "$work/new" ]
check "one on another file system is still there" [ -e "$work/tmpfs/old" ]
check "one behind a bind mount and a link is still there" [ -e "$DIR/outside/old" ]
check "the report counts" section_has "$(reports clean "✅ resolved" | head -n 1)" "Actions Taken" "deleted 2 files"

peak() { awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$AGENT/status"; }
before=$(peak) start=$SECONDS
"$AUTOHEAL" heal million --force --config-dir "$CONFIG" --data-dir "$DATA" > "$DIR/heal.out" 2>&1 || true
echo "     $count files in $((SECONDS - start)) s, the most memory before and after: $before and $(peak) MiB"
check "a million files are deleted" grep -q "deleted $count files" "$DATA"/*.md
check "none is left" [ -z "$(find "$DIR/million" -type f -print -quit)" ]
check "memory does not grow with their number" [ "$(peak)" -le $((before + 8)) ]
stop_agent

#!/usr/bin/env bash
# A file system that is over 90 % full is cleaned by `find … -delete`, and by nothing more than that.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

full=$DIR/full
mkdir "$full"
mount -t tmpfs -o size=64m,mode=755 autoheal-test "$full"
MOUNTS+=("$full")
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.5,
  "watch": {"disks": [{"mount": "$full"}], "memory": false}
}
EOF
playbooks <<'EOF'
{
  "disk_space_low": {
    "severity": "critical",
    "condition": {"metric": "disk_usage", "operator": ">", "threshold": 90},
    "actions": [{"type": "shell", "description": "Delete temporary files", "command": "find {mount} -xdev -type f -name '*.tmp' -delete"}],
    "verify": {"metric": "disk_usage", "operator": "<", "threshold": 85, "retry_count": 10, "retry_interval_seconds": 0.2},
    "cooldown_seconds": 3600
  }
}
EOF
usage() { df --output=pcent "$full" | tail -n 1 | tr -dc 0-9; }

mkdir "$full/deep"
head -c 4M /dev/zero > "$full/keep.dat"
start_agent
refuted "an empty file system is no incident" has_report disk_space_low
head -c 30M /dev/zero > "$full/one.tmp"
head -c 28M /dev/zero > "$full/deep/two.tmp"
check "it is over 90 % full" [ "$(usage)" -gt 90 ]
need 20 "that is healed, proven and reported" has_report disk_space_low "✅ resolved" "mount=$full"
check "it is under 85 % now" [ "$(usage)" -lt 85 ]
check "what was meant is gone" [ -z "$(find "$full" -name '*.tmp')" ]
check "what was not meant is still there" [ "$(stat -c %s "$full/keep.dat")" = 4194304 ]
report=$(reports disk_space_low)
check_report "$report"
check "the report has one line with the trigger" grep -qE '^- \*\*Trigger\*\*: disk_usage > 90 \(was 9[0-9.]+\)$' "$report"
check "the report shows the command with the mount in it" section_has "$report" "Actions Taken" "$full -xdev -type f -name"
stop_agent

#!/usr/bin/env bash
# Actions that will not end: each is over within its limit and the seven seconds that ending takes at most, and leaves nothing.
# The agent may make control groups.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

limit=2 grace=7 most_memory=64
helper hang <<'EOF'
#!/bin/sh
# hang MARK
exec sleep "$1"
EOF
helper ignore-term <<'EOF'
#!/usr/bin/python3
"""ignore-term MARK"""
import signal, time
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    time.sleep(1)
EOF
helper leave-grandchild <<'EOF'
#!/usr/bin/python3
"""leave-grandchild MARK: one in a session of its own, whose parent is gone, holds the pipe and ignores TERM."""
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(1)
    os._exit(0)
time.sleep(3600)
EOF
helper print-without-end <<'EOF'
#!/usr/bin/python3
"""print-without-end MARK: into both pipes, as fast as they take it."""
import os
text = b"a line that nobody will read to its end\n" * 1000
while True:
    os.write(1, text)
    os.write(2, text)
EOF
helper run-away <<'EOF'
#!/usr/bin/python3
"""run-away MARK: somebody who is somebody else, in a session of his own, whenever one looks."""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    time.sleep(3600)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
EOF
kinds=(hang ignore-term leave-grandchild print-without-end run-away)
# Each process of an action has this in its command line.
mark=7654321
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.2,
  "watch": {"disks": [], "memory": false, "logs": [{"path": "$DIR/*.big"}]},
  "allowed_commands": ["@shipped"$(printf ', "%s {int}"' "${kinds[@]}")],
  "command_path": $(command_path)
}
EOF
playbook() {
  cat <<EOF
"stubborn_$1": {
  "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1, "where": {"path": ["$DIR/$2.big"]}},
  "actions": [{"type": "shell", "command": "$2 $mark", "timeout_seconds": $limit}],
  "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 0},
  "cooldown_seconds": 3600
}
EOF
}
{
  echo "{"
  for number in "${!kinds[@]}"; do
    [ "$number" = 0 ] || echo ","
    playbook "$number" "${kinds[number]}"
  done
  echo "}"
} | playbooks
running() { pgrep -f -- "$HELPERS/.* $mark|sleep $mark"; }
none_runs() { ! running; }
# peak: the most memory that the agent ever had, in MiB.
peak() { awk '/^VmHWM:/ {print int($2 / 1024)}' "/proc/$AGENT/status"; }

# A control group for this script, and so for the agent, in the hierarchy of version 2.
unified=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
if [ -z "$unified" ]; then
  unified=$DIR/unified
  mkdir "$unified"
  mount -t cgroup2 autoheal-test "$unified"
  MOUNTS+=("$unified")
fi
group=$unified/autoheal-test-$$
mkdir "$group"
leave_group() {
  echo "$$" > "$unified/cgroup.procs"
  rmdir "$group"
}
trap 'code=$?; [ ! -d "$group" ] || { end "$AGENT"; AGENT=; leave_group; } || true; finish "$code"' EXIT
echo "$$" > "$group/cgroup.procs"
groups_of_actions() { find "$group" -mindepth 1 -type d; }
has_group() { [ -n "$(groups_of_actions)" ]; }
has_no_group() { ! has_group; }

start_agent
check "it says that actions get control groups" grep -q "actions run as .*in control groups of their own" "$LOG"
printf '%-20s %10s %10s\n' action "ended after" "agent MiB"
for number in "${!kinds[@]}"; do
  kind=${kinds[number]} playbook=stubborn_$number
  head -c 1200000 /dev/zero > "$DIR/$kind.big"
  need 20 "$kind: it runs" running
  begin=$(date +%s%N)
  check "$kind: it has a control group" has_group
  wait_for "$((limit + grace + 3))" "$kind: nothing of it is left" none_runs
  took=$((($(date +%s%N) - begin) / 1000000))
  check "$kind: it took its limit and at most $grace s" [ "$took" -le "$(((limit + grace) * 1000))" ]
  wait_for 20 "$kind: it is escalated" has_report "$playbook" "❌ escalated"
  report=$(reports "$playbook" "❌ escalated")
  check "$kind: the report says that it timed out" section_has "$report" "Actions Taken" "timed out after $limit s"
  check "$kind: the report is no heap of output" [ "$(stat -c %s "$report")" -lt 200000 ]
  check "$kind: the agent stays small ($(peak) MiB)" [ "$(peak)" -lt "$most_memory" ]
  check "$kind: no control group is left" has_no_group
  check "$kind: no zombie is left" [ -z "$(pgrep -r Z -P "$AGENT")" ]
  printf '%-20s %8d ms %10s\n' "$kind" "$took" "$(peak)"
done
stop_agent
leave_group

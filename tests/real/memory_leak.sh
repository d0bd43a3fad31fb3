#!/usr/bin/env bash
# Of two processes that are over their memory limit, the one that the settings call restartable is restarted, the other is not.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cat > "$DIR/leak.py" <<'EOF'
"""Writes its process id to a file and holds as many MiB as it is told."""
import os, sys, time

kept = bytearray(int(sys.argv[2]) << 20)
for page in range(0, len(kept), 4096):
    kept[page] = 1
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
while True:
    time.sleep(1)
EOF
python=$(python3 -c 'import sys; print(sys.executable)')
for name in leaky precious; do
  PIDFILES+=("$DIR/$name.pid")
  python3 "$DIR/leak.py" "$DIR/$name.pid" 300 &
  PIDS+=($!)
done
# The healed one holds little. The number is written by the daemon itself.
helper restart-toy <<EOF
#!/bin/sh
set -e
kill -KILL "\$(cat $DIR/\$1.pid)"
setsid $python $DIR/leak.py $DIR/\$1.pid 10 < /dev/null > /dev/null 2>&1 &
EOF
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.5,
  "watch": {
    "disks": [], "memory": true,
    "processes": [
      {"name": "leaky", "match": {"pidfile": "$DIR/leaky.pid"}, "service": "leaky", "restartable": true},
      {"name": "precious", "match": {"pidfile": "$DIR/precious.pid"}, "service": "precious", "restartable": false}
    ]
  },
  "command_path": $(command_path),
  "services": {"leaky": {"restart": "restart-toy leaky"}, "precious": {"restart": "restart-toy precious"}}
}
EOF
playbooks <<'EOF'
{
  "memory_leak": {
    "severity": "error",
    "condition": "memory_usage > 0 && process_memory_mb > 200",
    "actions": [
      {"type": "top_processes", "by": "memory", "count": 5},
      {"type": "service_restart", "service": "{process_name}"}
    ],
    "verify": {"metric": "process_memory_mb", "operator": "<", "threshold": 100, "retry_count": 20, "retry_interval_seconds": 0.3},
    "cooldown_seconds": 3600
  }
}
EOF
need 20 "one process is large" runs "$DIR/leaky.pid"
need 20 "another is too" runs "$DIR/precious.pid"
leaky=$(cat "$DIR/leaky.pid") precious=$(cat "$DIR/precious.pid")
start_agent
need 30 "the restartable one is healed, proven and reported" has_report memory_leak "✅ resolved" process_name=leaky
renewed() { [ "$(cat "$DIR/leaky.pid")" != "$leaky" ]; }
wait_for 10 "it is another process" renewed
wait_for 10 "that runs" runs "$DIR/leaky.pid"
report=$(reports memory_leak "" process_name=leaky)
check_report "$report"
check "the largest processes are recorded" section_has "$report" "Actions Taken" "$leaky"
refuted "but not their arguments" grep -q leak.py <<< "$(section "$report" "Actions Taken" | grep -v 'Command')"

# Escalated, or exhausted at once, because trying again would not help.
need 30 "the other ends as a failure" has_report memory_leak "❌ e" process_name=precious
check "it is the same process" [ "$(cat "$DIR/precious.pid")" = "$precious" ]
check "that still runs" runs "$DIR/precious.pid"
report=$(reports memory_leak "❌ e" process_name=precious)
check "the report says why" grep -q "not restartable" "$report"
stop_agent
check "the restarted process outlives the agent" runs "$DIR/leaky.pid"

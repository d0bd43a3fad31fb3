#!/usr/bin/env bash
# A server that was started by a `services` mapping is killed with -9 and runs again, proven, as often as it happens.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

port=$(free_port)
pidfile=$DIR/nginx.pid
PIDFILES+=("$pidfile")
cat > "$DIR/nginx.conf" <<EOF
daemon on;
worker_processes 1;
pid $pidfile;
events {}
http { access_log off; server { listen 127.0.0.1:$port; location / { return 200 "ok\n"; } } }
EOF
start="nginx -e $DIR/nginx.log -c $DIR/nginx.conf"
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.2,
  "watch": {
    "disks": [], "memory": false,
    "processes": [{"name": "web", "match": {"pidfile": "$pidfile"}, "service": "web"}]
  },
  "command_path": $(command_path),
  "services": {"web": {"restart": "$start", "start": "$start"}}
}
EOF
playbooks <<'EOF'
{
  "process_down": {
    "severity": "critical",
    "condition": {"metric": "process_status", "operator": "==", "value": "stopped"},
    "actions": [{"type": "service_restart", "service": "{process_name}", "timeout_seconds": 20}],
    "verify": {"metric": "process_status", "operator": "==", "value": "running", "retry_count": 20, "retry_interval_seconds": 0.2},
    "cooldown_seconds": 0,
    "relapse_seconds": 0
  }
}
EOF
answers() { curl -fsS --max-time 2 "http://127.0.0.1:$port/"; }
# The workers of a killed master would keep the port, so the whole group is killed.
kill_it() { kill -KILL -- "-$(cat "$pidfile")"; }

$start
need 10 "nginx answers" answers
start_agent
refuted "nothing is wrong, nothing is reported" has_report process_down

old=$(cat "$pidfile")
kill_it
need 20 "its death is healed, proven and reported" has_report process_down "✅ resolved" process_name=web
check "nginx answers again" answers
check "it is another process" [ "$(cat "$pidfile")" != "$old" ]
report=$(reports process_down | head -n 1)
check_report "$report"
check "the report shows the command" section_has "$report" "Actions Taken" "nginx.conf"
check "the report shows its success" section_has "$report" "Actions Taken" "✅ Success (exit 0"
check "the report shows the proof" section_has "$report" "Verification" "✅ Resolved"

kill_it
wait_for 20 "the second death is healed too" has_reports 2 process_down "✅ resolved"
stop_agent
check "the healed server outlives the agent" answers

#!/usr/bin/env bash
# What a quiet host costs: six kinds of checks each second make few system calls and start no process. And a process that dies is
# healed at once, however far away the next look is.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

MOST_CALLS=80 # a cycle

web=$(free_port)
tls=$(free_port)
while [ "$tls" = "$web" ]; do tls=$(free_port); done
PIDFILES+=("$DIR/nginx.pid" "$DIR/victim.pid")
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout "$DIR/key.pem" -out "$DIR/cert.pem" 2> /dev/null
cat > "$DIR/nginx.conf" <<EOF
daemon on;
worker_processes 1;
pid $DIR/nginx.pid;
events {}
http {
  access_log $DIR/access.log;
  server { listen 127.0.0.1:$web; location / { return 200 "ok\n"; } }
  server { listen 127.0.0.1:$tls ssl; ssl_certificate $DIR/cert.pem; ssl_certificate_key $DIR/key.pem; location / { return 200 "ok\n"; } }
}
EOF
nginx -e "$DIR/nginx.log" -c "$DIR/nginx.conf"
for name in one two; do
  sleep 3600 &
  PIDS+=("$!")
  echo "$!" > "$DIR/$name.pid"
done
# Started by nobody's child: a dead process must not be told from its zombie.
helper start-victim <<EOF
#!/bin/sh
setsid sleep 3600 < /dev/null > /dev/null 2>&1 &
echo \$! > $DIR/victim.pid
EOF
"$HELPERS/start-victim"
echo log > "$DIR/app.log"

settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 1,
  "watch": {
    "disks": [{"mount": "/"}], "memory": true,
    "processes": [
      {"name": "nginx", "match": {"pidfile": "$DIR/nginx.pid"}},
      {"name": "one", "match": {"pidfile": "$DIR/one.pid"}},
      {"name": "two", "match": {"pidfile": "$DIR/two.pid"}},
      {"name": "victim", "match": {"pidfile": "$DIR/victim.pid"}, "interval_seconds": 3600}
    ],
    "endpoints": [{"name": "web", "url": "http://127.0.0.1:$web/"}],
    "certificates": [{"name": "tls", "host": "127.0.0.1", "port": $tls, "server_name": "localhost", "ca_file": "$DIR/cert.pem", "interval_seconds": 1}],
    "logs": [{"path": "$DIR/app.log"}]
  },
  "allowed_commands": ["@shipped", "start-victim"],
  "command_path": $(command_path),
  "services": {"victim": {"restart": "start-victim"}}
}
EOF
playbooks <<'EOF'
{
  "disk_space_low": {"condition": "disk_usage > 99.9", "actions": []},
  "memory_high": {"condition": "memory_usage > 99.9", "actions": []},
  "process_down": {
    "condition": "process_status == stopped",
    "actions": [{"type": "service_restart", "service": "{process_name}"}],
    "verify": {"metric": "process_status", "operator": "==", "value": "running", "retry_count": 20, "retry_interval_seconds": 0.3}
  },
  "api_slow": {"condition": "api_latency_ms > 5000", "actions": []},
  "ssl_expiring": {"condition": "ssl_expires_in_days < 14", "actions": []},
  "log_file_large": {"condition": "log_file_size_mb > 100", "actions": []}
}
EOF

cycles() { wc -l < "$DIR/access.log"; }
cycles_are() { [ "$(cycles)" -ge "$1" ]; }
start_agent
need 30 "the endpoint is looked at each second" cycles_are 5

before=$(cycles)
strace -f -c -U calls,name -p "$AGENT" -o "$DIR/calls" 2> "$DIR/strace.log" &
tracer=$!
PIDS+=("$tracer")
need 60 "twenty cycles are counted" cycles_are $((before + 20))
kill -INT "$tracer"
wait "$tracer" || true
counted=$(($(cycles) - before))
calls=$(awk '$2 == "total" {print $1}' "$DIR/calls")
cat "$DIR/calls"
check "a cycle makes at most $MOST_CALLS system calls ($calls in $counted cycles)" [ "$calls" -le $((counted * MOST_CALLS)) ]
check "every kind of check was made" grep -qE 'statfs|statvfs' "$DIR/calls"
refuted "no process is started" grep -qE 'fork|execve|wait4|waitid' "$DIR/calls"
# Where the machine is busy a check takes long, and the pool may start another thread for what waits behind it. Not for each cycle.
started=$(awk '$2 ~ /^clone/ {print $1}' "$DIR/calls")
check "hardly a thread is started (${started:-0} in $counted cycles)" [ "${started:-0}" -le 3 ]

kill -KILL "$(cat "$DIR/victim.pid")"
wait_for 20 "a dead process is healed though its next look is an hour away" has_report process_down resolved victim
check "it runs again" runs "$DIR/victim.pid"
refuted "nothing else happened" has_report process_down resolved nginx
stop_agent

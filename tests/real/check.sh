#!/usr/bin/env bash
# `check` on a host that does not answer, that is crowded, or that may not be seen: within seconds, and it says what it could not see.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

chmod 755 "$DIR"
cp "$AUTOHEAL" "$DIR/autoheal"
playbooks <<'EOF'
{
  "disk": {"condition": "disk_usage > 99.9%", "actions": []},
  "down": {"condition": "process_status == stopped", "actions": []},
  "slow": {"condition": "api_latency_ms > 2000", "actions": []},
  "log": {"condition": "log_file_size_mb > 1000", "actions": []}
}
EOF

# checked SECONDS WHAT COMMAND...: a check ends with 0 within that time; its output is in $DIR/out.
checked() {
  local limit=$1 what=$2 began=$SECONDS took
  shift 2
  check "$what ends well" timeout -s KILL 60 "$@" --config-dir "$CONFIG" --color never check
  cp "$DIR/check.out" "$DIR/out"
  took=$((SECONDS - began))
  check "within $limit s (took $took s)" [ "$took" -le "$limit" ]
}
# says WHAT TEXT: the last check said so.
says() { check "$1" grep -qF -- "$2" "$DIR/out"; }

# A server that accepts and never answers, and a dead mount.
PORT=$(free_port)
cat > "$DIR/silent.py" <<'EOF'
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
held = []
while True:
    held.append(listener.accept())
EOF
python3 "$DIR/silent.py" "$PORT" &
PIDS+=($!)
need 10 "the silent server listens" on_tcp "$PORT"
DEAD=$DIR/dead
mkdir "$DEAD"
if [ -e /dev/fuse ]; then
  python3 "$(dirname "$0")/dead_mount.py" "$DEAD" > "$DIR/mount.out" 2>&1 &
  PIDS+=($!)
  need 10 "a dead file system is mounted" grep -q mounted "$DIR/mount.out"
  MOUNTS+=("$DEAD")
  settings <<EOF
{"watch": {
  "disks": [{"mount": "/"}, {"mount": "$DEAD"}],
  "endpoints": [{"name": "silent", "url": "http://127.0.0.1:$PORT/", "timeout_seconds": 60}],
  "processes": [{"name": "pidfile", "match": {"pidfile": "$DEAD/pid"}}, {"name": "exe", "match": {"exe": "$DEAD/bin/web"}}],
  "logs": [{"path": "$DEAD/*.log"}, {"path": "$DEAD/one.log"}]
}}
EOF
  checked 15 "a check with a dead mount" "$AUTOHEAL"
  says "the mount is not measured" "mount=$DEAD: no answer within 5 s"
  says "the endpoint is not measured" "endpoint=silent, host=127.0.0.1: no answer within 5 s"
  says "the log is not measured" "path=$DEAD/one.log: no answer within 5 s"
  says "nor can the glob be" "no answer in time: files that match $DEAD/*.log"
  says "the pid file is not looked at" "which processes pidfile means cannot be seen"
  says "nor is the executable" "which processes exe means cannot be seen"
  says "the other disk is measured" "mount=/ "
  began=$SECONDS
  refuted "a configuration on the dead mount is no success" timeout -s KILL 60 "$AUTOHEAL" --config-dir "$DEAD" check
  cp "$DIR/check.out" "$DIR/out"
  check "and is given up within seconds" [ $((SECONDS - began)) -le 15 ]
  says "with the reason" "does not answer"
fi

# Thousands of processes, and a shell that has the command in its own line.
cat > "$DIR/crowd.py" <<'EOF'
import os, signal, subprocess, sys
sleep = ["sleep", sys.argv[2]]
crowd = [subprocess.Popen(sleep) for _ in range(int(sys.argv[1]))]
shell = subprocess.Popen(["sh", "-c", " ".join(sleep) + " & wait"], start_new_session=True)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("all run", flush=True)
signal.sigwait([signal.SIGTERM])
os.killpg(shell.pid, signal.SIGKILL)
for one in crowd:
    one.kill()
EOF
python3 "$DIR/crowd.py" 3000 "98765.$$" > "$DIR/crowd.out" &
CROWD=$!
PIDS+=("$CROWD")
need 60 "3000 processes run" grep -q "all run" "$DIR/crowd.out"
settings <<EOF
{"watch": {"disks": [], "logs": [], "processes": [{"name": "crowd", "match": {"pattern": "sleep 98765[.]$$"}}]}}
EOF
checked 15 "a check of a crowd" "$AUTOHEAL"
says "the shell is another program" "several_programs"
says "and all are counted" "sleep (3001 processes)"
end "$CROWD"

# As a user who may not look, without a network.
mkdir -m 700 "$DIR/private"
touch "$DIR/private/app.log"
settings <<EOF
{"watch": {
  "disks": [{"mount": "/"}],
  "endpoints": [{"name": "away", "url": "http://autoheal-test.invalid/"}],
  "processes": [{"name": "hidden", "match": {"pidfile": "$DIR/private/pid"}}],
  "logs": [{"path": "$DIR/private/*.log"}, {"path": "$DIR/private/app.log"}]
}}
EOF
checked 15 "a check by an ordinary user without a network" \
  unshare --net setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/autoheal"
says "the pid file may not be read" "$DIR/private/pid cannot be read: permission denied"
says "the log may not be read" "path=$DIR/private/app.log: permission denied"
says "the directory may not be read" "may not be read everywhere: files that match $DIR/private/*.log"
says "the endpoint is down, and so the condition holds" "): the condition holds now"

#!/usr/bin/env bash
# What another manager or a person does is respected, under a real systemd as PID 1: units that systemd restarts itself, that
# fail, that a person stops, masks or restarts, and those whose start limit was hit.
set -euo pipefail
. "$(dirname "$0")/machine.sh"

repository=$(cd "$(dirname "$0")/../.." && pwd)

# unit NAME [LINE...]: a service that runs `sleep` with a number of its own, and more lines of its section [Service].
number=0
unit() {
  local name=$1
  shift
  number=$((number + 1))
  {
    printf '[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=600\n[Service]\nExecStart=/bin/sleep 86400.%s\n' "$number"
    printf '%s\n' "$@"
  } > "$root/usr/lib/systemd/system/$name.service"
}
unit_property() { inside systemctl show -p "$2" --value "$1"; }
# seen_from_here PID: the number of a process of the machine among this machine's own.
seen_from_here() {
  local process space
  space=$(readlink "/proc/$(leader)/ns/pid")
  for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/ns/pid" 2> /dev/null)" = "$space" ] && grep -qsE "^NSpid:.*[[:space:]]$1\$" "$process/status"; then
      basename "$process"
    fi
  done
}
main_pid() { unit_property "$1" MainPID; }
# main_pid_seen NAME: its number among this machine's own processes.
main_pid_seen() { seen_from_here "$(in_machine "cat /sys/fs/cgroup/system.slice/$1.service/cgroup.procs")"; }
kill_main() {
  killed=$(main_pid "$1")
  [ "$killed" != 0 ] && inside kill -KILL "$killed"
}
# again NAME: it runs, under another process than the one that was killed.
again() {
  local pid
  pid=$(main_pid "$1")
  [ "$pid" != 0 ] && [ "$pid" != "$killed" ] && unit_is "$1" active
}
# said NAME: what the agent last measured of the process.
said() { inside autoheal status --json | jq -r ".targets[] | select(.labels.process_name == \"$1\") | .samples[] | select(.metric == \"process_status\") | \"\(.value) \(.reason)\""; }
age() { inside autoheal status --json | jq -r ".targets[] | select(.labels.process_name == \"$1\") | .samples[] | select(.metric == \"process_status\") | .age_seconds"; }
# says NAME PATTERN
says() { said "$1" | grep -qx -- "$2"; }
unit_status() { inside autoheal status --json | jq -r ".targets[].samples[] | select(.metric == \"unit_status\" and .labels.unit == \"$1\") | .value"; }
unit_status_is() { [ "$(unit_status "$1")" = "$2" ]; }
# incidents NAME [STATUS]: how many there are of the process.
incidents() { machine_reports process_down "${2:-}" "process_name=$1" | wc -l; }
incidents_are() { [ "$(incidents "$1" "$3")" = "$2" ]; }
watched() { printf '{"name": "%s", "match": {"unit": "%s.service"}%s},\n' "$1" "$1" "${2:-}"; }

has_trouble() { [ "$(incidents "$1")" -ge 1 ]; }

boot
install -m 644 "$repository/packaging/systemd/autoheal.service" "$root/etc/systemd/system/autoheal.service"
install -m 755 "$AUTOHEAL" "$root/usr/local/bin/autoheal"
unit always Restart=always RestartSec=2
unit plain
unit forgotten
unit kept
unit stubborn
unit masked
unit limited Restart=always RestartSec=0
unit wanted
unit slow 'ExecStartPre=/bin/sh -c "! test -e /run/slow || sleep 4"'
unit broken 'ExecStartPre=/bin/sh -c "! test -e /run/broken"'
# Ends with 1 when it is told to end.
unit grumpy 'ExecStart=' 'ExecStart=/bin/sh -c "trap \"exit 1\" TERM; while :; do sleep 0.05; done"'
program announcer <<'END'
#!/usr/bin/python3
"""Tells systemd that it stops before it does, as many daemons do: by TERM with 0, by USR1 with 3."""
import os, signal, socket, sys, time
def say(text):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text, os.environ["NOTIFY_SOCKET"])
def stop(number, frame):
    say(b"STOPPING=1")
    time.sleep(0.05)
    sys.exit(0 if number == signal.SIGTERM else 3)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGUSR1, stop)
say(b"READY=1")
while True:
    time.sleep(1)
END
unit announcer Type=notify ExecStart= ExecStart=/usr/local/bin/announcer
# What something refers to is not forgotten when it is down: then its times tell, else the journal does.
mkdir -p "$root/etc/systemd/system/basic.target.wants"
ln -s /usr/lib/systemd/system/kept.service "$root/etc/systemd/system/basic.target.wants/kept.service"
mkdir -p "$root/etc/autoheal"
names="always plain forgotten kept masked limited wanted slow broken grumpy announcer"
{
  echo '{"dry_run": false, "interval_seconds": 0.5, "watch": {"disks": [], "memory": false, "processes": ['
  for name in $names; do watched "$name"; done
  watched stubborn ', "respect_manual_stop": false' | sed 's/,$//'
  echo ']}}'
} > "$root/etc/autoheal/autoheal.json"
cat > "$root/etc/autoheal/autoheal-playbooks.json" <<'EOF2'
{
  "process_down": {
    "condition": {"metric": "process_status", "operator": "==", "value": "stopped"},
    "actions": [{"type": "service_restart", "service": "{process_name}"}],
    "verify": {"metric": "process_status", "operator": "==", "value": "running", "retry_count": 20, "retry_interval_seconds": 0.3},
    "cooldown_seconds": 0, "relapse_seconds": 0, "max_attempts": 100
  }
}
EOF2
inside systemctl daemon-reload
for name in $names stubborn; do inside systemctl start "$name"; done
need 40 "the agent starts" inside timeout 30 systemctl start autoheal
for name in $names stubborn; do wait_for 10 "$name is seen running" says "$name" "running null"; done
wait_for 5 "unit_status says what systemd says" unit_status_is plain.service active

# The agent at rest: no program, and hardly a question to systemd.
timeout 10 strace -f -qq -e trace=execve,connect -o "$DIR/strace" -p "$(seen_from_here "$(property MainPID)")" || true
check "a host that is well costs no program" bash -c "! grep -q execve '$DIR/strace'"
check "and each unit at most one question in half a minute ($(grep -c systemd/private "$DIR/strace" || true) in 10 s)" \
  [ "$(grep -c systemd/private "$DIR/strace" || true)" -le 12 ]

kill_main always
wait_for 5 "a unit that systemd restarts is unknown meanwhile" says always "null unit always.service waits for its automatic restart"
wait_for 10 "systemd restarts it" again always
wait_for 5 "it is seen running" says always "running null"
check "once" [ "$(unit_property always NRestarts)" = 1 ]
check "and no incident is made of it" incidents_are always 0 ""

begin=$(date +%s%N)
kill_main plain
need 20 "a unit that systemd does not restart is healed" again plain
echo "     it took $((($(date +%s%N) - begin) / 1000000)) ms"
wait_for 10 "and that is on record" incidents_are plain 1 resolved
report=$(machine_reports process_down resolved process_name=plain)
check "its failed state was reset, and the report says so" section_has "$report" "Actions Taken" "systemctl reset-failed plain.service: done"

for name in forgotten kept grumpy announcer; do
  inside systemctl stop "$name"
  wait_for 10 "$name was stopped by a person: one suppressed incident" incidents_are "$name" 1 suppressed
  check "which says so" grep -q "stopped by a person" "$(machine_reports process_down suppressed "process_name=$name")"
  check "the measurement says so too" says "$name" "stopped stopped by a person.*"
done
check "without a reference systemd has forgotten the times" [ "$(unit_property forgotten ExecMainExitTimestampMonotonic)" = 0 ]
inside systemctl kill -s KILL plain
wait_for 20 "a kill is no stop: it is healed" incidents_are plain 2 resolved
inside systemctl restart autoheal
wait_for 10 "the agent starts again" says plain "running null"
sleep 3
for name in forgotten kept grumpy announcer; do
  check "$name has one incident, also after a restart of the agent" incidents_are "$name" 1 ""
  refuted "and was not started" unit_is "$name" active
done
for name in forgotten kept grumpy; do
  inside systemctl start "$name"
  wait_for 5 "$name was started by a person" says "$name" "running null"
  kill_main "$name"
  wait_for 20 "when it fails then, it is healed" again "$name"
done
# Nobody sees it run in between.
inside systemctl start announcer
inside systemctl kill -s USR1 announcer
wait_for 20 "a daemon that announces its end and fails is healed" again announcer
inside systemctl kill -s TERM announcer
wait_for 20 "also when it ends with 0" incidents_are announcer 2 resolved

inside systemctl stop kept
wait_for 10 "a second stop is another incident" incidents_are kept 2 suppressed
check "who asks for a heal by hand gets it" inside autoheal heal process_down --label process_name=kept
check "and it runs" unit_is kept active

inside systemctl mask --now masked
wait_for 10 "a masked unit: one suppressed incident" incidents_are masked 1 suppressed
check "which says so" grep -q "masked.service is masked" "$(machine_reports process_down suppressed process_name=masked)"

inside systemctl stop stubborn
wait_for 20 "with respect_manual_stop: false a stopped unit is restarted" incidents_are stubborn 1 resolved
wait_for 5 "it runs" unit_is stubborn active

begin=$(unit_property limited NRestarts)
for _ in 1 2 3 4; do
  kill_main limited || true
  sleep 0.3
done
wait_for 30 "a unit whose start limit was hit is healed" incidents_are limited 1 resolved
check "after a reset of its counter" section_has "$(machine_reports process_down resolved process_name=limited)" "Actions Taken" "reset-failed limited.service: done"
check "and runs" unit_is limited active

in_machine "touch /run/slow"
inside systemctl restart slow
wait_for 5 "a restart by a person takes its time" says slow "running null"
check "and no incident is made of it" incidents_are slow 0 ""
in_machine "touch /run/broken"
inside systemctl restart broken || true
wait_for 20 "a restart by a person whose start fails is trouble" has_trouble broken
in_machine "rm /run/broken"
wait_for 30 "and healed" unit_is broken active

# Nobody answers: PID 1 is stopped from outside.
init=$(leader)
kill -STOP "$init"
killed=$(main_pid_seen wanted)
kill -KILL "$killed"
wait_for 10 "while PID 1 hangs, a process that died is unknown" says wanted "null unit wanted.service: systemd does not answer"
sleep 3
check "and stays so" says wanted "null unit wanted.service: systemd does not answer"
check "everything else is measured as before ($(age plain) s ago)" [ "$(age plain | cut -d . -f 1)" = 0 ]
kill -CONT "$init"
wait_for 30 "when PID 1 goes on, it is healed" incidents_are wanted 1 resolved

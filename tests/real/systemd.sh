#!/usr/bin/env bash
# The unit file under a real systemd as PID 1: a throw-away machine made of this machine's own files (systemd-nspawn over an
# overlay whose upper half is in memory). READY, STATUS, hardening, a unit that is killed and healed, a daemon that outlives the
# agent, actions in transient units that hang or lose the agent or their client, a clean stop.
set -euo pipefail
. "$(dirname "$0")/machine.sh"

repository=$(cd "$(dirname "$0")/../.." && pwd)
kill_daemon() { in_machine "kill -KILL \$(cat /run/daemon.pid)"; }
daemon_lives() { in_machine "kill -0 \$(cat /run/daemon.pid)"; }
# matching WORD: processes in the machine whose command line holds it.
matching() { inside pgrep -f -- "$1"; }
nothing_matches() { ! matching "$1"; }
# hangs MARK: the program itself, not the client that asks for it, and its grandchild.
hangs() { in_machine "test -e /run/stubborn.$1" && matching "^/usr/bin/python3 .*stubborn $1"; }
# as_unit PID_FILE: the process lives in the unit of an action, not in the agent's.
as_unit() { in_machine "grep -q system.slice/autoheal-action- /proc/\$(cat $1)/cgroup && ! grep -q autoheal.service /proc/\$(cat $1)/cgroup"; }
loaded_units() { inside systemctl list-units --all --no-legend --plain 'autoheal-action-*' | wc -l; }
units_loaded() { [ "$(loaded_units)" = "$1" ]; }
# trouble NAME: a log that is too large, for which the action of that name runs.
trouble() { head -c 1200000 /dev/zero > "$root/var/log/$1.big"; }
# playbook NAME COMMAND SECONDS [LOGS]: what is done about it.
playbook() {
  cat <<END
  "$1": {
    "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1, "where": {"path": ["/var/log/${4:-$1}.big"]}},
    "actions": [{"type": "shell", "command": "$2", "timeout_seconds": $3}],
    "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 0},
    "cooldown_seconds": 3600
  },
END
}
kill_agent() {
  pid=$(property MainPID)
  in_machine "kill -KILL $pid"
  wait_for 30 "an agent that was killed is started again" in_machine \
    "new=\$(systemctl show -p MainPID --value autoheal); [ \$new != 0 ] && [ \$new != $pid ] && [ \"\$(systemctl is-active autoheal)\" = active ]"
}

boot
install -m 644 "$repository/packaging/systemd/autoheal.service" "$root/etc/systemd/system/autoheal.service"
install -m 755 "$AUTOHEAL" "$root/usr/local/bin/autoheal"
check "systemd finds no fault in the unit file" inside systemd-analyze verify /etc/systemd/system/autoheal.service
# Before daemons ran as transient units it was 8.1.
inside systemd-analyze security --offline=yes --no-pager /etc/systemd/system/autoheal.service | tail -n 1
check "the hardening is no less than it was" inside systemd-analyze security --offline=yes --no-pager --threshold=41 \
  /etc/systemd/system/autoheal.service
# A service of systemd's, and a daemon that only the settings know.
mkdir -p "$root/etc/autoheal"
cat > "$root/etc/systemd/system/toy.service" <<'EOF'
[Service]
ExecStart=/bin/sh -c 'echo the toy is wound up; exec tail -f /dev/null'
EOF
program start-daemon <<'EOF'
#!/bin/sh
env > /run/daemon.env
{ umask; ulimit -n; ulimit -c; pwd; grep NoNewPrivs /proc/self/status; } > /run/daemon.limits
setsid sh -c 'echo $$ > /run/daemon.pid; exec sleep 86399' < /dev/null > /dev/null 2>&1 &
echo started
EOF
program stubborn <<'EOF'
#!/usr/bin/python3
"""stubborn MARK: ignores TERM, as does its grandchild, which has a session of its own and no parent."""
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("hello", flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    open("/run/stubborn." + sys.argv[1], "w")
while True:
    time.sleep(1)
EOF
program slow <<'EOF'
#!/bin/sh
# slow NAME: says that it runs, works until it is let go, and puts an end to the trouble.
echo $$ >> "/run/$1.runs"
until [ -e "/run/$1.go" ]; do sleep 0.1; done
rm "/var/log/$1.big"
EOF
program clean-odd <<'EOF'
#!/bin/sh
rm "$AUTOHEAL_LABEL_PATH"
EOF
# A name with everything that systemd or a shell would read as something else.
# shellcheck disable=SC2016
odd='odd $x ${HOME} %n "q" `b` '"'s' "'\z'
program fail-by-signal <<'EOF'
#!/bin/sh
kill -SEGV $$
EOF
cat > "$root/etc/autoheal/autoheal.json" <<'EOF'
{
  "dry_run": false,
  "interval_seconds": 0.3,
  "watch": {
    "disks": [], "memory": false, "logs": [{"path": "/var/log/*.big"}],
    "processes": [
      {"name": "pet", "match": {"command": "tail"}},
      {"name": "daemon", "match": {"pidfile": "/run/daemon.pid"}, "service": "daemon"}
    ]
  },
  "services": {"daemon": {"restart": "start-daemon"}},
  "allowed_commands": ["@shipped", "stubborn {int}", "slow {name}", "fail-by-signal", "exact: yes | head -n 1", "clean-odd", "rm {file:/var/log}"]
}
EOF
{
  echo "{"
  playbook hang "stubborn 7654321" 2
  playbook adopted-hang "stubborn 7654322" 20
  playbook orphan "slow orphan" 90
  playbook clientless "slow clientless" 90
  playbook segv fail-by-signal 10
  playbook odd clean-odd 10 'odd*'
  playbook pipe "yes | head -n 1" 10
  playbook direct "rm /var/log/direct.big" 10
  cat <<'EOF'
  "process_down": {
    "condition": {"metric": "process_status", "operator": "==", "value": "stopped"},
    "actions": [{"type": "service_restart", "service": "{process_name}"}],
    "verify": {"metric": "process_status", "operator": "==", "value": "running", "retry_count": 20, "retry_interval_seconds": 0.3},
    "cooldown_seconds": 0,
    "relapse_seconds": 0
  }
}
EOF
} > "$root/etc/autoheal/autoheal-playbooks.json"
inside systemctl daemon-reload
inside systemctl start toy
inside systemd-run --quiet --wait -p KillMode=process start-daemon
# For Type=notify, `start` returns when the agent has said READY.
check "the unit starts and says READY" inside timeout 30 systemctl start autoheal
check "it is active" unit_is autoheal active
check "its STATUS is shown" [ -n "$(property StatusText)" ]
check "nothing is reported, because nothing is wrong" [ -z "$(find "$root/var/lib/autoheal" -name '*.md')" ]
check "only root and its group see its state" [ "$(stat -c %a "$root/var/lib/autoheal")" = 750 ]
mkdir "$root/etc/probe"
echo '{"watch": {"disks": "auto", "memory": false}}' > "$root/etc/probe/autoheal.json"
echo '{}' > "$root/etc/probe/autoheal-playbooks.json"
check "a disk that only the agent's unit may not write to is watched" in_machine \
  "systemd-run --quiet --pipe --wait --collect -p ProtectSystem=strict autoheal probe --config-dir /etc/probe | grep -q 'mount=/ '"
check "it says how actions run" in_machine \
  "journalctl -u autoheal -o cat | grep -q 'actions run as transient units .* in control groups of their own'"

inside systemctl kill -s KILL toy
need 30 "a unit that was killed is healed, proven and reported" machine_report process_down "✅ resolved" process_name=pet
check "the unit is active again" unit_is toy active
report=$(machine_reports process_down "✅ resolved" process_name=pet)
check "the evidence says how it died" grep -qF "its main process was killed by SIGKILL" "$report"
check "and what it wrote last" grep -q "the toy is wound up" "$report"
kill_daemon
need 30 "a daemon that was killed is healed, proven and reported" machine_report process_down "✅ resolved" process_name=daemon
check "it lives in a unit of its own" as_unit /run/daemon.pid
check "which is kept for it alone" units_loaded 1
report=$(machine_reports process_down "✅ resolved" process_name=daemon)
check "the report holds the program's words" section_has "$report" "Actions Taken" started
refuted "and none of the client's" grep -E "Running as unit|Finished with result|Service runtime" "$report"
names=$(in_machine "sed 's/=.*//' /run/daemon.env | grep -v ^AUTOHEAL_ | LC_ALL=C sort | tr '\n' ' '")
check "its environment is what every action gets, and nothing else ($names)" [ "$names" = "HOME LANG LOGNAME PATH PWD USER " ]
check "its values are in no command line and no file" in_machine "! grep -la 'PROCESS_NAME=[d]aemon' /proc/[0-9]*/cmdline && ! ls /run/autoheal-action-*.env"
check "with the facts of the incident" in_machine "grep -qx AUTOHEAL_PLAYBOOK=process_down /run/daemon.env"
limits=$(in_machine "tr -s '\n\t' '  ' < /run/daemon.limits")
check "its limits are every action's, and the hardening is not the agent's ($limits)" [ "$limits" = "0022 1024 0 / NoNewPrivs: 0 " ]

trouble "$odd"
need 30 "facts reach a unit as they are" machine_report odd "✅ resolved"

trouble direct
need 30 "the agent itself runs what leaves nothing behind" machine_report direct "✅ resolved"
wait_for 10 "no control group is left of it" in_machine "! ls -d /sys/fs/cgroup/system.slice/autoheal.service/autoheal-action-*"
trouble segv
need 30 "an action that died of a signal is escalated" machine_report segv "❌ escalated"
check "and the report says so" section_has "$(machine_reports segv "❌ escalated")" "Actions Taken" "killed by SIGSEGV"

trouble pipe
need 30 "a text of the shell runs" machine_report pipe "❌ escalated"
refuted "and a closed pipe ends its writer in silence" grep -qi "broken pipe" "$(machine_reports pipe "❌ escalated")"

trouble hang
need 20 "an action that hangs in a unit runs" hangs 7654321
begin=$(date +%s%N)
wait_for 12 "nothing of it is left" nothing_matches "stubborn 7654321"
took=$((($(date +%s%N) - begin) / 1000000))
check "it took its limit of 2 s and at most 7 s ($took ms)" [ "$took" -le 9000 ]
need 20 "it is escalated" machine_report hang "❌ escalated"
check "the report says that it timed out" section_has "$(machine_reports hang "❌ escalated")" "Actions Taken" "timed out after 2 s"
check "and what it said before" section_has "$(machine_reports hang "❌ escalated")" "Actions Taken" hello
check "no unit of it is left" units_loaded 1

trouble clientless
need 20 "an action runs" in_machine "test -s /run/clientless.runs"
in_machine "kill -KILL \$(pgrep -f '^/usr/bin/systemd-run .*clientless')"
check "the program goes on without its client" in_machine "kill -0 \$(cat /run/clientless.runs) && touch /run/clientless.go"
need 20 "an action whose client was killed is escalated" machine_report clientless "❌ escalated"
check "after its program went on to its end" [ ! -e "$root/var/log/clientless.big" ]
check "and the report says what is not known" section_has "$(machine_reports clientless "❌ escalated")" "Actions Taken" "how that ended is not known"
check "it ran once" in_machine "test \$(wc -l < /run/clientless.runs) = 1"

trouble orphan
need 20 "another action runs" in_machine "test -s /run/orphan.runs"
kill_agent
check "the program goes on without the agent" in_machine "kill -0 \$(cat /run/orphan.runs)"
in_machine "touch /run/orphan.go"
need 30 "it is waited for, and what it did is proven" machine_report orphan "resolved"
check "it ran once" in_machine "test \$(wc -l < /run/orphan.runs) = 1"
check "the report says that the agent ended meanwhile" grep -q "the agent ended while" "$(machine_reports orphan resolved)"

trouble adopted-hang
need 20 "an action that hangs runs" hangs 7654322
kill_agent
check "it goes on" hangs 7654322
wait_for 40 "the next agent ends it at its limit, with its grandchild" nothing_matches "stubborn 7654322"
need 20 "and escalates" machine_report adopted-hang "escalated"

pid=$(property MainPID)
check "the agent restarts" inside timeout 30 systemctl restart autoheal
refuted "it is another process" property_is MainPID "$pid"
check "the healed daemon lives on" daemon_lives
check "reload is understood" inside systemctl reload autoheal
wait_for 10 "and the agent stays" unit_is autoheal active
kill_agent
check "it stops" inside timeout 30 systemctl stop autoheal
check "cleanly" property_is Result success
check "with exit code 0" property_is ExecMainStatus 0
check "the healed daemon still lives" daemon_lives
check "nothing is left in the agent's control group" in_machine "! ls -d /sys/fs/cgroup/system.slice/autoheal.service"
kill_daemon
wait_for 10 "and its unit goes with it" units_loaded 0

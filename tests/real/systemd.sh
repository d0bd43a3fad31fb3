#!/usr/bin/env bash
# The unit file under a real systemd as PID 1: a throw-away machine made of this machine's own files (systemd-nspawn over an
# overlay whose upper half is in memory). READY, STATUS, a unit that is killed and healed, a daemon that outlives the agent, a
# clean stop.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

repository=$(cd "$(dirname "$0")/../.." && pwd)
machine=autoheal-test-$$
upper=$DIR/machine
hierarchies=(/sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup/memory /sys/fs/cgroup/pids)
nspawn=

leader() { awk '{print $1}' "/proc/$nspawn/task/$nspawn/children" 2> /dev/null; }
inside() {
  nsenter -t "$(leader)" -a env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 "$@"
}
in_machine() { inside sh -c "$1"; }

# A control group of its own in each hierarchy, because two machines must not share one.
groups() {
  local hierarchy
  for hierarchy in "${hierarchies[@]}"; do
    [ ! -e "$hierarchy/cgroup.procs" ] || echo "$hierarchy/$machine"
  done
}

boot() {
  local lower=/ group
  mkdir "$upper"
  mount -t tmpfs -o mode=755 autoheal-test "$upper"
  MOUNTS=("$upper" "${MOUNTS[@]}")
  mkdir "$upper/changes" "$upper/work" "$upper/root"
  mount -t overlay -o "lowerdir=$lower,upperdir=$upper/changes,workdir=$upper/work" overlay "$upper/root"
  MOUNTS=("$upper/root" "${MOUNTS[@]}")
  root=$upper/root
  : > "$root/etc/machine-id"
  : > "$root/etc/fstab"
  for group in $(groups); do mkdir "$group"; done
  (
    for group in $(groups); do echo "$BASHPID" > "$group/cgroup.procs"; done
    export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_LOG_LEVEL=warning
    # basic.target: whatever else is installed on this machine is not started.
    exec setsid systemd-nspawn -D "$root" --machine "$machine" --register=no --keep-unit --boot --private-network --link-journal=no \
      --console=pipe --resolv-conf=off --timezone=off --kill-signal=SIGRTMIN+4 -- --unit=basic.target < /dev/null > "$DIR/console" 2>&1
  ) &
  nspawn=$!
  need 60 "a machine with systemd as PID 1 boots" booted
}
booted() { inside systemctl is-active basic.target; }

shut_down() {
  local init group
  [ -n "$nspawn" ] || return 0
  init=$(leader)
  kill -TERM "$nspawn" 2> /dev/null || true
  succeeds 20 gone "$nspawn" || kill -KILL ${init:+"$init"} "$nspawn" 2> /dev/null || true
  wait "$nspawn" 2> /dev/null || true
  nspawn=
  for group in $(groups); do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2> /dev/null || true
  done
  rmdir "/run/systemd/nspawn/propagate/$machine" 2> /dev/null || true
}
trap 'code=$?; shut_down; finish "$code"' EXIT

agent_log() {
  if booted 2> /dev/null; then inside journalctl -u autoheal -n 20 --no-pager -o cat; else cat "$DIR/console"; fi
}
property() { inside systemctl show -p "$1" --value autoheal.service; }
property_is() { [ "$(property "$1")" = "$2" ]; }
unit_is() { [ "$(inside systemctl is-active "$1")" = "$2" ]; }
kill_daemon() { in_machine "kill -KILL \$(cat /run/daemon.pid)"; }
daemon_lives() { in_machine "kill -0 \$(cat /run/daemon.pid)"; }
machine_report() { DATA=$root/var/lib/autoheal has_report "$@"; }

boot
install -m 644 "$repository/packaging/systemd/autoheal.service" "$root/etc/systemd/system/autoheal.service"
install -m 755 "$AUTOHEAL" "$root/usr/local/bin/autoheal"
check "systemd finds no fault in the unit file" inside systemd-analyze verify /etc/systemd/system/autoheal.service
# A service of systemd's, and a daemon that only the settings know.
mkdir -p "$root/etc/autoheal"
cat > "$root/etc/systemd/system/toy.service" <<'EOF'
[Service]
ExecStart=/usr/bin/tail -f /dev/null
EOF
cat > "$root/usr/local/bin/start-daemon" <<'EOF'
#!/bin/sh
setsid sh -c 'echo $$ > /run/daemon.pid; exec sleep 86399' < /dev/null > /dev/null 2>&1 &
EOF
chmod 755 "$root/usr/local/bin/start-daemon"
cat > "$root/etc/autoheal/autoheal.json" <<'EOF'
{
  "dry_run": false,
  "interval_seconds": 0.3,
  "watch": {
    "disks": [], "memory": false,
    "processes": [
      {"name": "pet", "match": {"command": "tail"}},
      {"name": "daemon", "match": {"pidfile": "/run/daemon.pid"}, "service": "daemon"}
    ]
  },
  "services": {"daemon": {"restart": "start-daemon"}}
}
EOF
cat > "$root/etc/autoheal/autoheal-playbooks.json" <<'EOF'
{
  "process_down": {
    "condition": {"metric": "process_status", "operator": "==", "value": "stopped"},
    "actions": [{"type": "service_restart", "service": "{process_name}"}],
    "verify": {"metric": "process_status", "operator": "==", "value": "running", "retry_count": 20, "retry_interval_seconds": 0.3},
    "cooldown_seconds": 0,
    "relapse_seconds": 0
  }
}
EOF
inside systemctl daemon-reload
inside systemctl start toy
inside systemd-run --quiet --wait -p KillMode=process start-daemon
# For Type=notify, `start` returns when the agent has said READY.
check "the unit starts and says READY" inside timeout 30 systemctl start autoheal
check "it is active" unit_is autoheal active
check "its STATUS is shown" [ -n "$(property StatusText)" ]
check "nothing is reported, because nothing is wrong" [ -z "$(find "$root/var/lib/autoheal" -name '*.md')" ]
check "only root and its group see its state" [ "$(stat -c %a "$root/var/lib/autoheal")" = 750 ]

inside systemctl kill -s KILL toy
need 30 "a unit that was killed is healed, proven and reported" machine_report process_down "✅ resolved" process_name=pet
check "the unit is active again" unit_is toy active
kill_daemon
need 30 "a daemon that was killed is healed, proven and reported" machine_report process_down "✅ resolved" process_name=daemon

pid=$(property MainPID)
check "the agent restarts" inside timeout 30 systemctl restart autoheal
refuted "it is another process" property_is MainPID "$pid"
check "the healed daemon lives on" daemon_lives
check "reload is understood" inside systemctl reload autoheal
wait_for 10 "and the agent stays" unit_is autoheal active
pid=$(property MainPID)
in_machine "kill -KILL $pid"
wait_for 30 "an agent that was killed is started again" in_machine \
  "new=\$(systemctl show -p MainPID --value autoheal); [ \$new != 0 ] && [ \$new != $pid ] && [ \"\$(systemctl is-active autoheal)\" = active ]"
check "it stops" inside timeout 30 systemctl stop autoheal
check "cleanly" property_is Result success
check "with exit code 0" property_is ExecMainStatus 0
check "the healed daemon still lives" daemon_lives

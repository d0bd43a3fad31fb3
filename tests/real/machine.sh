#!/usr/bin/env bash
# Sourced by the scripts that need a real systemd as PID 1: lib.sh, and a throw-away machine made of this machine's own files
# (systemd-nspawn over an overlay whose upper half is in memory).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
machine_report() { DATA=$root/var/lib/autoheal has_report "$@"; }
machine_reports() { DATA=$root/var/lib/autoheal reports "$@"; }
# program NAME: standard input becomes a program of the machine.
program() { cat > "$root/usr/local/bin/$1" && chmod 755 "$root/usr/local/bin/$1"; }

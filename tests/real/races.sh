#!/usr/bin/env bash
# Races that an unprivileged user can start against a healer that runs as root: directories that turn into links, numbers of
# processes that change hands, names of processes that change all the time. Nothing outside may be removed, nobody else signalled.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
attacker() { setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 "$ATTACK" "$@"; }
# The attacker's programs and directories lie where nobody can read them.
ATTACK=$HELPERS/races.py
cp "$(dirname "$0")/races.py" "$ATTACK"
chmod 711 "$DIR"

# --- Directories that are swapped for links
mkdir -p "$DIR/precious/deep" "$DIR/open/theirs/sub/deep"
chmod 1777 "$DIR/open"
for file in "$DIR"/precious/{old{0..99},deep/old{0..99},other}; do echo precious > "$file"; done
find "$DIR/precious" -type f -exec touch -d '30 days ago' {} +
precious() { find "$DIR/precious" -type f | wc -l; }
before=$(precious)
ln -s "$DIR/precious" "$DIR/open/theirs/trap"
chown -hR 65534:65534 "$DIR/open/theirs"

action() { printf '{"type": "delete_files", "directory": "%s", "older_than_days": 7}' "$1"; }
command() { printf '{"type": "shell", "command": "%s"}' "$1"; }
playbook() { # NAME ACTION...: thirty times one action after the other, whatever they come to
  local name=$1 actions="" action
  shift
  for _ in {1..30}; do for action in "$@"; do actions+="${actions:+, }${action%\}}, \"continue_on_failure\": true}"; done; done
  printf '"%s": {"condition": {"metric": "memory_usage", "operator": ">", "threshold": 0}, "actions": [%s],
    "verify": {"metric": "memory_usage", "operator": ">", "threshold": 0, "retry_count": 0}, "relapse_seconds": 0}' "$name" "$actions"
}
settings <<EOF
{"dry_run": false, "watch": {"disks": [], "memory": true, "processes": [{"name": "victim", "match": {"command": "victim"}}]},
 "max_actions_per_hour": 100000,
 "allowed_commands": ["delete_files {path:$DIR/open}", "find {path:$DIR/open} -type f -mtime {age} -delete",
   "gzip {file:$DIR/open}", "signal_process victim {one:TERM|HUP}"]}
EOF
playbooks <<EOF
{ $(playbook native "$(action "$DIR/open")" "$(action "$DIR/open/theirs/sub")" "$(action "$DIR/open/theirs/sub/deep")"),
  $(playbook command "$(command "find $DIR/open -type f -mtime +7 -delete")" "$(command "find $DIR/open/theirs/sub -type f -mtime +7 -delete")"),
  $(playbook below "$(command "find $DIR/open/theirs/sub/deep -type f -mtime +7 -delete")" "$(command "gzip $DIR/open/theirs/sub/old1")"),
  $(playbook hang_up '{"type": "signal_process", "process": "victim", "signal": "HUP"}') }
EOF
heal() { "$AUTOHEAL" --json heal "$1" --force --config-dir "$CONFIG" --data-dir "$DATA" > "$DIR/heal.out" 2>> "$LOG" || true; }
said() { sed -nE "s/.*($1).*/\1/p" "$DATA"/*.md | sort | uniq -c | sort -rn | head -n 3; }
deleted() { sed -nE 's/.*deleted ([0-9]+) files?.*/\1/p' "$DATA"/*.md | awk '{ sum += $1 } END { print sum + 0 }'; }

# race PLAYBOOK SWAPS: heals until so many swaps are certain; prints a line of the table.
race() {
  local name=$1 runs=0 swaps end=$((SECONDS + $2)) lost
  mkfifo "$DIR/gate"
  attacker swap "$DIR/open/theirs/sub" "$DIR/open/theirs/trap" < "$DIR/gate" > "$DIR/swaps" &
  local swapper=$!
  exec 9> "$DIR/gate"
  while [ "$SECONDS" -lt "$end" ]; do heal "$name"; runs=$((runs + 1)); done
  exec 9>&-
  wait "$swapper" || fail "the swapper works"
  rm "$DIR/gate"
  swaps=$(< "$DIR/swaps") lost=$((before - $(precious)))
  printf '     %-8s %7s swaps %4s heals, escapes %s\n' "$name" "$swaps" "$runs" "$lost"
  check "$name: at least 10,000 swaps" [ "${swaps:-0}" -ge 10000 ]
  check "$name: nothing outside was removed or compressed" [ "$lost" = 0 ]
}
race native 6
echo "     delete_files deleted $(deleted) files"
check "delete_files deleted what it should meanwhile" [ "$(deleted)" -gt 100 ]
race command 5
race below 4
echo "     the commands below a directory of the attacker:"
said 'user nobody may write|nobody may write|is a link'
check "a command below a directory of the attacker is refused" grep -qE 'nobody may write|is a link' "$DATA"/*.md

# --- Numbers of processes that change hands
mkfifo "$DIR/gate"
unshare --pid --fork --mount-proc --kill-child bash -c "
  set -m
  /usr/bin/python3 '$ATTACK' reuse victim < '$DIR/gate' > '$DIR/reuse' &
  exec 9> '$DIR/gate'
  end=\$((SECONDS + 8))
  while [ \$SECONDS -lt \$end ]; do
    '$AUTOHEAL' --json heal hang_up --force --config-dir '$CONFIG' --data-dir '$DATA' > /dev/null 2>> '$LOG'
  done
  exec 9>&-
  wait" 2> /dev/null || fail "the name space works"
read -r changes right wrong < "$DIR/reuse"
printf '     a number changed hands %s times; signalled: %s of the right name, %s others\n' "$changes" "$right" "$wrong"
check "the number was reused" [ "${changes:-0}" -gt 200 ]
check "the process that was meant was signalled" [ "${right:-0}" -gt 0 ]
check "nobody else was" [ "${wrong:-1}" = 0 ]
rm "$DIR/gate"

# --- Names of processes that change all the time
settings <<EOF
{"dry_run": false, "interval_seconds": 0.5, "max_actions_per_hour": 100000, "watch": {"disks": [], "memory": false,
   "processes": [{"name": "victim", "match": {"command": "victim"}, "user": "root", "restartable": true}]},
 "allowed_commands": ["signal_process victim {one:TERM|HUP}"]}
EOF
playbooks <<EOF
{ "down": {"condition": {"metric": "process_status", "operator": "==", "value": "stopped"},
    "actions": [{"type": "signal_process", "process": "victim", "signal": "HUP"}],
    "verify": {"metric": "process_status", "operator": "==", "value": "running", "retry_count": 0}, "relapse_seconds": 0},
  "hang_up": {"condition": {"metric": "process_status", "operator": "==", "value": "stopped"},
    "actions": [{"type": "signal_process", "process": "victim", "signal": "HUP"}],
    "verify": {"metric": "process_status", "operator": "==", "value": "running", "retry_count": 0}, "relapse_seconds": 0} }
EOF
rm -f "$DATA"/*.md
python3 -c 'import ctypes, signal
ctypes.CDLL(None).prctl(15, b"victim", 0, 0, 0)
signal.signal(signal.SIGHUP, lambda *_: open("'"$DIR"'/hung-up", "w"))
while True: signal.pause()' &
victim=$!
PIDS+=("$victim")
wait_for 5 "the process that is meant runs" grep -qx victim "/proc/$victim/comm"
start_agent
memory() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$AGENT/status"; }
count=${HOSTILE:-1000}
mkfifo "$DIR/gate"
setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 "$ATTACK" hostile "$count" victim < "$DIR/gate" > "$DIR/hostile" &
hostile=$!
PIDS+=("$hostile")
exec 9> "$DIR/gate"
wait_for 20 "$count hostile processes run" grep -q ready "$DIR/hostile"
sleep 2
first=$(memory)
sleep 8
last=$(memory)
"$AUTOHEAL" heal hang_up --force --config-dir "$CONFIG" --data-dir "$DATA" > "$DIR/heal.out" 2>&1 || true
wait_for 10 "the process that is meant was signalled" [ -e "$DIR/hung-up" ]
exec 9>&-
wait "$hostile" || true
signalled=$(tail -n 1 "$DIR/hostile")
printf '     %s processes with changing names: memory %s MiB, then %s MiB; signalled: %s\n' "$count" "$first" "$last" "$signalled"
check "none of them was signalled" [ "$signalled" = 0 ]
check "none of them made the agent heal anything" [ -z "$(reports down)" ]
check "memory is flat" [ "$last" -le $((first + 4)) ]
stop_agent

# --- The agent itself
printf '{"allowed_commands": ["@shipped"], "watch": {"processes": [{"name": "nginx", "match": {"command": "nginx"}}]}}' | settings
check "allowed: systemctl restart nginx" "$AUTOHEAL" allow test --config-dir "$CONFIG" "systemctl restart nginx"
for command in "systemctl restart autoheal" "systemctl stop autoheal.service" "pkill -x autoheal" "launchctl kickstart -k system/autoheal"; do
  refuted "refused: $command" "$AUTOHEAL" allow test --config-dir "$CONFIG" "$command"
done
for action in '{"type": "service_restart", "service": "autoheal"}' '{"type": "signal_process", "process": "autoheal", "signal": "TERM"}'; do
  playbooks <<EOF
{"self": {"condition": {"metric": "memory_usage", "operator": ">", "threshold": 0}, "actions": [$action],
  "verify": {"metric": "memory_usage", "operator": ">", "threshold": 0}}}
EOF
  refuted "refused: $action" "$AUTOHEAL" check --config-dir "$CONFIG"
  sed -i s/autoheal/nginx/ "$CONFIG/autoheal-playbooks.json"
  check "but not for nginx" "$AUTOHEAL" check --config-dir "$CONFIG"
done

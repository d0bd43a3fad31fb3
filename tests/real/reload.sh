#!/usr/bin/env bash
# A playbook file that is saved, in whatever way, is in force at once; a bad one changes nothing, and the next start runs the last
# good one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# book ID: a file with one playbook that fires at once, does no harm, and leaves a report of its type.
book() {
  cat <<EOF
{
  "$1": {
    "condition": {"metric": "memory_usage", "operator": ">", "threshold": 0},
    "actions": [{"type": "top_processes", "count": 1}],
    "verify": {"metric": "memory_usage", "operator": ">", "threshold": 0, "retry_count": 3, "retry_interval_seconds": 0.2},
    "cooldown_seconds": 3600,
    "relapse_seconds": 0${2:-}
  }
}
EOF
}
in_place() { cat > "$CONFIG/autoheal-playbooks.json"; }
# refused FILE: the log names a line of that file since the last `: > "$LOG"`.
refused() { grep -qE "$1:[0-9]+" "$LOG"; }

settings <<'EOF'
{"dry_run": false, "interval_seconds": 0.3, "watch": {"disks": [], "memory": true}}
EOF
book first | playbooks
start_agent
need 20 "the first file is in force" has_report first "✅ resolved"

book second | in_place
wait_for 10 "a file that was saved in place is in force" has_report second "✅ resolved"
book third | playbooks
wait_for 10 "a file that was renamed into place is in force" has_report third "✅ resolved"

: > "$LOG"
book fourth ', "cooldwon_seconds": 1' | in_place
wait_for 10 "a misspelt key is refused with file and line" refused autoheal-playbooks.json
check "the log says what was meant" grep -q "cooldown_seconds" "$LOG"
: > "$LOG"
book fourth | head -n 5 | playbooks
wait_for 10 "half a file is refused with file and line" refused autoheal-playbooks.json
: > "$LOG"
settings <<'EOF'
{"dry_run": false, "interval_seconds": 0.3, "wacht": {}}
EOF
wait_for 10 "bad settings are refused with file and line" refused autoheal.json
settings <<'EOF'
{"dry_run": false, "interval_seconds": 0.3, "watch": {"disks": [], "memory": true}}
EOF
book fifth | playbooks
wait_for 10 "the next good files are in force" has_report fifth "✅ resolved"
refuted "nothing of a bad file ever was" has_report fourth
check "the agent lives" agent_lives
mkdir "$DIR/elsewhere"
book sixth > "$DIR/elsewhere/playbooks.json"
ln -s "$DIR/elsewhere/playbooks.json" "$CONFIG/.link"
mv -T "$CONFIG/.link" "$CONFIG/autoheal-playbooks.json"
wait_for 10 "a link that was put into place is followed" has_report sixth "✅ resolved"

# state WORD: what the agent says of its configuration; ids NAME: the one playbook in force.
config() { "$AUTOHEAL" --config-dir "$CONFIG" --data-dir "$DATA" --json status | python3 -c "import json, sys; print(json.load(sys.stdin)['config']$1)"; }
state() { [ "$(config "['state']")" = "$1" ]; }
ids() { [ "$(config "['playbooks']['ids']")" = "['$1']" ]; }
generation() { config "['generation']"; }
# quiet: no file was refused since the last `: > "$LOG"`.
quiet() { ! grep "configuration refused" "$LOG"; }

echo "--- a file that is bind-mounted, and written on the other side"
book bound > "$DIR/elsewhere/bound.json"
rm "$CONFIG/autoheal-playbooks.json"
book empty | in_place
mount --bind "$DIR/elsewhere/bound.json" "$CONFIG/autoheal-playbooks.json"
MOUNTS+=("$CONFIG/autoheal-playbooks.json")
# A mount makes no event; the agent learns of it when it looks.
"$AUTOHEAL" --config-dir "$CONFIG" --data-dir "$DATA" reload > /dev/null
check "what was mounted over the file is in force" ids bound
book written > "$DIR/elsewhere/bound.json"
wait_for 3 "an in-place write behind a bind mount is seen" ids written
umount "$CONFIG/autoheal-playbooks.json"
MOUNTS=()

echo "--- who may write the file"
book trusted | playbooks
wait_for 3 "the file is in force" ids trusted
chmod 666 "$CONFIG/autoheal-playbooks.json"
wait_for 5 "a file that everybody may write is refused" state rejected
chmod 644 "$CONFIG/autoheal-playbooks.json"
wait_for 3 "and is taken when it is not" state ok
chown 12345 "$CONFIG/autoheal-playbooks.json"
wait_for 5 "somebody else's file is refused" state rejected
book owned | playbooks
wait_for 3 "and is taken when it is root's" ids owned
mv "$CONFIG" "$CONFIG.old"
mkdir "$CONFIG"
cp "$CONFIG.old/autoheal.json" "$CONFIG"
book replaced > "$CONFIG/autoheal-playbooks.json"
wait_for 3 "a directory that was replaced is another one" ids replaced
book again | in_place
wait_for 3 "and is watched" ids again

echo "--- what is no file"
# never_a_file WHAT: what lies there now is refused, and what was in force stays.
never_a_file() {
  wait_for 5 "$1 is refused" state rejected
  check "what was in force stays" ids again
  check "the agent lives" agent_lives
  rm -rf "$CONFIG/autoheal-playbooks.json"
  book again | playbooks
  wait_for 3 "the next good file is taken" state ok
}
rm "$CONFIG/autoheal-playbooks.json" && mkfifo "$CONFIG/autoheal-playbooks.json" && never_a_file "a FIFO"
rm "$CONFIG/autoheal-playbooks.json" && mkdir "$CONFIG/autoheal-playbooks.json" && never_a_file "a directory"
ln -sf /dev/zero "$CONFIG/autoheal-playbooks.json" && never_a_file "a link to /dev/zero"
head -c 1000 /dev/urandom | in_place && never_a_file "what is no text"
rm "$CONFIG/autoheal-playbooks.json" && never_a_file "nothing at all"
if command -v strace > /dev/null; then
  strace -f -e trace=read,openat -o "$DIR/trace" -p "$AGENT" 2> /dev/null &
  PIDS+=("$!")
  succeeds 5 test -e "$DIR/trace"
fi
head -c 64M /dev/zero > "$DIR/large" && mv "$DIR/large" "$CONFIG/autoheal-playbooks.json" && never_a_file "a file of 64 MiB"
if command -v strace > /dev/null; then
  check "which was opened" grep -q autoheal-playbooks.json "$DIR/trace"
  large=$(awk '/read\(/ && $NF ~ /^[0-9]+$/ && $NF > 1048577' "$DIR/trace" | wc -l)
  read_bytes=$(awk '/read\(/ && $NF ~ /^[0-9]+$/ {sum += $NF} END {print sum + 0}' "$DIR/trace")
  check "and never read ($read_bytes bytes in all)" test "$large" = 0 -a "$read_bytes" -lt 8000000
fi

echo "--- saves that take their time, and many of them"
: > "$LOG"
book slowly > "$DIR/slowly.json"
before=$(generation)
dd if="$DIR/slowly.json" bs=16 status=none | while IFS= read -r -N 16 piece || [ -n "$piece" ]; do
  printf %s "$piece"
  sleep 0.1
done > "$CONFIG/autoheal-playbooks.json"
wait_for 3 "a file that is written for seconds is in force when it is whole" ids slowly
check "and was one reload" test "$(generation)" = $((before + 1))
check "and nobody was told of its halves" quiet
before=$(generation)
for count in $(seq 1000); do
  book "many$count" > "$CONFIG/autoheal-playbooks.json"
  sleep 0.004
done
wait_for 3 "of 1000 saves the last one wins" ids many1000
reloads=$(($(generation) - before))
check "and they were $reloads reloads, at most 20" test "$reloads" -le 20
check "and nobody was told of their halves" quiet
for editor in vi ed; do
  command -v "$editor" > /dev/null || continue
  book before | playbooks
  wait_for 3 "before $editor" ids before
  before=$(generation)
  case $editor in
    vi) TERM=dumb vi -e -s -c '%s/"before"/"after"/' -c wq "$CONFIG/autoheal-playbooks.json" < /dev/null > /dev/null 2>&1 || true ;;
    ed) printf '%s\n' ',s/"before"/"after"/' w q | ed -s "$CONFIG/autoheal-playbooks.json" > /dev/null ;;
  esac
  wait_for 3 "what $editor saved is in force" ids after
  check "and was one reload" test "$(generation)" = $((before + 1))
done
stop_agent

echo "--- no watch is left"
# In a user namespace of its own the agent may have none, and nobody else loses theirs.
if unshare -U -r true 2> /dev/null; then
  program=$(realpath "$AUTOHEAL")
  for limit in instances watches; do
    helper blind <<EOF
#!/bin/sh
exec unshare -U -r sh -c 'echo 0 > /proc/sys/user/max_inotify_$limit && exec "\$0" "\$@"' "$program" "\$@"
EOF
    AUTOHEAL=$HELPERS/blind
    start_agent
    AUTOHEAL=$program
    check "without $limit the log says that it is looking instead" grep -q "configuration: looking every 750 ms" "$LOG"
    book "no-$limit" | playbooks
    wait_for 3 "a save is found by looking" ids "no-$limit"
    check "the log says it once" [ "$(grep -c "configuration: looking every" "$LOG")" = 1 ]
    stop_agent
  done
else
  echo "skip user namespaces are not allowed here"
fi

echo "--- a start on bad files"
start_agent
book looked | playbooks
wait_for 3 "there are good ones before" ids looked
stop_agent
: | in_place
start_agent
check "it runs the last good ones" ids looked
check "says so" state last_good
check "and says so when it is ready" grep -q "ready .*state=last_good" "$LOG"
check "the copies are root's alone" [ "$(find "$DATA/last-good" -type f ! -perm 600 | wc -l)" = 0 ]
book good | playbooks
wait_for 3 "the next good file is taken" ids good
check "and all is well" state ok
stop_agent

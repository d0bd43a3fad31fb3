#!/usr/bin/env bash
# Sourced by every script here: a directory of its own, an agent on it, checks that count, and an end that leaves nothing behind.
# Needs root (mounts, programs that only root can change) and the path of the program under test in AUTOHEAL.
set -euo pipefail

: "${AUTOHEAL:?set AUTOHEAL to the program under test}"
[ "$(id -u)" = 0 ] || { echo "these tests need root" >&2; exit 2; }

DIR=$(mktemp -d /tmp/autoheal-real-XXXXXX)
CONFIG=$DIR/config
DATA=$DIR/data
LOG=$DIR/agent.log
# Programs that an action runs must lie where only root can change them, so not below /tmp.
HELPERS=/usr/local/lib/autoheal-test-$$
PASSED=0
FAILED=0
AGENT=
PIDS=()      # processes that the script started
PIDFILES=()  # files that name processes which a heal started
MOUNTS=()
mkdir "$CONFIG" "$DATA" "$HELPERS"
chmod 755 "$HELPERS"
chmod 750 "$DATA"

ok() { PASSED=$((PASSED + 1)); echo "ok   $1"; }

fail() {
  FAILED=$((FAILED + 1))
  echo "FAIL $1"
  echo "     --- the end of the agent's log"
  agent_log | sed 's/^/     /'
}
agent_log() { [ ! -e "$LOG" ] || tail -n 20 "$LOG"; }

# check WHAT COMMAND...: the command must succeed now.
check() {
  local what=$1
  shift
  if "$@" > "$DIR/check.out" 2>&1; then ok "$what"; else
    fail "$what"
    echo "     --- $*"
    sed 's/^/     /' "$DIR/check.out"
  fi
}

# refuted WHAT COMMAND...: the command must fail now.
refuted() {
  local what=$1
  shift
  if "$@" > "$DIR/check.out" 2>&1; then fail "$what"; else ok "$what"; fi
}

# succeeds SECONDS COMMAND...: tries until the command succeeds or the time is over.
succeeds() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > "$DIR/check.out" 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# wait_for SECONDS WHAT COMMAND...: the command must succeed within that time.
wait_for() {
  local seconds=$1 what=$2
  shift 2
  if succeeds "$seconds" "$@"; then ok "$what"; else
    fail "$what (within $seconds s)"
    for report in "$DATA"/*.md; do
      [ ! -e "$report" ] || sed 's/^/     | /' "$report"
    done
  fi
}

# need SECONDS WHAT COMMAND...: the same, but what follows makes no sense without it.
need() {
  local before=$FAILED
  wait_for "$@"
  [ "$FAILED" = "$before" ] || exit 1
}

# Standard input becomes a program that actions can run.
helper() { cat > "$HELPERS/$1" && chmod 755 "$HELPERS/$1"; }

# The directories where actions find programs, as JSON.
command_path() { printf '["%s", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]' "$HELPERS"; }

# Standard input becomes a configuration file, whole at once, as editors do that rename.
save() { cat > "$CONFIG/.$1.new" && mv "$CONFIG/.$1.new" "$CONFIG/$1"; }
settings() { save autoheal.json; }
playbooks() { save autoheal-playbooks.json; }

start_agent() {
  : > "$LOG"
  "$AUTOHEAL" run --config-dir "$CONFIG" --data-dir "$DATA" < /dev/null > "$DIR/agent.out" 2>> "$LOG" &
  AGENT=$!
  need 20 "the agent says that it is ready" agent_is_ready
}

agent_is_ready() { agent_lives && grep -q ready "$LOG"; }
agent_lives() { kill -0 "$AGENT" 2> /dev/null; }
agent_ended() { ! agent_lives; }

# Asks the agent to end and checks that it does so cleanly.
stop_agent() {
  [ -n "$AGENT" ] || return 0
  kill -TERM "$AGENT" 2> /dev/null || true
  wait_for 15 "the agent ends when told" agent_ended
  local code=0
  wait "$AGENT" || code=$?
  check "its exit code is 0 (was $code)" [ "$code" = 0 ]
  AGENT=
}

# first_status REPORT: how the incident stands.
first_status() { sed -n 's/^- \*\*Status\*\*: //p' "$1" | head -n 1; }

# reports PLAYBOOK [STATUS [TARGET]]: the reports of that type whose status and target hold these words.
reports() {
  local report
  for report in "$DATA"/*.md; do
    [ -e "$report" ] || continue
    grep -qxF -- "- **Type**: $1" "$report" || continue
    case $(first_status "$report") in *"${2:-}"*) ;; *) continue ;; esac
    case $(sed -n 's/^- \*\*Target\*\*: //p' "$report") in *"${3:-}"*) echo "$report" ;; esac
  done
}
has_report() { [ -n "$(reports "$@")" ]; }
has_reports() { [ "$(reports "${@:2}" | wc -l)" -ge "$1" ]; }

# The part of a report under a heading.
section() { awk -v heading="## $2" '/^## /{inside = ($0 == heading)} inside' "$1"; }
# Reads to the end: a grep that leaves early kills its writer, and that counts as a failure.
section_has() { section "$1" "$2" | grep -F -- "$3" > /dev/null; }

# The shape that every finished report has.
check_report() {
  local report=$1 heading
  check "the report's name is DATE-ID.md" grep -qE '/[0-9]{4}-[0-9]{2}-[0-9]{2}-[23456789abcdefghjkmnpqrstvwxyz]{8}\.md$' <<< "$report"
  check "only its owner can write it, only its group read it" [ "$(stat -c %a "$report")" = 640 ]
  for heading in "Initial State" "Actions Taken" "Verification" "Timeline"; do
    check "it has the part $heading" grep -qxF "## $heading" "$report"
  done
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# on_tcp PORT: somebody listens.
on_tcp() { python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()' "$1"; }

runs() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2> /dev/null; }

# finish CODE: ends what was started, removes what was made, and prints the counts.
finish() {
  local code=$1 file pid mount
  trap - EXIT
  for file in "${PIDFILES[@]}"; do [ ! -s "$file" ] || PIDS+=("$(cat "$file")"); done
  for pid in $AGENT "${PIDS[@]}"; do end "$pid"; done
  for mount in "${MOUNTS[@]}"; do umount "$mount" || umount -l "$mount" || true; done
  rm -rf --one-file-system "$DIR" "$HELPERS" || true
  if [ "$code" != 0 ] && [ "$FAILED" = 0 ]; then
    FAILED=1
    echo "FAIL the script ended with $code"
  fi
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" = 0 ]
}
# end PID: TERM first, because a server ends its workers then.
end() {
  kill -TERM "$1" 2> /dev/null || return 0
  succeeds 5 gone "$1" || kill -KILL "$1" 2> /dev/null || true
  wait "$1" 2> /dev/null || true
}
gone() { ! kill -0 "$1" 2> /dev/null; }
trap 'finish $?' EXIT

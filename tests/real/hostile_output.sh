#!/usr/bin/env bash
# What actions print and how they end, as badly as they can: the agent's memory stays flat, a report stays a readable text, and each
# end has its own reason.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

mkdir "$DIR/logs"
# The cases, as programs that are named after them.
helper floods <<< $'#!/bin/sh\nexec head -c 10G /dev/zero'
helper one-line <<< $'#!/bin/sh\nhead -c 1G /dev/zero | tr "\\0" x'
helper noise <<< $'#!/bin/sh\nexec head -c 50M /dev/urandom'
helper escapes <<'EOT'
#!/bin/sh
printf '\033[2J\033]0;owned\007\033]8;;http://evil.example\033\\click\033]8;;\033\\ \302\233 31m \342\200\256 \377\376 good\rEVIL\n'
printf '```\n# Forged heading\n<script>alert(1)</script>\n| a | b |\n2026-01-01T00:00:00Z ERROR forged\n'
EOT
helper silent <<< $'#!/bin/sh\nexit 0'
helper fails <<< $'#!/bin/sh\necho "could not" >&2\nexit 255'
helper dies <<< $'#!/bin/sh\nkill -SEGV $$'
helper bad-interpreter <<< $'#!/no/such/interpreter\n'
helper not-executable <<< $'#!/bin/sh\n'
helper in-use < /bin/true
exec 9>> "$HELPERS/in-use"
cases=(floods one-line noise escapes silent fails dies bad-interpreter not-executable in-use missing)
printf '%s\n' "${cases[@]}" | jq -R . | jq -s --argjson path "$(command_path)" --arg logs "$DIR/logs/*.log" '{
  dry_run: false, interval_seconds: 0.5, max_actions_per_hour: 1000, allowed_commands: ., command_path: $path,
  watch: {disks: [], memory: false, logs: [{path: $logs}]}}' | settings
printf '%s\n' "${cases[@]}" | jq -R '{key: ., value: {
  condition: {metric: "log_file_size_mb", operator: ">", threshold: 1, where: {path: ("*/**/" + . + ".log")}},
  actions: [{type: "shell", command: ., timeout_seconds: 60}],
  verify: {metric: "log_file_size_mb", operator: "<", threshold: 1, retry_count: 0}, cooldown_seconds: 3600}}' | jq -s from_entries | playbooks
chmod a-x "$HELPERS/not-executable"
start_agent

# How long it took, and the peak of the agent's memory so far.
told() { printf '%-16s %5s s  peak %s MiB  %s\n' "$1" "$2" "$(awk '/VmHWM/ {print int($2 / 1024)}' "/proc/$AGENT/status")" "$3"; }
# tries CASE TEXT: the case escalates, and its report says this.
tries() {
  local begun=$SECONDS report
  truncate -s 2M "$DIR/logs/$1.log"
  wait_for 90 "$1 comes to its end" has_report "$1" "❌ escalated"
  report=$(reports "$1" "❌ escalated")
  told "$1" $((SECONDS - begun)) "$(sed -n 's/^- \*\*Status\*\*: //p' "$report" | sed -n 2p | cut -c1-100)"
  check "$1: the report says why" grep -qF -- "$2" "$report"
  check "$1: the report is no longer than 150 KiB" [ "$(stat -c %s "$report")" -lt 153600 ]
  check "$1: it is UTF-8" iconv -f UTF-8 -t UTF-8 -o /dev/null "$report"
  refuted "$1: no control character in it" grep -P '[\x00-\x08\x0b-\x1f\x7f]' "$report"
  check_report "$report"
}
tries floods "✅ Success (exit 0"
tries one-line "✅ Success (exit 0"
tries noise "✅ Success (exit 0"
tries escapes "✅ Success (exit 0"
check "what was printed stands in a fence that it cannot end" grep -qxF '````' "$(reports escapes)"
tries silent "❌ Not resolved (1 check"
tries fails "❌ Failed (exit 255"
tries dies "❌ Failed (killed by SIGSEGV"
tries bad-interpreter "No such file"
tries not-executable "❌ Refused (program not found"
tries in-use "Text file busy"
tries missing "❌ Refused (program not found"
check "memory stays below 64 MiB" [ "$(awk '/VmHWM/ {print int($2 / 1024)}' "/proc/$AGENT/status")" -lt 64 ]
check "no zombie is left" [ "$(pgrep -c -r Z -P "$AGENT" || true)" = 0 ]
refuted "no line of the log holds a control character" grep -P '[\x00-\x08\x0b-\x1f\x7f]' "$LOG"
refuted "no line of the log is forged" grep '^2026-01-01' "$LOG"
refuted "nothing panicked" grep -i panic "$LOG"
stop_agent

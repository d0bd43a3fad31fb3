#!/usr/bin/env bash
# Mistakes of a tired operator, typed with ordinary editors into the shipped files while the agent runs. For each of them the message
# alone must be enough: what mends it here knows nothing of the mistake, reads a place and an advice in the agent's log, and types
# what they say.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

shipped=$(cd "$(dirname "$0")/../../config" && pwd)
PLAYBOOKS=$CONFIG/autoheal-playbooks.json
SETTINGS=$CONFIG/autoheal.json
# Columns count characters.
export LC_ALL=C.UTF-8 TERM=dumb
TYPOGRAPHIC=$'\u201c\u201d'
command -v ed > /dev/null || { echo "ed is not installed; .ci/run installs it" >&2; exit 2; }
EDITORS=(ed sed)
typed=0

# edit EDITOR FILE COMMAND...: each command is one of ed, and the same in sed.
edit() {
  local editor=$1 file=$2
  shift 2
  case $editor in
    ed) printf '%s\n' "$@" w q | ed -s "$file" > /dev/null ;;
    sed) sed -i "$*" "$file" ;;
  esac
}

autoheal() { "$AUTOHEAL" --config-dir "$CONFIG" --data-dir "$DATA" "$@"; }
status() { autoheal --json status | jq -er ".config$1"; }
state() { [ "$(status .state)" = "$1" ]; }
refused() { sed -nE 's/.*configuration refused, the old one stays in force: (.*) code=[a-z_]+$/\1/p' "$LOG"; }
is_refused() { [ -n "$(refused)" ]; }
# One line of `status` and of `check` is what the log says, up to the advice in parentheses, which `check` gives below the caret.
status_says() { autoheal status | grep -F -- "$1"; }
check_says() {
  local code=0
  autoheal --color never check > "$DIR/checked" || code=$?
  [ "$code" = 1 ] && grep -F -- "$1" "$DIR/checked" && grep -F -- "$2" "$DIR/checked"
}

# literal TEXT: as an expression of ed.
literal() { sed 's/[][\\.*^$/]/\\&/g' <<< "$1"; }
# put TEXT: as a replacement of ed.
put() { sed 's/[\\&/]/\\&/g' <<< "$1"; }

# mend MESSAGE: types what the message says.
mend() {
  local message=$1 place file line column skip advice word found
  place=$(grep -oE '^[^ ]+\.json:[0-9]+:[0-9]+' <<< "$message")
  IFS=: read -r file line column <<< "$place"
  skip=$((column - 1))
  advice=$(sed -nE 's/.* \((.*)\)$/\1/p' <<< "$message")
  # What was found: the first thing in quotes or braces; what to write: the first in quotes of the advice.
  found=$(grep -oE '"[^"]*"|\{[a-z_]+\}' <<< "${message#"$place": error: * }" | head -n 1 | tr -d '"{}' || true)
  word=$(grep -oE '"[^"]*"' <<< "$advice" | head -n 1 | tr -d '"' || true)
  local -a typing
  case $advice in
    "write , after it") typing=("${line}s/^\(.\{$column\}\)/\1,/") ;;
    "remove this comma") typing=("${line}s/^\(.\{$skip\}\),/\1/") ;;
    "remove it, or make it an entry: "*) typing=("${line}s/^\(.\{$skip\}\).*/\1/") ;;
    'write the plain " of the keyboard') typing=("${line}s/[$TYPOGRAPHIC]/\"/g") ;;
    "did you mean "*) typing=("${line}s/^\(.\{$skip\}[{\"]*\)$(literal "$found")/\1$(put "$word")/") ;;
    "write "*", without quotes") word=${advice#write } && typing=("${line}s/^\(.\{$skip\}\)\"[^\"]*\"/\1${word%,*}/") ;;
    'write "'*) typing=("${line}s/^\(.\{$skip\}\)['\"]*$(literal "$word")['\"]*/\1\"$(put "$word")\"/") ;;
    "write {"*"}") typing=("${line}s/^\(.\{$skip\}\)\"[^\"]*\"/\1$(put "${advice#write }")/") ;;
    "write true") typing=("${line}s/^\(.\{$skip\}\)[a-z]*/\1true/") ;;
    "write } at the end of the file") typing=("\$a" "}" .) ;;
    "a } is missing before the comma in line "*) typing=("${advice##* }s/,\$/},/") ;;
    "a }"*" is missing before line "*) word=${advice#a } && typing=("${advice##* }i" "${word%% *}" .) ;;
    "rename or remove one of them") typing=("${line}s/$(literal "$found")/$(put "$found")_2/") ;;
    "allowed: "*) word=${advice#allowed: } && typing=("${line}s/^\(.\{$skip\}[{\"]*\)$(literal "$found")/\1${word%%,*}/") ;;
    "the nearest rule is: "*) typing=("${line}s/\"command\": \"[^\"]*\"/\"command\": \"$(put "${advice#*: }")\"/") ;;
    "if it may run, add "*" to allowed_commands in "*)
      file=$CONFIG/${advice##* }
      typing=("/\"allowed_commands\": \\[/s/\"@shipped\"/&, \"$(put "$word")\"/")
      ;;
    *) typing=() ;;
  esac
  # Some say all of it in the message.
  case $message in
    *": use an action of type "*) typing=("$((line - 2)),${line}s/\"shell\"/\"${message##* }\"/" "${line}s/\"command\": \"[^\"]*\"/\"service\": \"nginx\"/") ;;
    *'" is none of '*", "*) [ -n "$advice" ] || { word=${message##*none of } && typing=("${line}s/$(literal "$found")/${word%%,*}/"); } ;;
  esac
  [ "${#typing[@]}" -gt 0 ] || { echo "     nothing in it to type: $message" && return 1; }
  edit ed "$file" "${typing[@]}"
}

# as_shipped FILE: but for blanks.
as_shipped() { [ "$(jq -c . "$1")" = "$(jq -c . "$shipped/${1##*/}")" ]; }

# mistake FILE WHAT LINE COMMAND WORDS [TRUTH]: types a command at the first line that holds LINE; the message must hold WORDS. What
# its advice makes of the file is the shipped one again, or makes the expression of jq true.
mistake() {
  local file=$1 what=$2 line message before editor rounds=0
  editor=${EDITORS[typed % ${#EDITORS[@]}]}
  typed=$((typed + 1))
  line=$(grep -nF -m 1 -- "$3" "$file" | cut -d: -f1)
  before=$(status .generation)
  : > "$LOG"
  edit "$editor" "$file" "$line$4"
  wait_for 10 "$what ($editor): refused" is_refused || return 0
  message=$(refused | head -n 1)
  echo "     $message"
  check "it says what is wrong" grep -qF -- "$5" <<< "$message"
  check "the old configuration stays in force" [ "$(status .generation) $(status .state)" = "$before rejected" ]
  check "status says the same" status_says "$message"
  check "check says the same, and exits with 1" check_says "${message% (*}" "$(sed -nE 's/.* \((.*)\)$/\1/p' <<< "$message")"
  while is_refused && [ "$rounds" -lt 4 ]; do
    message=$(refused | head -n 1)
    rounds=$((rounds + 1))
    : > "$LOG"
    mend "$message" || break
    autoheal reload > /dev/null 2>&1 || true
  done
  wait_for 5 "it is mended by what it says, in $rounds steps" state ok
  if [ -n "${6:-}" ]; then check "and is as it was meant" jq -e "$6" "$file"; else check "and is as it was meant" as_shipped "$file"; fi
  save autoheal.json < "$shipped/autoheal.json"
  save autoheal-playbooks.json < "$shipped/autoheal-playbooks.json"
  autoheal reload > /dev/null
}

settings < "$shipped/autoheal.json"
playbooks < "$shipped/autoheal-playbooks.json"
start_agent
check "it is a dry run" [ "$(autoheal --json status | jq .dry_run)" = true ]

echo "--- what is no JSON"
mistake "$PLAYBOOKS" "a missing comma" '"strategy": "ladder",' 's/,$//' "no comma follows this value"
mistake "$PLAYBOOKS" "a comma after the last entry" '"cooldown_seconds": 60' 's/60/60,/' "no comma may follow the last entry"
mistake "$PLAYBOOKS" "a comment" '"process_down": {' 's/{/{ \/\/ nginx, mostly/' "JSON has no comments"
mistake "$PLAYBOOKS" "single quotes" '{"type": "service_restart"' "s/\"type\": \"service_restart\"/'type': 'service_restart'/" "text stands in double quotes"
mistake "$PLAYBOOKS" "quotes pasted from a web page" '"strategy": "ladder",' "s/\"strategy\": \"ladder\"/${TYPOGRAPHIC:0:1}strategy${TYPOGRAPHIC:1}: ${TYPOGRAPHIC:0:1}ladder${TYPOGRAPHIC:1}/" "is a typographic quote"
mistake "$PLAYBOOKS" "a quote that is missing" '"metric": "disk_usage", "operator": ">"' 's/"disk_usage"/"disk_usage/' "its last quote is missing"
mistake "$PLAYBOOKS" "a closing brace with its line" '  },' d "never closed"
mistake "$PLAYBOOKS" "a closing brace at the end of a line" '"verify": {"metric": "memory_usage"' 's/}$//' "never closed"
mistake "$SETTINGS" "yes for true" '"dry_run": true' 's/true/yes/' "yes is not a word of JSON"

echo "--- names and numbers"
mistake "$PLAYBOOKS" "a misspelt key" '"cooldown_seconds": 60' 's/cooldown/cooldwon/' 'unknown key "cooldwon_seconds"'
mistake "$PLAYBOOKS" "a misspelt metric" '"metric": "disk_usage", "operator": ">"' 's/disk_usage/disk_used/' 'no metric is called "disk_used"'
mistake "$PLAYBOOKS" "a metric in an expression" 'memory_usage > 95% &&' 's/memory_usage/mem_usage/' 'no metric is called "mem_usage"'
mistake "$PLAYBOOKS" "a type of action the wrong way round" '{"type": "service_restart"' 's/service_restart/restart_service/' '"restart_service" is none of shell, service_restart,'
mistake "$PLAYBOOKS" "a severity that does not exist" '"severity": "critical"' 's/critical/high/' '"high" is none of critical, error, warning, info'
mistake "$PLAYBOOKS" "a threshold as text" '"threshold": 90' 's/90/"90%"/' "expected a number, found text"
mistake "$PLAYBOOKS" "a threshold in another unit" '"threshold": 1000' 's/1000/"2GB"/' "(write 2048, without quotes)" \
  '.log_file_large.condition.threshold == 2048'
mistake "$PLAYBOOKS" "a time with its unit" '"for_seconds": 60' 's/60/"1m"/' "(write 60, without quotes)"
mistake "$PLAYBOOKS" "an operator of mathematics" '"operator": ">", "threshold": 90' 's/">"/"=>"/' '"=>" is no operator' \
  '.disk_space_low.condition.operator == ">="'
mistake "$SETTINGS" "a process that is only named" '"processes": []' 's/\[]/["nginx"]/' "expected an object, found text" \
  '.watch.processes == [{"name": "nginx"}]'

echo "--- what is there, and what is allowed"
mistake "$PLAYBOOKS" "a placeholder that does not exist" '"service": "{process_name}"' 's/{process_name}/{process}/' "no label of an incident of this playbook fills {process}"
mistake "$PLAYBOOKS" "a placeholder that is like no other" '"path": "{path}"' 's/{path}/{file}/' "fills {file} (allowed: path, "
mistake "$PLAYBOOKS" "a playbook that exists twice" '"memory_high": {' 's/memory_high/memory_leak/' 'the key "memory_leak" stands twice' \
  'has("memory_leak") and has("memory_leak_2") and length == 9'
mistake "$PLAYBOOKS" "a command that lacks a word" '"npm cache clean --force"' 's/ --force//' "the rule expects --force"
mistake "$PLAYBOOKS" "a command that no rule allows" '"logrotate -f /etc/logrotate.conf"' 's/logrotate -f .*conf/backupctl prune --keep 3/' 'no rule allows the program "backupctl"' \
  '.log_file_large.actions[1].command == "backupctl prune --keep 3"'
mistake "$PLAYBOOKS" "a command that an action does better" '"nginx -s reload"' 's/nginx -s reload/service nginx reload/' "use an action of type service_reload" \
  '.api_slow.actions[2] | .type == "service_reload" and .service == "nginx"'

check "the shipped files are in force in the end" [ "$(status '.playbooks.ids | length')" = 7 ]
stop_agent

#!/usr/bin/env bash
# The guard's verdicts, checked by execution. In name spaces of their own (mounts, processes, network), on a copy of this host that
# forgets everything (an overlay), every allowed command of the table whose program exists here runs as the helper would run it:
# nothing outside of what its rule is for may change, no planted program may run, no process may be left. Then the refused ones
# run the naive way, through a shell: some of them must do harm, or the table would prove nothing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)

settings <<'EOF'
{"watch": {"disks": [], "memory": true}}
EOF
playbooks <<< '{}'
table=$DIR/table.jsonl
cat "$here"/../data/guard/*.jsonl > "$table"
{ echo @shipped; jq -r '.rules // [] | .[]' "$table"; } | sort -u > "$DIR/rules"

verdicts() { "$AUTOHEAL" allow test --batch --manager systemd --config-dir "$CONFIG" --rules "$DIR/rules"; }
verdicts < "$table" > "$DIR/verdicts.jsonl" 2> "$DIR/remarks"
check "every row has a verdict" [ "$(wc -l < "$table")" = "$(wc -l < "$DIR/verdicts.jsonl")" ]
paste -d '\n' "$table" "$DIR/verdicts.jsonl" | jq -c -n 'inputs as $row | {row: $row, verdict: input}' > "$DIR/both.jsonl"

# Everything below happens in the name spaces; /run and the sockets of this host's daemons are not in there.
mkdir "$DIR/cage"
unshare --mount --pid --fork --net --ipc --uts --mount-proc --kill-child \
  python3 "$here/guard_execution.py" "$AUTOHEAL" "$DIR/cage" < "$DIR/both.jsonl" > "$DIR/result.json" 2> "$DIR/errors" ||
  { cat "$DIR/errors"; exit 1; }
of() { jq -r ".$1" "$DIR/result.json"; }

jq -r '.lines[]' "$DIR/result.json" | head -n 40
printf '%s\n' "requests        $(of attacks) attacks, $(of legit) legitimate" \
  "allowed         $(of attacks_allowed) attacks, $(of legit_allowed) legitimate" \
  "executed        $(of executed) allowed commands; $(of changed_inside) changed something where they may" \
  "changed outside $(of changed_outside)" \
  "planted ran     $(of planted)" \
  "left running    $(of left)" \
  "attacks tried   $(of tried) through a shell; $(of real) did harm: $(of harm | tr -d '{}"\n' | sed 's/^ *//')"
check "no attack is allowed" [ "$(of attacks_allowed)" = 0 ]
check "no legitimate request is refused" [ "$(of legit_allowed)" = "$(of legit)" ]
check "allowed commands ran" [ "$(of executed)" -ge 60 ]
check "some of them did what they are for" [ "$(of changed_inside)" -ge 20 ]
check "nothing changed outside of what their rules are for" [ "$(of changed_outside)" = 0 ]
check "no planted program ran" [ "$(of planted)" = 0 ]
check "nothing was left running" [ "$(of left)" = 0 ]
check "the attacks of the table are real: through a shell at least 80 do harm" [ "$(of real)" -ge 80 ]

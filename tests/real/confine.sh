#!/usr/bin/env bash
# What an action finds around it: environment, descriptors, session, limits, user, privileges; and what keeps it in, also as root.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

user=ah-test-$$
groupadd "$user-extra"
useradd --no-create-home --user-group --groups "$user-extra,adm" --shell /usr/sbin/nologin "$user"
trap 'code=$?; userdel "$user" || true; groupdel "$user-extra" || true; finish $code' EXIT

# facts FILE: everything that a program can find out about itself, and what it may do outside the file's directory.
helper facts <<'EOF'
#!/usr/bin/python3
import json, os, resource, subprocess, sys

def status(name):
    with open("/proc/self/status") as lines:
        return next(line.split(":")[1].strip() for line in lines if line.startswith(name + ":"))

def attempt(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__

outside = os.path.dirname(os.path.dirname(sys.argv[1])) + "/outside"
facts = {
    "environment": dict(os.environ),
    "descriptors": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.islink("/proc/self/fd/" + n)),
    "stdin": os.readlink("/proc/self/fd/0"),
    "cwd": os.getcwd(),
    "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    "groups": sorted(os.getgroups()),
    "own_session": os.getsid(0) == os.getpid() == os.getpgid(0),
    "umask": oct(os.umask(0o22)),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "tasks": resource.getrlimit(resource.RLIMIT_NPROC),
    "no_new_privileges": status("NoNewPrivs"),
    "blocked_signals": status("SigBlk"),
    "ignored_signals": status("SigIgn"),
    "start": attempt(lambda: subprocess.run(["/bin/true"], check=True)),
    "write": attempt(lambda: open(outside, "w").close()),
    "empty": attempt(lambda: os.truncate(outside, 0)),
    "read": attempt(lambda: open(outside).close()),
}
with open(sys.argv[1], "w") as file:
    json.dump(facts, file)
EOF
mkdir -m 755 "$DIR/facts" "$DIR/facts-user"
chown "$user:" "$DIR/facts-user"
chmod 711 "$DIR"
echo kept > "$DIR/outside"
chmod 666 "$DIR/outside"
: > "$DIR/app.log"
rule="facts {file:$DIR/facts}"
# Who writes a file as a user must not write where others could put a link.
user_rule="facts {file:$DIR/facts-user}"
# file NAME: where the facts of that name are.
file() { case $1 in *user) echo "$DIR/facts-user/$1" ;; *) echo "$DIR/facts/$1" ;; esac; }
# configure RULE SERVICE: the settings; a rule is JSON.
configure() {
  settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.2,
  "watch": {"disks": [], "memory": false, "logs": [{"path": "$DIR/app.log"}]},
  "allowed_commands": ["@shipped", $1],
  "services": {"web": {"restart": "facts $DIR/facts/service"}},
  "command_path": $(command_path)
}
EOF
}
# playbook ACTION: one that is run by hand.
playbook() {
  playbooks <<EOF
{
  "look": {
    "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1},
    "actions": [$1],
    "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 0},
    "cooldown_seconds": 0
  }
}
EOF
}
cli() { "$AUTOHEAL" --config-dir "$CONFIG" --data-dir "$DATA" "$@" < /dev/null; }
heal() { cli heal look --force > "$DIR/heal.out" 2>&1; }
# collect NAME RULE [ACTION]: runs the action under that rule; its facts are in the file of that name.
collect() {
  configure "$2"
  playbook "${3:-{\"type\": \"shell\", \"command\": \"facts $(file "$1")\"\}}"
  check "$1: the action succeeds" heal
}
# fact NAME EXPRESSION VALUE: what jq finds in the facts of that name.
fact() { check "$1: $2 is $3" [ "$(jq -c "$2" "$(file "$1")")" = "$3" ]; }

number=$(id -u "$user") group=$(id -g "$user")
collect root "\"$rule\""
fact root '.environment | keys - ["TZ"] | map(select(startswith("AUTOHEAL_") | not))' '["HOME","LANG","LOGNAME","PATH","USER"]'
fact root '.environment | keys | map(select(startswith("AUTOHEAL_")))' \
  '["AUTOHEAL_HOSTNAME","AUTOHEAL_INCIDENT_ID","AUTOHEAL_LABEL_PATH","AUTOHEAL_METRIC","AUTOHEAL_PLAYBOOK","AUTOHEAL_SEVERITY","AUTOHEAL_THRESHOLD","AUTOHEAL_VALUE"]'
fact root '[.environment.HOME, .environment.USER, .environment.LANG]' '["/root","root","C.UTF-8"]'
fact root .descriptors '[0,1,2]'
fact root '[.stdin, .cwd, .umask, .own_session]' '["/dev/null","/","0o22",true]'
fact root '[.core, .files]' '[[0,0],[1024,1024]]'
fact root '[.no_new_privileges, .blocked_signals]' '["1","0000000000000000"]'
fact root '[.start, .write, .empty]' '["done","done","done"]'

collect user "{\"rule\": \"$user_rule\", \"run_as\": \"$user\"}"
fact user .ids "[$number,$number,$group,$group]"
fact user .groups "$(id -G "$user" | tr ' ' '\n' | sort -n | jq -sc .)"
fact user '[.environment.USER, .environment.LOGNAME, .environment.HOME]' "[\"$user\",\"$user\",\"/home/$user\"]"
fact user '.no_new_privileges' '"1"'
fact user '.tasks[0] >= 4096 and .tasks[0] < 6000' true

collect free "{\"rule\": \"$rule\", \"sandbox\": \"off\"}"
fact free '[.no_new_privileges, .start, .write]' '["0","done","done"]'
fact free '[.core[0], .files]' "[0,[1024,$(ulimit -Hn)]]"
rm -f "$DIR/facts/free"
collect service '"x"' '{"type": "service_restart", "service": "web"}'
fact service '[.no_new_privileges, .start, .write]' '["0","done","done"]'

echo kept > "$DIR/outside"
collect held "{\"rule\": \"$rule\", \"sandbox\": \"on\"}"
fact held .ids '[0,0,0,0]'
fact held '[.no_new_privileges, .start, .write, .empty, .read]' '["1","PermissionError","PermissionError","PermissionError","done"]'
collect held-user "{\"rule\": \"$user_rule\", \"sandbox\": \"on\", \"run_as\": \"$user\"}"
fact held-user '[.start, .write, .empty, .read]' '["PermissionError","PermissionError","PermissionError","done"]'
check "what lies outside is as it was" [ "$(cat "$DIR/outside")" = kept ]

# A kernel without Landlock: what was to be held runs, and that is said.
without() { strace -f -qq -o /dev/null -e trace=landlock_create_ruleset -e inject=landlock_create_ruleset:error="$1" "${@:2}"; }
bare() { without EOPNOTSUPP "$AUTOHEAL" --config-dir "$CONFIG" --data-dir "$DATA" "$@" < /dev/null; }
says() { grep -F -- "$1" <("${@:2}" 2>&1) > /dev/null; }
command="facts $(file bare-user)"
check "allow test says what would hold it" says "confined: writes only below $DIR/facts-user; starts no other program; no new privileges" \
  cli allow test "$command"
check "allow test says that nothing would" says "not confined: this kernel has no Landlock" bare allow test "$command"
playbook "{\"type\": \"shell\", \"command\": \"$command\"}"
bare_heal() { bare heal look --force > "$DIR/bare.out" 2>&1; }
check "without Landlock: the action succeeds" bare_heal
fact bare-user '[.no_new_privileges, .start]' '["1","done"]'
check "without Landlock: the log says so" grep -F "without the sandbox that its rule asks for" "$DIR/bare.out"
check "without system calls of that name it is the same" \
  says "not confined: this kernel has no Landlock" without ENOSYS "$AUTOHEAL" --config-dir "$CONFIG" allow test "$command"

start_agent
check "status names what is in force" says "protections of actions: landlock, no_new_privileges, orphans, groups" cli status
check "status --json, too" [ "$(cli status --json | jq -c '[.protections[] | select(.state == "in_force").name] | length')" = 4 ]
stop_agent

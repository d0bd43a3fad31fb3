"""Runs commands on a copy of this host that forgets everything, and says what each of them changed.

Called by guard_execution.sh in name spaces of its own: guard_execution.py AUTOHEAL DIRECTORY. Standard input has a line
{"row": …, "verdict": …} for each request of the table; standard output gets one JSON object with the counts.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

AUTOHEAL, CAGE = sys.argv[1:]
LOWER, STATE, ROOT = f"{CAGE}/lower", f"{CAGE}/state", f"{CAGE}/root"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Programs that attacks try to start: here each one only leaves a mark.
PLANTED = ["id", "whoami", "wall", "reboot", "shutdown", "poweroff", "halt", "crontab", "useradd", "passwd", "iptables", "modprobe"]
MARKS = "/planted-ran"
OLD = time.time() - 100 * 86400
# What commands without a path of their own are for: their own state.
OWN = {
    "find": ["/tmp", "/var/log", "/srv/cache"],
    "gzip": ["/var/log"],
    "mv": ["/var/log"],
    "truncate": ["/var/log/app"],
    "rm": ["/srv/cache"],
    "logrotate": ["/var/log", "/var/lib/logrotate"],
    "nginx": ["/var/log/nginx", "/var/lib/nginx", "/run/nginx.pid"],
    "npm": ["/root/.npm"],
    "yarn": ["/root/.cache/yarn", "/usr/local/share/.cache/yarn"],
    "pip": ["/root/.cache/pip"],
    "pip3": ["/root/.cache/pip"],
    "apt-get": ["/var/cache/apt", "/var/lib/apt"],
    "apt": ["/var/cache/apt", "/var/lib/apt"],
    "monit": ["/var/lib/monit", "/var/log/monit.log", "/run/monit.pid"],
    "certbot": ["/var/log/letsencrypt", "/var/lib/letsencrypt", "/etc/letsencrypt"],
    "tar": ["/srv/backup"],
    "journalctl": ["/var/log/journal"],
    "psql": ["/root/.psql_history"],
}
# Their daemons are not in here, and what they say then takes long; `service` is there to leave a daemon.
SKIPPED = {"docker", "kubectl", "service"}
# New files among the old ones, where a cleaner may delete: one that takes them is not bounded.
IN_USE = ["/tmp/in-use", "/var/log/in-use"]
# Of the attacks every third is tried; all of them take five minutes.
STEP = 3
CAPABILITIES = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+net_bind_service,+sys_chroot"


def run(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def write(path, text, mode=0o644, old=False):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    if old:
        os.utime(path, (OLD, OLD))


def plant():
    """The layer over this host: files to lose in every place, old logs to clean, programs that tell on whoever starts them."""
    mark = "#!/bin/sh\n: > {0}/${{0##*/}}\n".format(MARKS)
    for name in PLANTED:
        write(f"{LOWER}/usr/bin/{name}", mark, 0o755)
    for name in ["x.sh", "x", "nginx", "find", "gzip", "evil"]:
        write(f"{LOWER}/tmp/{name}", mark, 0o755)
    write(f"{LOWER}/tmp/x.conf", f"/var/log/app.log {{\n daily\n postrotate\n  : > {MARKS}/postrotate\n endscript\n}}\n")
    for place in ["etc", "home", "root", "usr", "var/lib", "srv", "opt", "boot"]:
        write(f"{LOWER}/{place}/canary", place, old=True)
    write(f"{LOWER}/home/canary.d/file", "home", old=True)
    for name in ["tmp/old.tmp", "tmp/uploads/old", "tmp/a/b/c/core.1", "tmp/my dir/old.bak", "tmp/web/old", "tmp/sess_1"]:
        write(f"{LOWER}/{name}", "old\n", old=True)
    for name in ["app.log", "app.log.1", "syslog.1", "nginx/access.log.1", "app/x.log", "my app.log", "old.gz", "web.log", "a"]:
        write(f"{LOWER}/var/log/{name}", "old\n" * 100, old=True)
    for name in IN_USE:
        write(f"{LOWER}{name}", "new\n")
    write(f"{LOWER}/srv/cache/a", "old", old=True)
    write(f"{LOWER}/srv/app/file", "app", old=True)
    for directory in ["var/log/archive/nginx", "srv/backup", f"{MARKS[1:]}", "run", "proc", "dev", "sys"]:
        os.makedirs(f"{LOWER}/{directory}", exist_ok=True)
    os.chmod(f"{LOWER}/tmp", 0o1777)
    for directory in ["tmp", "var/log", "home", "root", "srv"]:
        os.setxattr(f"{LOWER}/{directory}", "trusted.overlay.opaque", b"y")


def mount():
    for directory in ["upper", "work"]:
        os.makedirs(f"{STATE}/{directory}")
    os.makedirs(ROOT, exist_ok=True)
    run("mount", "-t", "overlay", "cage", "-o", f"lowerdir={LOWER}:/,upperdir={STATE}/upper,workdir={STATE}/work", ROOT)
    run("mount", "-t", "proc", "proc", f"{ROOT}/proc")
    run("mount", "-t", "tmpfs", "dev", f"{ROOT}/dev")
    for name, number in {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}.items():
        os.mknod(f"{ROOT}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(*number))
        os.chmod(f"{ROOT}/dev/{name}", 0o666)
    run("mount", "-t", "tmpfs", "run", f"{ROOT}/run")


def unmount():
    run("umount", "-R", "-l", ROOT)
    shutil.rmtree(f"{STATE}")


def processes():
    return {int(name) for name in os.listdir("/proc") if name.isdigit()} - {1, os.getpid()}


def changes():
    """Every path that is not as before: all of them are in the upper layer. Directories count where their own facts changed."""
    upper = f"{STATE}/upper"
    for directory, names, files in os.walk(upper):
        for name in files + names:
            path = os.path.join(directory, name)
            below = path[len(upper) :]
            meta = os.lstat(path)
            if stat.S_ISDIR(meta.st_mode):
                before = next((os.lstat(at + below) for at in [LOWER, ""] if os.path.lexists(at + below)), None)
                if before is not None and (before.st_mode, before.st_uid, before.st_gid) == (meta.st_mode, meta.st_uid, meta.st_gid):
                    continue
            yield below


def execute(argv, seconds):
    """Runs one command on a fresh copy and gives what it changed, what was planted and ran, and how many processes it left."""
    mount()
    ended = False
    # The helper starts its program when it has read a byte.
    gate, go = os.pipe()
    os.write(go, b"\n")
    os.close(go)
    words = ["setpriv", f"--bounding-set={CAPABILITIES}", f"--inh-caps={CAPABILITIES}", "chroot", ROOT, *argv]
    words[3:3] = ["--"]
    environment = {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8"}
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(words, cwd="/", env=environment, stdin=gate, stdout=nowhere, stderr=nowhere)
    os.close(gate)
    try:
        child.wait(seconds)
        ended = True
    except subprocess.TimeoutExpired:
        pass
    left = processes() if ended else set()
    for pid in processes():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    child.wait()
    reap()
    changed = sorted(changes())
    unmount()
    planted = [path for path in changed if path.startswith(MARKS)]
    return [path for path in changed if not path.startswith(MARKS)], planted, len(left)


def reap():
    while processes():
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.01)


def exists(program):
    return any(os.access(f"{place}/{program}", os.X_OK) for place in PATH.split(":")) or os.access(program, os.X_OK)


def filled(row):
    """The text that somebody gets who pastes values into commands."""
    text = row["command"]
    for name, value in row.get("labels", {}).items():
        text = text.replace("{" + name + "}", value)
    return text


def inside(path, program):
    own = OWN.get(program, [])
    return path not in IN_USE and any(path == place or path.startswith(place + "/") for place in own)


def main():
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "cage", CAGE)
    plant()
    count = dict.fromkeys("attacks legit attacks_allowed legit_allowed executed changed_inside changed_outside planted left tried real".split(), 0)
    harm, lines = {}, []
    for number, line in enumerate(sys.stdin):
        both = json.loads(line)
        row, verdict = both["row"], both["verdict"]
        allowed = verdict["verdict"] == "allow"
        count["legit" if row["kind"] == "legit" else "attacks"] += 1
        count["legit_allowed" if row["kind"] == "legit" else "attacks_allowed"] += allowed
        if "command" not in row:
            continue
        if allowed:
            program = verdict["argv"][0].rsplit("/", 1)[-1]
            if verdict["shell"] or program in SKIPPED or not verdict["program"]:
                continue
            argv = [AUTOHEAL, "__confine", "--", verdict["program"], *verdict["argv"][1:]]
            changed, planted, left = execute(argv, 20)
            outside = [path for path in changed if not inside(path, program)]
            count["executed"] += 1
            count["changed_inside"] += any(inside(path, program) for path in changed)
            count["changed_outside"] += bool(outside)
            count["planted"] += bool(planted)
            count["left"] += left
            if outside or planted or left:
                lines.append(f"{row['command']!r}: changed {outside[:5]}, planted {planted}, left {left}")
        elif row["kind"] == "attack" and number % STEP == 0 and "\0" not in filled(row):
            changed, planted, left = execute(["/bin/sh", "-c", filled(row)], 2)
            count["tried"] += 1
            known = verdict["argv"] or row["command"].split()
            program = known[0].rsplit("/", 1)[-1] if known else ""
            if planted or left or any(not inside(path, program) for path in changed):
                count["real"] += 1
                harm[row["class"]] = harm.get(row["class"], 0) + 1
    print(json.dumps({**count, "harm": harm, "lines": lines}))


main()

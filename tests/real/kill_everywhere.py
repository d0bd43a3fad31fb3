"""Kills the agent before each system call of a heal, starts it again, and counts what went wrong: kill_everywhere.py AGENT DIR"""
import collections, concurrent.futures, glob, itertools, json, os, re, shutil, signal, sqlite3, subprocess, sys, time

AGENT, ROOT = sys.argv[1:3]
CALLS = ("read write pread64 pwrite64 pwritev fdatasync fsync fallocate ftruncate rename renameat renameat2 unlink unlinkat openat"
         " close fcntl lseek newfstatat statx mkdir pipe2 clone clone3 vfork execve pidfd_open wait4 waitid sendto mmap munmap kill"
         " prctl poll ppoll ioctl fchmod fchmodat fchown flock").split()
# Of each call of the thread that writes down, of the one that decides, and of those that act, so many points at most are tried.
MOST = {"record": 60, "heal": 60, None: 30}
AT_ONCE, DEADLINE = 4, 30
FAULTS = ("double", "lost", "unreported", "unended", "damaged")


def wait(what, condition, seconds=DEADLINE):
    """Looks until it holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds} s")
        time.sleep(0.02)
    return found


class Trial:
    """One agent with a directory of its own."""

    def __init__(self, name):
        self.dir = f"{ROOT}/{name}"
        self.config, self.data = self.dir + "/config", self.dir + "/data"
        os.makedirs(self.config)
        os.mkdir(self.data, 0o750)
        self.agent = self.tracer = None
        command = f"heal-once {self.dir}"
        self.save("autoheal.json", {
            "dry_run": False, "interval_seconds": 0.1, "watch": {"disks": [], "memory": False, "logs": [{"path": self.dir + "/app.log"}]},
            "allowed_commands": ["@shipped", command], "command_path": json.loads(os.environ["COMMAND_PATH"]),
        })
        self.save("autoheal-playbooks.json", {"log_file_large": {
            "condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1},
            "actions": [{"type": "shell", "command": command, "timeout_seconds": 20}],
            "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 2, "retry_interval_seconds": 0.1},
            "cooldown_seconds": 0, "relapse_seconds": 0,
        }})
        open(self.dir + "/app.log", "w").close()

    def save(self, name, value):
        with open(f"{self.config}/{name}", "w") as file:
            json.dump(value, file)

    def log(self):
        with open(self.dir + "/agent.log") as file:
            return file.read()

    def start(self):
        with open(self.dir + "/agent.log", "w") as log:
            self.agent = subprocess.Popen(
                [AGENT, "run", "--config-dir", self.config, "--data-dir", self.data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait("an agent that is ready", lambda: "ready" in self.log() or self.agent.poll() is not None)
        if self.agent.poll() is not None:
            raise RuntimeError(f"the agent ended with {self.agent.returncode}")

    def threads(self):
        """The threads' names by their ids."""
        names = {}
        for task in os.listdir(f"/proc/{self.agent.pid}/task"):
            with open(f"/proc/{self.agent.pid}/task/{task}/comm") as comm:
                names[int(task)] = comm.read().strip()
        return names

    def trace(self, thread, options):
        """strace on one thread, or on all and those to come. It lets go of what becomes another program."""
        target = ["-f", "-b", "execve", "-p", str(self.agent.pid)]
        if thread:
            target = ["-p", next(str(task) for task, name in self.threads().items() if name == thread)]
        said = self.dir + "/strace.log"
        with open(said, "w") as log:
            self.tracer = subprocess.Popen(["strace", *target, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        attached = lambda: open(said).read().count("attached") or self.tracer.poll() is not None
        wait("a tracer that is attached", attached)

    def trouble(self):
        with open(self.dir + "/app.log", "w") as file:
            file.write("x" * 1_200_000)

    def reports(self):
        """How the incidents stand by their reports."""
        found = {}
        for path in glob.glob(self.data + "/*.md"):
            with open(path) as file:
                text = file.read()
            found[re.search(r"-([a-z0-9]{8})\.md$", path)[1]] = text
        return found

    def ended(self):
        """The reports that say how it ended."""
        return [text for text in self.reports().values() if not re.search(r"^- \*\*Status\*\*: 🔄 (?!running)", text, re.I | re.M)]

    def ran(self):
        try:
            with open(self.dir + "/ran") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def rows(self, directory):
        """The history's incidents, with the status of their only step."""
        database = sqlite3.connect(f"{directory}/history.db", timeout=5)
        try:
            columns = "id, status, live, interrupted, view, (SELECT steps.status FROM steps WHERE incident = incidents.id)"
            return {row[0]: row[1:] for row in database.execute(f"SELECT {columns} FROM incidents")}
        finally:
            database.close()

    def post_mortem(self):
        """What a restart will find, read from a copy: SQLite tidies up what it opens."""
        copy = self.dir + "/copy"
        os.mkdir(copy)
        for path in glob.glob(self.data + "/history.db*"):
            if not path.endswith("-shm"):
                shutil.copy(path, copy)
        return self.rows(copy)

    def settled(self):
        rows = self.rows(self.data)
        small = os.path.getsize(self.dir + "/app.log") < 1_000_000
        texts = self.reports()
        return small and rows and not any(row[1] for row in rows.values()) and set(texts) >= set(rows) and len(self.ended()) == len(texts)

    def in_words(self, before):
        """For whoever must find the fault."""
        stood = lambda rows: {id: (row[0], row[4]) for id, row in rows.items()}
        says = {id: re.findall(r"^- \*\*Status\*\*: (.*)", text, re.M) for id, text in self.reports().items()}
        return f"ran {self.ran()}, at the kill {stood(before)}, now {stood(self.rows(self.data))}, the reports {says}\n{self.log()}"

    def end(self):
        for process in (self.tracer, self.agent):
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def points():
    """Runs a heal once and lists every call of it: (thread, call, which one). No thread: one that begins during the heal."""
    trial = Trial("count")
    try:
        trial.start()
        names = trial.threads()
        trial.trace(None, ["-o", trial.dir + "/calls", "-e", "trace=" + ",".join(CALLS)])
        trial.trouble()
        wait("the end of the heal", trial.settled)
    finally:
        trial.end()
    counts = collections.Counter()
    for line in open(trial.dir + "/calls"):
        if call := re.match(r"(\d+) +(\w+)\(", line):
            counts[names.get(int(call[1])), call[2]] += 1
    chosen = []
    for (thread, call), count in sorted(counts.items(), key=str):
        most = min(count, MOST.get(thread, 0))
        chosen += [(thread, call, 1 + index * count // most) for index in range(most)]
    total = sum(count for (thread, _), count in counts.items() if thread in MOST)
    print(f"a heal makes {total} system calls that matter, and {len(chosen)} of them are tried")
    return chosen


def phase(rows):
    """Where the newest incident stood, as a restart sees it."""
    if not rows:
        return "before the first record"
    status, live, _, _, step = list(rows.values())[-1]
    return f"{status}, action {step}" if live else "after the end"


def judge(trial, before, ran_before):
    """What went wrong, by the name of the column."""
    rows, texts, ran = trial.rows(trial.data), trial.reports(), trial.ran()
    faults = collections.Counter(double=len(ran) - len(set(ran)))
    # What ran was on record before it ran.
    faults["lost"] = len((set(ran) | set(texts) | set(before)) - set(rows)) + len(ran_before - set(before))
    cut_short = {id for id, row in before.items() if row[4] == "running"} | {id for id, row in rows.items() if row[4] == "interrupted"}
    for id in cut_short & set(rows):
        says = rows[id][2] and json.loads(rows[id][3])["interrupted"] and "interrupted" in texts.get(id, "").lower()
        faults["unreported"] += not says
    database = sqlite3.connect(trial.data + "/history.db")
    whole = database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    aside = [path for path in glob.glob(trial.data + "/history.db*") if not re.search(r"\.db(-wal|-shm)?$", path)]
    faults["damaged"] = int(not whole or bool(aside))
    return faults


def kill_at(number, point):
    """One kill: (whether it hit, the phase, the faults, words about them)."""
    thread, call, which = point
    trial = Trial(f"kill{number}")
    try:
        trial.start()
        trial.trace(thread, ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={which}"])
        trial.trouble()
        over = []

        def killed_or_over():
            if trial.agent.poll() is None and not over and trial.ended():
                over.append(time.monotonic())
            return trial.agent.poll() is not None or (over and time.monotonic() > over[0] + 0.5)

        wait("a kill or the end of the heal", killed_or_over)
        if trial.agent.poll() != -signal.SIGKILL:
            return False, "not reached", collections.Counter(), ""
        before, ran = trial.post_mortem(), set(trial.ran())
        trial.start()
        try:
            wait("an end without open incidents", trial.settled)
            faults = judge(trial, before, ran)
        except TimeoutError:
            faults = judge(trial, before, ran) + collections.Counter(unended=1)
        words = "" if not +faults else f"{point}: {dict(+faults)}\n{trial.in_words(before)}"
        return True, phase(before), faults, words
    finally:
        trial.end()
        shutil.rmtree(trial.dir)


def main():
    table, begin = collections.defaultdict(collections.Counter), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for hit, where, faults, words in pool.map(kill_at, itertools.count(), points()):
            table[where].update(faults)
            table[where]["killed" if hit else "missed"] += 1
            if words:
                print(words)
    line = "{:<40}" + "{:>11}" * (1 + len(FAULTS))
    print(line.format("when the agent was killed", "killed", *FAULTS))
    missed = table.pop("not reached", {})
    total = sum(table.values(), collections.Counter())
    for where in sorted(table):
        print(line.format(where, table[where]["killed"], *(table[where][fault] for fault in FAULTS)))
    print(f"{missed.get('missed', 0)} points were not reached; it took {time.monotonic() - begin:.0f} s")
    print("total", *(f"{name}={total[name]}" for name in ("killed", *FAULTS)))


main()

"""The attackers of races.sh. Each runs until its standard input is closed, and prints what it did.

swap DIRECTORY LINK: exchanges the two names as fast as it can (renameat2(2), RENAME_EXCHANGE), and puts old files into whatever
    bears the first name. Prints the number of exchanges.
hostile COUNT NAME: so many processes that take the name and another one in turn, the first ten each millisecond, the others each
    tenth of a second, which two processors can bear. Prints how many were signalled.
reuse NAME: in a PID name space of its own, a process of that name and another one have the same number in turn. Prints how often
    the number changed hands, and how often the other one was signalled.
"""
import ctypes, os, select, signal, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE, SYS_RENAMEAT2 = -100, 2, {"x86_64": 316, "aarch64": 276}[os.uname().machine]
PR_SET_PDEATHSIG, PR_SET_NAME, WEEK = 1, 15, 7 * 86400


def over():
    return bool(select.select([0], [], [], 0)[0])


def call_me(name):
    libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def old(path):
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o644)
        os.utime(descriptor, (time.time() - 2 * WEEK,) * 2)
        os.close(descriptor)
    except OSError:
        pass  # The other name is a link to where this user may not write.


def swap(directory, link):
    def fill():
        while True:
            for number in range(100):
                old(f"{directory}/old{number}")
                old(f"{directory}/deep/old{number}")
            time.sleep(0.02)

    threading.Thread(target=fill, daemon=True).start()
    one, other, swaps = directory.encode(), link.encode(), 0
    while swaps % 64 or not over():
        if libc.syscall(SYS_RENAMEAT2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE):
            sys.exit(f"renameat2: {os.strerror(ctypes.get_errno())}")
        swaps += 1
        if swaps % 16 == 0:
            time.sleep(0.0005)  # Two thirds of the time somebody else may run, on any number of processors.
    print(swaps)


def hostile(count, name):
    pids = []
    wait, go = os.pipe()
    for number in range(int(count)):
        pid = os.fork()
        if pid == 0:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.nice(19)
            os.close(go)
            os.read(wait, 1)
            pause = 0.001 if number < 10 else 0.1
            while True:
                call_me(name)
                time.sleep(pause)
                call_me(f"x{number}")
                time.sleep(pause)
        pids.append(pid)
    os.close(go)
    print("ready", flush=True)
    sys.stdin.read()
    signalled = sum(os.waitpid(pid, os.WNOHANG)[0] != 0 for pid in pids)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    print(signalled)


def reuse(name):
    number, changes, wrong, right = 300, 0, 0, 0

    def born(name):
        """A child with that very number, which ends by itself when it is signalled or told."""
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(number - 1))
        mine, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            call_me(name)
            os.write(theirs, b".")
            signal.pause()
        os.close(theirs)
        os.read(mine, 1)  # Ends also if the child was signalled at once.
        os.close(mine)
        return pid

    def ended(pid):
        """Whether it was signalled by somebody else before we end it."""
        os.kill(pid, signal.SIGKILL)
        return os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGHUP

    while not over():
        pid = born(name)
        if pid == number:
            time.sleep(0.001)
        right += ended(pid)
        pid = born("innocent")
        if pid == number:
            changes += 1
            time.sleep(0.001)
        wrong += ended(pid)
    print(changes, right, wrong)


{"swap": swap, "hostile": hostile, "reuse": reuse}[sys.argv[1]](*sys.argv[2:])

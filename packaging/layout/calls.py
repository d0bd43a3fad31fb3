#!/usr/bin/env python3
"""calls.py PROGRAM PID: prints the functions of PROGRAM that process PID is in, and those that it calls from now on, each once, in the
order of their first calls, until the process ends. For Linux on x86-64, and a program that was not stripped.

A breakpoint is written to the start of each function. The thread that meets one stops; the breakpoint is removed, and the thread goes
on where it was. So what is called often costs nothing, and the process keeps its pace."""
import bisect
import ctypes
import os
import signal
import struct
import subprocess
import sys

BREAKPOINT = b"\xcc"
PEEKUSER, POKEUSER, CONT, DETACH, SEIZE, INTERRUPT = 3, 6, 7, 17, 0x4206, 0x4207
RIP, RSP = 16 * 8, 19 * 8  # where struct user (sys/user.h) has them
DEEPEST = 64 * 1024  # bytes of a stack that are looked at
FOLLOW = 2 | 4 | 8 | 16  # into forks, vforks and threads; and stop at an exec
EXEC = 4  # the event of that
ALL_THREADS = 0x40000000  # __WALL

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long] * 4


def ptrace(request, thread, address=0, data=0):
    """As ptrace(2) of the C library, which returns what a peek finds."""
    ctypes.set_errno(0)
    answer = libc.ptrace(request, thread, address, data)
    if answer == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace {request} of {thread}")
    return answer


def functions(program):
    """Name and size of each function, by address. Of several names of one function the first."""
    table = subprocess.run(["readelf", "-sW", program], check=True, capture_output=True, text=True).stdout
    found = {}
    for row in (line.split() for line in table.splitlines()):
        if len(row) == 8 and row[3] == "FUNC" and row[6] != "UND" and int(row[2], 0):
            found.setdefault(int(row[1], 16), (row[7], int(row[2], 0)))
    return found


def loaded_at(program, pid):
    with open(f"/proc/{pid}/maps") as maps:
        return min(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(f" {program}"))


def stack(thread):
    """The words on the stack of a thread that stopped: return addresses, and what else lies there."""
    top = ptrace(PEEKUSER, thread, RSP)
    found = b""
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        for page in range(top, top + DEEPEST, 4096):
            try:
                memory.seek(page)
                found += memory.read(4096)
            except OSError:  # its end
                break
    return struct.unpack(f"<{len(found) // 8}Q", found[: len(found) // 8 * 8])


def inside(pid, table):
    """The addresses of the functions that some thread will return to: a loop that never ends is not called again."""
    starts = sorted(table)
    found = set()
    for thread in map(int, os.listdir(f"/proc/{pid}/task")):
        ptrace(INTERRUPT, thread)
        os.waitpid(thread, ALL_THREADS)
        for word in stack(thread):
            start = starts[max(bisect.bisect(starts, word) - 1, 0)]
            if start < word < start + table[start][1]:
                found.add(start)
        ptrace(CONT, thread)
    return found


def seize(pid):
    """Follows every thread that there is and will be."""
    followed = set()
    while new := {int(thread) for thread in os.listdir(f"/proc/{pid}/task")} - followed:
        for thread in new:
            ptrace(SEIZE, thread, data=FOLLOW)
        followed |= new


class Breakpoints:
    def __init__(self, pid, addresses):
        self.before = {}
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            for address in addresses:
                memory.seek(address)
                self.before[address] = memory.read(1)
                memory.seek(address)
                memory.write(BREAKPOINT)

    def remove(self, thread, address):
        """From the memory of one process: one that forked has its own, with the breakpoints of the other."""
        with open(f"/proc/{thread}/mem", "r+b", buffering=0) as memory:
            memory.seek(address)
            memory.write(self.before[address])

    def go_on(self, thread, status):
        """Has a thread that stopped go on. The address, if it had met a breakpoint."""
        number, event = os.WSTOPSIG(status), status >> 16
        if number == signal.SIGTRAP and not event:
            address = ptrace(PEEKUSER, thread, RIP) - 1
            if address in self.before:
                self.remove(thread, address)
                ptrace(POKEUSER, thread, RIP, address)
                ptrace(CONT, thread)
                return address
        if event == EXEC:  # it is another program now, without breakpoints
            ptrace(DETACH, thread)
        else:
            ptrace(CONT, thread, data=0 if event else number)
        return None


def main():
    program, pid = os.path.realpath(sys.argv[1]), int(sys.argv[2])
    base = loaded_at(program, pid)
    table = {base + address: function for address, function in functions(program).items()}
    names = {address: name for address, (name, _) in table.items()}
    seize(pid)
    for address in inside(pid, table):
        print(names[address], flush=True)
    breakpoints = Breakpoints(pid, names)
    met = {None}
    while True:
        thread, status = os.waitpid(-1, ALL_THREADS)
        if not os.WIFSTOPPED(status):
            if thread == pid:
                return
            continue
        try:
            address = breakpoints.go_on(thread, status)
        except ProcessLookupError:  # killed meanwhile
            continue
        if address not in met:
            met.add(address)
            print(names[address], flush=True)


if __name__ == "__main__":
    main()

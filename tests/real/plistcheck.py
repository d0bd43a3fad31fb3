#!/usr/bin/env python3
"""Checks launchd property lists on a machine without macOS, against launchd.plist(5): plistcheck.py FILE...

Exit 1 and a line for each finding, if there is any."""

import os
import plistlib
import re
import sys

# The keys that a daemon of ours may use, with their types.
KEYS = {
    "AbandonProcessGroup": bool,
    "EnvironmentVariables": dict,
    "ExitTimeOut": int,
    "GroupName": str,
    "KeepAlive": (bool, dict),
    "Label": str,
    "LowPriorityIO": bool,
    "Nice": int,
    "ProcessType": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "StandardErrorPath": str,
    "StandardOutPath": str,
    "ThrottleInterval": int,
    "Umask": int,
    "UserName": str,
    "WorkingDirectory": str,
}
KEEP_ALIVE = {"Crashed", "SuccessfulExit"}
PROCESS_TYPES = {"Adaptive", "Background", "Interactive", "Standard"}


def findings(path):
    try:
        with open(path, "rb") as file:
            job = plistlib.load(file)
    except Exception as error:  # plistlib raises many kinds
        yield f"no property list: {error}"
        return
    for key, value in job.items():
        wanted = KEYS.get(key)
        if wanted is None:
            yield f"unknown key {key}"
        elif not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            yield f"{key} has the type {type(value).__name__}"
    if os.path.basename(path) != f"{job.get('Label')}.plist":
        yield f"the file should be called {job.get('Label')}.plist"
    arguments = job.get("ProgramArguments") or [""]
    if not arguments[0].startswith("/"):
        yield f"{arguments[0]!r}: launchd does not search for programs"
    paths = [job.get(key, "") for key in ("StandardErrorPath", "StandardOutPath", "WorkingDirectory")]
    for text in arguments + paths:
        if re.search(r"(^|[\s=:])~|\$\{?[A-Z]", text):
            yield f"{text!r}: launchd expands neither ~ nor variables"
    keep_alive = job.get("KeepAlive")
    if isinstance(keep_alive, dict) and not keep_alive.keys() <= KEEP_ALIVE:
        yield f"KeepAlive: {sorted(keep_alive.keys() - KEEP_ALIVE)}"
    if job.get("ProcessType", "Standard") not in PROCESS_TYPES:
        yield f"ProcessType: {job['ProcessType']}"
    if job.get("ThrottleInterval", 10) < 10:
        yield "ThrottleInterval: launchd raises it to 10"


wrong = [f"{path}: {finding}" for path in sys.argv[1:] for finding in findings(path)]
print("\n".join(wrong), end="\n" if wrong else "")
sys.exit(bool(wrong))

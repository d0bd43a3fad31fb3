"""Mounts a file system whose server never answers: dead_mount.py DIRECTORY. Ends when it is told to."""

import ctypes
import os
import signal
import sys

device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
# Nobody reads the device, so every call on the mount waits.
if libc.mount(b"dead", sys.argv[1].encode(), b"fuse", 0, options) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
signal.sigwait([signal.SIGTERM, signal.SIGINT])

#!/usr/bin/env python3
"""Runs a command on a terminal of 80 x 24, waits until it has drawn twice, ends it by a key or a signal, and says how it and the
terminal ended. STOP: it is stopped before, goes on on a terminal that a shell has had meanwhile, and is ended by a key.

    terminal.py q|INT|STOP <command> <argument>...
"""

import os
import pty
import re
import select
import signal
import struct
import sys
import termios
from fcntl import ioctl

how, command = sys.argv[1], sys.argv[2:]
master, slave = pty.openpty()
ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    ioctl(slave, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)
    os.execv(command[0], command)


def read_until(output, done):
    while not done(output):
        if not select.select([master], [], [], 20)[0]:
            sys.exit(f"nothing more comes after {output!r}")
        output += os.read(master, 65536)
    return output


FRAME = b"\033[?2026h\033[H"
ENTER = b"\033[?1049h\033[?25l\033[2J"
output = read_until(b"", lambda text: text.count(FRAME) >= 3)
if how == "STOP":
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    termios.tcsetattr(slave, termios.TCSANOW, before)
    os.kill(pid, signal.SIGCONT)
    read_until(b"", lambda text: text.count(ENTER) == 1 and text.count(FRAME) >= 3)
if how in ("q", "STOP"):
    os.write(master, b"q")
else:
    os.kill(pid, getattr(signal, "SIG" + how))
output = read_until(output, lambda text: text.endswith(b"\033[?25h\033[?1049l"))
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if not output.startswith(ENTER):
    sys.exit(f"the alternate screen is not the first thing: {output[:60]!r}")
for frame in output.split(FRAME)[1:-1]:
    for line in frame.split(b"\033[J")[0].split(b"\r\n"):
        text = re.sub(rb"\033\[[0-9;?]*[a-zA-Z]", b"", line).decode().rstrip("\r")
        if len(text) not in (0, 80):
            sys.exit(f"a line of {len(text)} columns: {text!r}")
if termios.tcgetattr(slave) != before:
    sys.exit("the terminal is not as it was")
print(f"it ended with {status}, and the terminal is as it was")

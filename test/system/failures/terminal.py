"""Runs a command on a terminal of its own.

What comes on stdin is typed; the end of stdin closes the terminal.
"""

import os
import pty
import select
import sys

command = sys.argv[1:]
process, terminal = pty.fork()
if process == 0:
    os.execvp(command[0], command)


def read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # All processes have left the terminal.
        return b""


while True:
    readable, _, _ = select.select([0, terminal], [], [])
    if terminal in readable:
        shown = read(terminal)
        if not shown:
            break
        os.write(1, shown)
    if 0 in readable:
        typed = read(0)
        if not typed:
            break
        os.write(terminal, typed)
os.close(terminal)
_, status = os.waitpid(process, 0)
os.write(1, b"\nended with %d\n" % os.waitstatus_to_exitcode(status))

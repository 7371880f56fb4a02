"""Which processes the driver starts again: by their exit code and by how often they failed."""

import time

# Exit codes of mnist-dist (docs/reference/exit-codes.md), the shell's for a program that cannot be
# run, and that of SIGKILL, which stands for an actor whose process or node is gone.
RENDEZVOUS = 15
UNREACHABLE = 16
LOCKED = 28
BROKEN = 126
INTERRUPTED = 130
LOST = 137
TERMINATED = 143
# A worker that ends with one of these would do so again: the options (2), the set-up (10), the
# engine (11), the dataset (12), the versions (18), the kind of engine (19), an invalid message
# (21), a program that cannot be run or does not exist (126, 127).
FINAL = frozenset({2, 10, 11, 12, 18, 19, 21, BROKEN, 127})
# Failures in a row after which a process is given up. One that has run for STABLE_SECONDS starts
# the count again.
MAX_FAILURES = 10
STABLE_SECONDS = 60.0


def may_resume(code: int, is_restart: bool) -> bool:
    """Whether the coordinator crashed, or its predecessor has not quite ended."""
    return code == 1 or (code > 130 and code != TERMINATED) or (code == LOCKED and is_restart)


class Failures:
    """Counts the failures of a process in a row."""

    def __init__(self) -> None:
        self._count = 0
        self._began = time.monotonic()

    def are_too_many(self) -> bool:
        """Counts one more."""
        now = time.monotonic()
        self._count = 1 if now - self._began > STABLE_SECONDS else self._count + 1
        self._began = now
        return self._count > MAX_FAILURES

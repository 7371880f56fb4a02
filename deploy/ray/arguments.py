"""The command line of the driver: what it accepts, and an error for everything else."""

import argparse
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

MAX_WORKERS = 256
MAX_CPUS = 1024
MAX_PORT = 65535
NUMBER = re.compile(r"[0-9]{1,5}(\.[0-9]{1,4})?")

# Options of `mnist-dist coordinator` that the driver sets, and what to use instead.
OWN_OPTIONS = {
    "--advertise": "the driver sets it to the address of its node",
    "--host": "the driver sets it to the address of its node",
    "--min-workers": "use --workers MIN..MAX",
    "--port": "use --port before --",
    "--resume": "use --run: an existing run is resumed",
    "--run-id": "use --run",
    "--runs-dir": "use --run",
    "--ssl-certfile": "the driver creates a certificate",
    "--ssl-keyfile": "the driver creates a certificate",
    "--token-file": "use --token-file before --",
}


@dataclass(frozen=True)
class Arguments:
    """A command line that has been checked."""

    min_workers: int
    max_workers: int
    cpus: float
    gpus: float
    run: str
    program: str
    port: int
    token_file: str | None
    coordinator_options: tuple[str, ...]

    @property
    def share(self) -> str:
        """What Ray reserves for each worker, in words."""
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus > 0 else "")


def refused(text: str, allowed: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f'"{text}" is not allowed; allowed: {allowed}')


def workers(text: str) -> tuple[int, int]:
    """MIN and MAX; a single number is both."""
    match = re.fullmatch(r"([0-9]{1,3})(?:\.\.([0-9]{1,3}))?", text)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= low <= high <= MAX_WORKERS:
        allowed = f"N or MIN..MAX, whole numbers from 1 to {MAX_WORKERS}, such as 4 or 2..8"
        raise refused(text, allowed)
    return low, high


def cpus(text: str) -> float:
    if not NUMBER.fullmatch(text) or not 0 < float(text) <= MAX_CPUS:
        raise refused(text, f"a number above 0, at most {MAX_CPUS}, such as 1 or 0.5")
    return float(text)


def gpus(text: str) -> float:
    """A worker computes on one GPU, or shares it."""
    if not NUMBER.fullmatch(text) or float(text) > 1:
        raise refused(text, "a number from 0 to 1, such as 1 or 0.5")
    return float(text)


def port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > MAX_PORT:
        raise refused(text, f"a whole number from 0 to {MAX_PORT}")
    return int(text)


def absolute(text: str) -> str:
    """An absolute path: the folder in which Ray runs a job is temporary."""
    path = PurePosixPath(text)
    if not path.is_absolute() or path.name in ("", ".."):
        raise refused(text, "an absolute path, such as /srv/mnist-dist/first")
    return str(path)


def program(text: str) -> str:
    """A name that is looked up in the PATH, or an absolute path."""
    return text if text != "" and "/" not in text else absolute(text)


def parse(argv: Sequence[str]) -> Arguments:
    """Checks the command line. Exits with 2 and a message if it is not allowed."""
    split = argv.index("--") if "--" in argv else len(argv)
    own, options = argv[:split], argv[split + 1 :]
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        usage="%(prog)s --workers MIN..MAX --run DIR [options] [-- options of the coordinator]",
        description="Trains MNIST with mnist-dist on the nodes of a Ray cluster.",
        epilog="Options after -- are those of `mnist-dist coordinator`, such as -- --epochs 20.",
    )
    known: list[str] = []

    def option(name: str, **details: object) -> None:
        known.append(name)
        parser.add_argument(name, **details)  # type: ignore[arg-type]

    option("--workers", type=workers, metavar="MIN..MAX", help="as many as have room, within this")
    option("--run", type=absolute, metavar="DIR", help="run directory on the driver's node")
    option("--cpus-per-worker", type=cpus, default=1.0, metavar="X", help="1 if not set")
    option("--gpus-per-worker", type=gpus, default=0.0, metavar="X", help="0 if not set, at most 1")
    option(
        "--mnist-dist", type=program, default="mnist-dist", metavar="PROGRAM", help="on each node"
    )
    option("--port", type=port, default=0, metavar="PORT", help="of the coordinator; 0 is any free")
    option("--token-file", type=absolute, metavar="FILE", help="on each node; else Ray passes one")
    given, unknown = parser.parse_known_args(own)
    for word in unknown:
        close = difflib.get_close_matches(word.split("=")[0], known, n=1)
        hint = f"did you mean {close[0]}?" if close else "options of the coordinator go after --"
        parser.error(f'unknown argument "{word}": {hint}')
    for name, value in (("--workers", given.workers), ("--run", given.run)):
        if value is None:
            parser.error(f"{name} is missing; see --help")
    for name in (word.split("=")[0] for word in options):
        if name in OWN_OPTIONS:
            parser.error(f"{name} is not allowed after --: {OWN_OPTIONS[name]}")
    low, high = given.workers
    return Arguments(
        min_workers=low,
        max_workers=high,
        cpus=given.cpus_per_worker,
        gpus=given.gpus_per_worker,
        run=given.run,
        program=given.mnist_dist,
        port=given.port,
        token_file=given.token_file,
        coordinator_options=tuple(options),
    )

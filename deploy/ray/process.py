"""The actors of the driver. Each runs one mnist-dist process on its node."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs

from arguments import Arguments
from restarts import BROKEN, TERMINATED

# Time for a process to end after SIGTERM: a coordinator finishes its step and writes a checkpoint.
STOP_SECONDS = 30
LOOK_SECONDS = 0.1
READ_BYTES = 65536
# Lines of output that wait for the driver; older ones are dropped.
MAX_LINES = 10_000


class Process:
    """Runs one process, which gets SIGTERM when this actor ends, however that happens."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._code: int | None = None
        self._is_stopping = False
        self._has_news = asyncio.Event()

    async def placed(self) -> None:
        """Returns once Ray has started this actor on a node."""

    async def news(self) -> tuple[list[str], int | None]:
        """Waits for output or the end; returns the new lines and, at the end, the exit code."""
        await self._has_news.wait()
        self._has_news.clear()
        lines = list(self._lines)
        self._lines.clear()
        return lines, self._code

    async def stop(self) -> None:
        """Sends SIGTERM and waits for the end; after STOP_SECONDS, sends SIGKILL."""
        self._is_stopping = True
        process = self._process
        if process is None or self._running is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
            await asyncio.wait({self._running}, timeout=STOP_SECONDS)
            process.kill()

    def _start(self, arguments: Sequence[str], paste: str = "") -> None:
        """Starts mnist-dist; when it ends, so does the work of this actor."""

        async def run() -> None:
            self._end(await self._execute(arguments, self._say, paste))

        self._running = asyncio.create_task(run())

    async def _execute(
        self, arguments: Sequence[str], say: Callable[[str], None], paste: str = ""
    ) -> int:
        """Runs mnist-dist with `paste` as its standard input; returns its exit code."""
        if self._is_stopping:
            return TERMINATED
        # A preexec_fn could deadlock: Ray's processes have threads.
        command = ["setpriv", "--pdeathsig", "TERM", "--", self._program, *arguments]
        source = PIPE if paste else DEVNULL
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *command, stdin=source, stdout=PIPE, stderr=STDOUT
            )
        except OSError as error:
            say(f"{command[0]}: {error}")
            return BROKEN
        if process.stdin is not None:
            process.stdin.write(paste.encode())
            process.stdin.close()
        rest = b""
        while process.stdout is not None and (chunk := await process.stdout.read(READ_BYTES)):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                say(line.decode(errors="replace"))
        code = await process.wait()
        return code if code >= 0 else 128 - code

    def _say(self, line: str) -> None:
        self._lines.append(line)
        self._has_news.set()

    def _end(self, code: int) -> None:
        self._code = code
        self._has_news.set()


class Coordinator(Process):
    """Runs the coordinator."""

    async def start(self, given: Arguments, address: str, is_restart: bool) -> str | None:
        """Starts or resumes the run; returns the join string, or None if the process ended."""
        run = Path(given.run)
        if is_finished(run) and (is_restart or not extends_run(given.coordinator_options)):
            self._say(f"the run {run} is already finished: to start a new one, change --run")
            self._end(0)
            return None
        # A join file from an earlier start would give workers the wrong address.
        join = run / "join"
        with suppress(OSError):
            join.unlink()
        # The keys are needed only until the coordinator listens, and never leave this node.
        with TemporaryDirectory(prefix="mnist-dist-ray-") as folder:
            certs = Path(folder, "certs")
            said: list[str] = []
            code = await self._execute(["certs", address, "--out", str(certs)], said.append)
            if code != 0:
                self._say("\n".join(said))
                self._end(code)
                return None
            (certs / "ca.key").unlink()
            self._start(coordinator_arguments(given, address, certs, is_restart))
            while self._code is None:
                if join.exists() and (text := join.read_text()).endswith("\n"):
                    return text.strip()
                await asyncio.sleep(LOOK_SECONDS)
        return None


class Worker(Process):
    """Runs a worker."""

    async def start(self, given: Arguments, name: str, join: str) -> None:
        """Starts a worker that joins the coordinator. No command line contains the token."""
        device = "cuda:0" if given.gpus > 0 else "cpu"
        arguments = ["worker", "--name", name, "--device", device]
        if given.token_file is None:
            self._start([*arguments, "--join", "-"], f"{join}\n")
            return
        url, _, fragment = join.partition("/#")
        [digest] = parse_qs(fragment)["ca"]
        arguments += ["--coordinator", url, "--ssl-ca-sha256", digest]
        self._start([*arguments, "--token-file", given.token_file])


def is_finished(run: Path) -> bool:
    """Whether the run in this directory has its result."""
    with suppress(OSError):
        return '"state": "finished"' in (run / "run.json").read_text(errors="replace")
    return False


def extends_run(options: Sequence[str]) -> bool:
    """Whether these options of the coordinator may give a finished run more steps."""
    return any(option.split("=", 1)[0] in {"--epochs", "--steps"} for option in options)


def coordinator_arguments(
    given: Arguments, address: str, certs: Path, is_restart: bool
) -> list[str]:
    """The command line that starts the run, or resumes it if it exists."""
    run = Path(given.run)
    arguments = ["coordinator", "--host", address, "--port", str(given.port)]
    arguments += ["--min-workers", str(given.min_workers)]
    arguments += ["--ssl-certfile", str(certs / "coordinator.crt")]
    arguments += ["--ssl-keyfile", str(certs / "coordinator.key")]
    if given.token_file is not None:
        arguments += ["--token-file", given.token_file]
    if not (run / "run.json").exists():
        arguments += ["--runs-dir", str(run.parent), "--run-id", run.name]
    else:
        arguments += ["--resume", str(run)]
        # The driver has seen the end of the coordinator whose lock this run may still have.
        if is_restart and "--take-over" not in given.coordinator_options:
            arguments.append("--take-over")
    return [*arguments, *given.coordinator_options]

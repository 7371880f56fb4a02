"""Tests deploy/ray without Ray: the command line, the decisions and the processes of actors."""

import asyncio
import contextlib
import dataclasses
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "ray"
sys.path.insert(0, str(DEPLOY))

import arguments  # noqa: E402
import process  # noqa: E402
import restarts  # noqa: E402

NEEDED = ["--workers", "2..3", "--run", "/srv/runs/first"]
# A fake mnist-dist: prints its arguments and its standard input, and ends with the last argument.
PROGRAM = '#!/bin/sh\necho "$@"\ncat\nfor last; do :; done\nexit "$last"\n'
# Ignores SIGTERM.
STUBBORN = "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n"
PATIENT = "#!/bin/sh\ntrap 'exit 143' TERM\necho ready\nwhile :; do sleep 0.1; done\n"
LIMIT_SECONDS = 30.0


def error_of(*argv: str) -> str:
    """What the command line is refused with."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), unittest.TestCase().assertRaises(SystemExit) as end:
        arguments.parse(argv)
    assert end.exception.code == 2, end.exception.code
    return errors.getvalue()


class CommandLine(unittest.TestCase):
    def test_accepts_each_option_and_passes_on_those_of_the_coordinator(self) -> None:
        given = arguments.parse([*NEEDED, "--cpus-per-worker", "0.5", "--", "--epochs", "3"])
        self.assertEqual((given.min_workers, given.max_workers, given.cpus), (2, 3, 0.5))
        self.assertEqual(given.coordinator_options, ("--epochs", "3"))
        self.assertEqual((given.program, given.port, given.token_file), ("mnist-dist", 0, None))
        self.assertEqual(arguments.parse([*NEEDED, "--workers", "4"]).max_workers, 4)
        given = arguments.parse([*NEEDED, "--gpus-per-worker=1", "--mnist-dist=/opt/mnist-dist"])
        self.assertEqual((given.share, given.program), ("1 CPU and 1 GPU", "/opt/mnist-dist"))

    def test_refuses_values_with_the_value_and_what_is_allowed(self) -> None:
        for option, values in {
            "--workers": ["0", "3..2", "1..257", "2-3", "", "..", "1..", "two", "1..2..3", " 1"],
            "--run": ["runs/first", "", "/", "/srv/..", "first"],
            "--cpus-per-worker": ["0", "-1", "1e3", "nan", "inf", "1025", "", "0.00001"],
            "--gpus-per-worker": ["2", "1.1", "-1", "nan", ""],
            "--port": ["65536", "-1", "1.5", "", "http"],
            "--mnist-dist": ["", "bin/mnist-dist"],
            "--token-file": ["token", ""],
        }.items():
            for value in values:
                with self.subTest(f"{option}={value}"):
                    message = error_of(*NEEDED, f"{option}={value}")
                    self.assertIn(f'{option}: "{value}" is not allowed; allowed: ', message)

    def test_suggests_the_option_that_was_meant(self) -> None:
        self.assertIn("did you mean --workers?", error_of("--wokers", "2", "--run", "/srv/a"))
        self.assertIn("options of the coordinator go after --", error_of(*NEEDED, "--epochs=3"))
        self.assertIn('"--work": ', error_of("--work", "2", "--run", "/srv/a"))
        self.assertIn("--run is missing", error_of("--workers", "2"))

    def test_refuses_options_of_the_coordinator_that_it_sets(self) -> None:
        for option, instead in arguments.OWN_OPTIONS.items():
            for words in ([option, "x"], [f"{option}=x"]):
                message = error_of(*NEEDED, "--", *words)
                self.assertIn(f"{option} is not allowed after --: {instead}", message)


class Decisions(unittest.TestCase):
    def test_resumes_the_run_after_a_crash_only(self) -> None:
        resumed = [code for code in range(256) if restarts.may_resume(code, is_restart=False)]
        self.assertEqual(resumed, [1, *range(131, 143), *range(144, 256)])
        # The lock of its predecessor, which may still be ending.
        self.assertFalse(restarts.may_resume(28, is_restart=False))
        self.assertTrue(restarts.may_resume(28, is_restart=True))

    def test_gives_up_after_ten_failures_in_a_row(self) -> None:
        with mock.patch.object(restarts.time, "monotonic", side_effect=range(100)):
            failures = restarts.Failures()
            self.assertEqual([failures.are_too_many() for _ in range(11)], [False] * 10 + [True])

    def test_counts_from_one_after_a_stable_time(self) -> None:
        with mock.patch.object(restarts.time, "monotonic", side_effect=range(0, 10_000, 61)):
            failures = restarts.Failures()
            self.assertFalse(any(failures.are_too_many() for _ in range(50)))


class ActorCase(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def program(self, text: str) -> str:
        path = self.folder / "mnist-dist"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    async def all_news(self, actor: process.Process) -> tuple[list[str], int]:
        """All lines of output, and the exit code."""
        every: list[str] = []
        while True:
            lines, code = await asyncio.wait_for(actor.news(), LIMIT_SECONDS)
            every += lines
            if code is not None:
                return every, code


class Actors(ActorCase):
    async def test_workers_get_the_join_string_on_standard_input(self) -> None:
        join = f"wss://10.0.0.1:29400/#token=secret&ca={'a' * 64}"
        worker = process.Worker(self.program(PROGRAM.replace('exit "$last"', "exit 7")))
        await worker.start(arguments.parse(NEEDED), "w1", join)
        lines, code = await self.all_news(worker)
        self.assertEqual(lines, ["worker --name w1 --device cpu --join -", join])
        self.assertEqual(code, 7)

    async def test_workers_with_a_token_file_get_the_address_and_the_digest_only(self) -> None:
        given = arguments.parse([*NEEDED, "--token-file=/etc/token", "--gpus-per-worker=1"])
        worker = process.Worker(self.program(PROGRAM.replace('exit "$last"', "exit 0")))
        await worker.start(given, "w1", f"wss://[::1]:29400/#token=secret&ca={'a' * 64}")
        lines, _ = await self.all_news(worker)
        self.assertEqual(
            lines,
            [
                "worker --name w1 --device cuda:0 --coordinator wss://[::1]:29400 "
                f"--ssl-ca-sha256 {'a' * 64} --token-file /etc/token"
            ],
        )

    async def test_a_missing_program_ends_with_a_message(self) -> None:
        worker = process.Worker(str(self.folder / "nothing"))
        await worker.start(arguments.parse(NEEDED), "w1", "wss://h:1/#token=t&ca=c")
        lines, code = await self.all_news(worker)
        self.assertRegex("\n".join(lines), "nothing: No such file or directory")
        self.assertIn(code, restarts.FINAL)

    async def test_stop_ends_a_process_with_sigterm(self) -> None:
        worker = process.Worker(self.program(PATIENT))
        await worker.start(arguments.parse(NEEDED), "w1", "wss://h:1/#token=t&ca=c")
        self.assertEqual(await worker.news(), (["ready"], None))
        await worker.stop()
        self.assertEqual(await self.all_news(worker), ([], 143))

    async def test_stop_ends_a_process_that_ignores_sigterm(self) -> None:
        worker = process.Worker(self.program(STUBBORN))
        await worker.start(arguments.parse(NEEDED), "w1", "wss://h:1/#token=t&ca=c")
        self.assertEqual(await worker.news(), (["ready"], None))
        with mock.patch.object(process, "STOP_SECONDS", 0.2):
            await worker.stop()
        self.assertEqual(await self.all_news(worker), ([], 137))

    async def test_a_stop_before_the_start_starts_nothing(self) -> None:
        worker = process.Worker(self.program(PATIENT))
        await worker.stop()
        await worker.start(arguments.parse(NEEDED), "w1", "wss://h:1/#token=t&ca=c")
        self.assertEqual(await self.all_news(worker), ([], 143))

    async def test_a_process_gets_sigterm_when_its_actor_is_killed(self) -> None:
        ended = self.folder / "ended"
        program = self.program(PATIENT.replace("exit 143", f"echo TERM > {ended}; exit 143"))
        actor = (
            f"import sys; sys.path.insert(0, {str(DEPLOY)!r})\n"
            "import asyncio, process\n"
            "async def run():\n"
            f"    actor = process.Process({program!r})\n"
            "    actor._start([])\n"
            "    print(*(await actor.news())[0], flush=True)\n"
            "    await asyncio.sleep(1000)\n"
            "asyncio.run(run())\n"
        )
        with subprocess.Popen([sys.executable, "-c", actor], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            self.assertEqual(child.stdout.readline(), b"ready\n")
            os.kill(child.pid, signal.SIGKILL)
        limit = time.monotonic() + LIMIT_SECONDS
        while not ended.exists() and time.monotonic() < limit:
            await asyncio.sleep(0.02)
        self.assertTrue(ended.exists())


class Coordinators(ActorCase):
    # Creates what `certs` creates, and then the join file of the run.
    PROGRAM = """#!/bin/sh
if [ "$1" = certs ]; then mkdir "$4"; touch "$4/ca.key" "$4/coordinator.key"; exit $CERTS; fi
echo "$@" | tr ' ' '\\n' | grep -A1 keyfile | tail -1 > {folder}/key
[ -e "$(cat {folder}/key)" ] && echo with its key
[ -e "$(dirname "$(cat {folder}/key)")/ca.key" ] && echo with the key of the authority
mkdir -p {folder}/r
[ -e {folder}/r/join ] && echo an old join file
echo wss://new > {folder}/r/join
read -r x < {folder}/wait
"""

    def coordinator(self) -> tuple[process.Coordinator, arguments.Arguments]:
        os.mkfifo(self.folder / "wait")
        program = self.program(self.PROGRAM.replace("{folder}", str(self.folder)))
        given = arguments.parse(["--workers", "2", "--run", str(self.folder / "r")])
        return process.Coordinator(program), given

    async def test_the_keys_are_gone_once_it_listens_and_old_join_files_are_not_read(self) -> None:
        actor, given = self.coordinator()
        (self.folder / "r").mkdir()
        (self.folder / "r" / "join").write_text("wss://old\n")
        with mock.patch.dict(os.environ, CERTS="0"):
            self.assertEqual(await actor.start(given, "10.0.0.1", False), "wss://new")
        key = Path((self.folder / "key").read_text().strip())
        self.assertTrue(key.name == "coordinator.key" and not key.parent.exists())
        (self.folder / "wait").write_text("\n")
        lines, _ = await self.all_news(actor)
        self.assertEqual(lines, ["with its key"])

    async def test_ends_with_the_exit_code_of_certs(self) -> None:
        actor, given = self.coordinator()
        with mock.patch.dict(os.environ, CERTS="26"):
            self.assertIsNone(await actor.start(given, "10.0.0.1", False))
        self.assertEqual((await self.all_news(actor))[1], 26)

    async def test_does_not_resume_a_run_that_is_finished(self) -> None:
        actor, given = self.coordinator()
        (self.folder / "r").mkdir()
        (self.folder / "r" / "run.json").write_text('{\n  "state": "finished"\n}\n')
        for is_restart in (True, False):
            self.assertIsNone(await actor.start(given, "10.0.0.1", is_restart))
            lines, code = await self.all_news(actor)
            self.assertEqual(code, 0)
            self.assertRegex(lines[0], "already finished")

    async def test_extends_a_run_that_is_finished_if_it_is_given_more_steps(self) -> None:
        for option in ("--epochs=3", "--steps=9"):
            self.assertTrue(process.extends_run(["--audit=0.1", option]))
        self.assertTrue(process.extends_run(["--steps", "9"]))
        self.assertFalse(process.extends_run(["--checkpoint-steps=9"]))
        actor, given = self.coordinator()
        (self.folder / "r").mkdir()
        (self.folder / "r" / "run.json").write_text('{\n  "state": "finished"\n}\n')
        longer = dataclasses.replace(given, coordinator_options=("--epochs", "9"))
        with mock.patch.dict(os.environ, CERTS="0"):
            self.assertEqual(await actor.start(longer, "10.0.0.1", False), "wss://new")
        (self.folder / "wait").write_text("\n")
        await self.all_news(actor)

    def test_starts_a_run_resumes_it_and_takes_over_after_a_crash(self) -> None:
        _, given = self.coordinator()
        command = process.coordinator_arguments(given, "10.0.0.1", Path("/c"), False)
        self.assertEqual(command[-4:], ["--runs-dir", str(self.folder), "--run-id", "r"])
        (self.folder / "r").mkdir()
        (self.folder / "r" / "run.json").write_text("{}")
        for is_restart, end in ((False, []), (True, ["--take-over"])):
            command = process.coordinator_arguments(given, "10.0.0.1", Path("/c"), is_restart)
            self.assertEqual(command[11:], ["--resume", str(self.folder / "r"), *end])


class Signals(unittest.TestCase):
    # Runs the driver with a fake of Ray, in which a coordinator takes a while to stop, and so does
    # Ray itself.
    DRIVER = """
import asyncio, sys, time
from unittest import mock

class LostActor(Exception): ...

ray = mock.MagicMock()
fakes = {"ray": ray, "ray.exceptions": mock.MagicMock(), "ray.util": mock.MagicMock()}
fakes["ray.exceptions"].RayActorError = LostActor
fakes["ray.exceptions"].RayTaskError = LostActor
fakes["ray.util.scheduling_strategies"] = mock.MagicMock()
sys.modules.update(fakes)
import driver

def shut_down():
    print("shutting down", flush=True)
    time.sleep(1)

async def coordinate(self):
    print("training", flush=True)
    while not self._is_stopping:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    return 143

async def grow(self): ...

ray.shutdown = shut_down
sys.argv = ["driver.py", "--workers", "1", "--run", "/srv/r"]
with mock.patch.multiple(driver.Training, _coordinate=coordinate, _grow=grow):
    sys.exit(driver.main())
"""

    def test_further_signals_neither_end_the_driver_early_nor_change_its_exit_code(self) -> None:
        command = [sys.executable, "-B", "-c", self.DRIVER]
        environment = {**os.environ, "PYTHONPATH": str(DEPLOY)}
        for again in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(again.name), subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as driver:
                assert driver.stdout is not None
                self.assertEqual(driver.stdout.readline(), "training\n")
                driver.send_signal(signal.SIGINT)
                stopping = driver.stdout.readline()
                driver.send_signal(again)
                while (line := driver.stdout.readline()) not in ("shutting down\n", ""):
                    stopping += line
                driver.send_signal(again)
                _, errors = driver.communicate(timeout=LIMIT_SECONDS)
                self.assertEqual(stopping, "driver: SIGINT: stopping after the current step\n")
                self.assertEqual((driver.returncode, errors), (143, ""))


if __name__ == "__main__":
    unittest.main()

"""Trains on a Ray cluster: a coordinator on the driver's node, and as many workers as have room.

    ray job submit --working-dir deploy/ray -- \\
        python3 driver.py --workers 2..8 --run /srv/mnist-dist/first -- --epochs 20

docs/deploy/ray.md explains it.
"""

import asyncio
import logging
import signal
import sys
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import arguments
import process
import restarts
from arguments import Arguments
from process import LOOK_SECONDS, STOP_SECONDS
from restarts import FINAL, INTERRUPTED, LOST, RENDEZVOUS, TERMINATED, UNREACHABLE
from restarts import Failures, may_resume

# Pause before a process is started again, and time for a coordinator to listen.
RESTART_SECONDS = 1.0
START_SECONDS = 600.0


def say(text: str) -> None:
    print(f"driver: {text}", flush=True)


class Training:
    """One run: starts its processes, starts them again when they fail, and ends all of them."""

    def __init__(self, given: Arguments) -> None:
        self._given = given
        # The join string, while the coordinator listens.
        self._join: str | None = None
        self._coordinator: Any = None
        # The workers that Ray has not placed yet, and those with a process.
        self._waiting: set[str] = set()
        self._running: dict[str, Any] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._given_up = 0
        self._failure: int | None = None
        self._is_stopping = False

    async def train(self) -> int:
        """Trains until the coordinator ends for good; returns its exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, number)
        growth = asyncio.create_task(self._grow())
        code = await self._coordinate()
        if code == RENDEZVOUS:
            say(self._shortage())
        growth.cancel()
        await self._end_workers()
        return code if self._failure is None else self._failure

    def _interrupt(self, number: signal.Signals) -> None:
        """Stops the run. Further signals change nothing: each process has STOP_SECONDS to end."""
        if self._is_stopping:
            return
        say(f"{number.name}: stopping after the current step")
        self._stop()

    def _stop(self) -> None:
        self._is_stopping = True
        if self._coordinator is not None:
            self._coordinator.stop.remote()

    async def _coordinate(self) -> int:
        """Runs the coordinator, and again after a crash; returns its last exit code."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # An actor without CPUs always has room, even after a crash in a cluster that is full.
        actor_class = ray.remote(process.Coordinator).options(num_cpus=0, scheduling_strategy=here)
        failures, is_restart, code = Failures(), False, TERMINATED
        while not self._is_stopping:
            actor: Any = actor_class.remote(self._given.program)
            self._coordinator = actor
            start = actor.start.remote(self._given, ray.util.get_node_ip_address(), is_restart)
            following = asyncio.create_task(self._follow("coordinator", actor))
            try:
                self._join = await asyncio.wait_for(start, START_SECONDS)
            except (RayActorError, RayTaskError, asyncio.TimeoutError) as error:
                say(f"the coordinator did not start: {error}")
                ray.kill(actor)
            code = await following
            self._join = None
            ray.kill(actor)
            is_over = self._is_stopping or not may_resume(code, is_restart)
            if is_over or failures.are_too_many():
                break
            is_restart = True
            say(f"the coordinator ended with exit code {code}: resuming the run")
            # Its workers would look for it at its old address.
            for worker in self._running.values():
                worker.stop.remote()
            await asyncio.sleep(RESTART_SECONDS)
        return code

    async def _grow(self) -> None:
        """Starts the minimum of workers and then, whenever Ray has placed all, one more."""
        low, high = self._given.min_workers, self._given.max_workers
        say(f"starting {low} to {high} workers with {self._given.share} each")
        for i in range(1, high + 1):
            while i > low and self._waiting:
                await asyncio.sleep(LOOK_SECONDS)
            self._waiting.add(f"w{i}")
            self._tasks[f"w{i}"] = asyncio.create_task(self._keep(f"w{i}"))

    async def _keep(self, name: str) -> None:
        """Keeps a worker running until the end, or until it is given up."""
        failures = Failures()
        while True:
            code = await self._work(name)
            # After 0 the run is over, unless the coordinator crashes before it writes the result.
            join = self._join
            while code == 0 and self._join == join and not self._is_stopping:
                await asyncio.sleep(LOOK_SECONDS)
            if self._is_stopping:
                return
            if code in FINAL or failures.are_too_many():
                break
            say(f"{name} ended with exit code {code}: starting it again")
            self._waiting.add(name)
            await asyncio.sleep(RESTART_SECONDS)
        say(f"{name} ended with exit code {code}: not starting it again")
        self._given_up += 1
        if self._given.max_workers - self._given_up < self._given.min_workers:
            self._failure = code
            self._stop()

    async def _work(self, name: str) -> int:
        """Runs a worker once, on the first node with room for it; returns its exit code."""
        given = self._given
        resources = {"num_cpus": given.cpus, "num_gpus": given.gpus}
        actor_class = ray.remote(process.Worker).options(**resources, scheduling_strategy="SPREAD")
        actor: Any = actor_class.remote(given.program)
        try:
            await actor.placed.remote()
            self._waiting.discard(name)
            while self._join is None:
                await asyncio.sleep(LOOK_SECONDS)
            self._running[name] = actor
            actor.start.remote(given, name, self._join)
            return await self._follow(name, actor)
        except RayActorError:
            return LOST
        finally:
            self._running.pop(name, None)
            ray.kill(actor)

    async def _follow(self, name: str, actor: Any) -> int:
        """Prints the output of an actor's process until it ends; returns its exit code."""
        while True:
            try:
                lines, code = await actor.news.remote()
            except RayActorError:
                return LOST
            for line in lines:
                print(f"{name}: {line}", flush=True)
            if code is not None:
                return int(code)

    def _shortage(self) -> str:
        """What Ray lacks, if the coordinator did not get enough workers."""
        placed = len(self._tasks) - self._given_up - len(self._waiting)
        cluster = ray.cluster_resources()
        return (
            f"Ray has placed {placed} of at least {self._given.min_workers} workers with "
            f"{self._given.share} each; its nodes have {cluster.get('CPU', 0):g} CPU and "
            f"{cluster.get('GPU', 0):g} GPU: add nodes, or lower --workers, --cpus-per-worker or "
            "--gpus-per-worker"
        )

    async def _end_workers(self) -> None:
        """Stops the workers that have a process, and then forgets the others."""
        self._is_stopping = True
        for worker in self._running.values():
            worker.stop.remote()
        if self._running:
            ending = [self._tasks[name] for name in self._running]
            await asyncio.wait(ending, timeout=2 * STOP_SECONDS)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def main() -> int:
    given = arguments.parse(sys.argv[1:])
    # The other nodes need mnist-dist, but not these files.
    for module in (arguments, process, restarts):
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError) as error:
        print(f"driver: no connection to a Ray cluster: {error}", file=sys.stderr)
        return UNREACHABLE
    try:
        return asyncio.run(Training(given).train())
    except KeyboardInterrupt:
        # asyncio has just restored Python's own handler.
        return INTERRUPTED
    finally:
        # A signal during the shutdown would end it with a traceback, and the driver with 1.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())

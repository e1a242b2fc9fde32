"""Which runner gets which task: the worker's cpus and memory, its runners, and the queue before them.

A runner that is busy reserves what one of its tasks needs, since it runs them one at a time; it is given tasks ahead only if
their name has proved to be quick, and they are taken back as soon as another runner has nothing to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..ids import Attempt
from .devices import Devices
from .effects import Discard, Effect, Give, Kill, Launch, Retire, TakeBack, Task

#: Seconds of work that a runner is given ahead, and at most so many tasks.
AHEAD_SECONDS = 0.02
AHEAD_MOST = 256
#: Tasks of a name that take longer than this (seconds) are never given ahead.
AHEAD_LONGEST = 0.25
KNOWN_AFTER = 3
#: How many tasks that find no room a smaller one may overtake.
LOOK_PAST = 16


@dataclass(slots=True)
class Runner:
    """One runner, and the tasks that it has been given and has not finished, in order."""

    number: int
    epoch: int
    pid: int = 0  # 0 while it is being forked
    tasks: dict[Attempt, Task] = field(default_factory=dict)
    cpus: float = 0.0
    memory: int = 0
    gpus: float = 0.0
    shape: tuple[float, int, float] | None = None
    taking_back: bool = False
    cores: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)  # the gpus that its targets may see
    emptied: bool = False  # it has been asked for all that it had not begun, and been given nothing since
    dying: bool = False
    isolated: bool = False  # it has run, or runs, a target that wanted a runner for itself


class Slots:
    """The worker's resources, its runners and its queue."""

    def __init__(self, cpus: float, memory: int, gpus: float, devices: Sequence[str] = (), cores: Sequence[int] = ()) -> None:
        self.cores = Devices(map(str, cores))
        self.devices = Devices(devices or [str(number) for number in range(int(gpus))])
        self.cpus, self.memory, self.gpus = cpus, memory, gpus
        self.free_cpus, self.free_memory, self.free_gpus = cpus, memory, gpus
        self.queue: deque[Task] = deque()
        self.runners: dict[int, Runner] = {}
        self.epoch = 0
        self._next = 1
        self._idle: dict[int, Runner] = {}
        self._walls: dict[str, tuple[int, float]] = {}
        self.closed = False  # nothing new is begun

    def start_epoch(self, epoch: int) -> list[Effect]:
        """Use runners of a new nursery from now on; those of older ones finish what they have begun."""
        self.epoch = epoch
        effects: list[Effect] = []
        for runner in list(self.runners.values()):
            if not runner.tasks and not runner.dying:
                effects += self._retire(runner)
            elif runner.tasks:
                effects += self.take_back(runner)
        return effects

    def add(self, task: Task) -> None:
        """Queue a task."""
        self.queue.append(task)

    def fill(self) -> list[Effect]:
        """Give tasks to runners as far as there is room."""
        effects: list[Effect] = []
        if self.closed:
            return effects
        batches: dict[int, list[Task]] = {}
        skipped: list[Task] = []
        full: set[str] = set()  # names for which there is no room
        while self.queue and len(skipped) < LOOK_PAST:
            task = self.queue.popleft()
            runner = self._runner_for(task, effects) if task.form[0] not in full else None
            if runner is None:
                skipped.append(task)
                full.add(task.form[0])
                continue
            self._load(runner, task)
            batches.setdefault(runner.number, []).append(task)
        self.queue.extendleft(reversed(skipped))
        effects += [Give(number, tasks) for number, tasks in batches.items()]
        if not self.queue and self._idle:
            effects += self._balance()
        return effects

    def _runner_for(self, task: Task, effects: list[Effect]) -> Runner | None:
        """A runner that can begin ``task`` now or soon; a new one is launched if there is room for it."""
        _, cpus, memory, gpus, _, _ = task.form
        if self._fits(cpus, memory, gpus):
            if self._idle:
                _, runner = self._idle.popitem()
                return runner
            if len(self.runners) < self._most_runners():
                return self._launch(effects)
        ahead = self._ahead(task)
        if not ahead:
            return None
        shape = (cpus, memory, gpus)
        best = None
        for runner in self.runners.values():
            if runner.shape != shape or not self._has_room_ahead(runner) or len(runner.tasks) > ahead:
                continue
            if best is None or len(runner.tasks) < len(best.tasks):
                best = runner
        return best

    def _fits(self, cpus: float, memory: int, gpus: float) -> bool:
        return cpus <= self.free_cpus + 1e-9 and memory <= self.free_memory and (not gpus or self.devices.fits(gpus))

    def _has_room_ahead(self, runner: Runner) -> bool:
        return not (runner.taking_back or runner.dying or runner.isolated or runner.epoch != self.epoch)

    def _ahead(self, task: Task) -> int:
        """How many tasks like this one a runner may hold beside the one that it runs."""
        count, mean = self._walls.get(task.form[0], (0, 0.0))
        if count < KNOWN_AFTER or mean > AHEAD_LONGEST or task.form[5]:
            return 0
        return max(1, min(AHEAD_MOST, int(AHEAD_SECONDS / max(mean, 1e-5))))

    def _most_runners(self) -> int:
        """Fractional cpus may fill a worker with many runners; memory is what a runner costs in any case."""
        return max(1, int(self.cpus)) * 16

    def _launch(self, effects: list[Effect]) -> Runner:
        runner = Runner(self._next, self.epoch)
        self._next += 1
        self.runners[runner.number] = runner
        effects.append(Launch(runner.number, self.epoch))
        return runner

    def warm_up(self) -> list[Effect]:
        """Fork as many runners as there are cpus before they are needed."""
        effects: list[Effect] = []
        while len(self.runners) < max(1, int(self.cpus)):
            runner = self._launch(effects)
            self._idle[runner.number] = runner
        return effects

    def _load(self, runner: Runner, task: Task) -> None:
        if not runner.tasks:
            _, runner.cpus, runner.memory, runner.gpus, _, isolate = task.form
            runner.shape = (runner.cpus, runner.memory, runner.gpus)
            runner.isolated = isolate
            self.free_cpus -= runner.cpus
            self.free_memory -= runner.memory
            self.free_gpus -= runner.gpus
            runner.cores = self.cores.take(runner.cpus) if self.cores.left and self.cores.fits(runner.cpus) else []
            runner.devices = self.devices.take(runner.gpus) if runner.gpus else []
        task.cores = [int(core) for core in runner.cores]
        if self.gpus:
            task.devices = runner.devices
        runner.tasks[task.attempt] = task
        runner.emptied = False

    def finished(self, number: int, attempt: Attempt, wall: float) -> list[Effect]:
        """A runner has finished a task."""
        runner = self.runners.get(number)
        if runner is None:
            return []
        task = runner.tasks.pop(attempt, None)
        if task is not None:
            count, mean = self._walls.get(task.form[0], (0, 0.0))
            weight = max(1.0 / (count + 1), 0.05)
            self._walls[task.form[0]] = (count + 1, mean + (wall - mean) * weight)
        return [] if runner.tasks else self._unload(runner)

    def _unload(self, runner: Runner) -> list[Effect]:
        """A runner has nothing to do: keep it, or let it go."""
        self._free(runner)
        if runner.dying:
            return []
        if runner.epoch != self.epoch or runner.isolated:
            return self._retire(runner)
        self._idle[runner.number] = runner
        return []

    def _free(self, runner: Runner) -> None:
        self.free_cpus += runner.cpus
        self.free_memory += runner.memory
        self.free_gpus += runner.gpus
        self.devices.give_back(runner.devices, runner.gpus)
        self.cores.give_back(runner.cores, runner.cpus)
        runner.cores, runner.devices = [], []
        runner.cpus, runner.memory, runner.gpus, runner.shape = 0.0, 0, 0.0, None

    def _retire(self, runner: Runner) -> list[Effect]:
        """Let an idle runner go, and its nursery with the last one of an older epoch."""
        del self.runners[runner.number]
        self._idle.pop(runner.number, None)
        return [Retire(runner.number), *self._discard(runner.epoch)]

    def _discard(self, epoch: int) -> list[Effect]:
        if epoch == self.epoch or any(runner.epoch == epoch for runner in self.runners.values()):
            return []
        return [Discard(epoch)]

    def take_back(self, runner: Runner) -> list[Effect]:
        """Ask a runner for what it has not begun."""
        if runner.taking_back or runner.dying:
            return []
        runner.taking_back = True
        return [TakeBack(runner.number)]

    def taken_back(self, number: int, attempts: list[Attempt]) -> list[Task]:
        """What a runner has given back, in order."""
        runner = self.runners.get(number)
        if runner is None:
            return []
        runner.taking_back = False
        runner.emptied = True
        return [runner.tasks.pop(attempt) for attempt in attempts if attempt in runner.tasks]

    def after_taking_back(self, number: int) -> list[Effect]:
        """A runner that has given back all that it had is free."""
        runner = self.runners.get(number)
        if runner is None or runner.tasks or runner.shape is None:
            return []
        return self._unload(runner)

    def requeue(self, tasks: list[Task]) -> None:
        """Put tasks to the front of the queue again, in their order."""
        self.queue.extendleft(reversed(tasks))

    def _balance(self) -> list[Effect]:
        """Somebody is idle, and there is room, while somebody else has tasks waiting: take them back, and give them again."""
        effects: list[Effect] = []
        for runner in self.runners.values():
            if (
                len(runner.tasks) > 1
                and not (runner.dying or runner.emptied)
                and self._fits(runner.cpus, runner.memory, runner.gpus)
            ):
                effects += self.take_back(runner)
        return effects

    def kill(self, number: int, cause: str, message: str, grace: float) -> list[Effect]:
        """End a runner with what it runs."""
        runner = self.runners.get(number)
        if runner is None or runner.dying:
            return []
        runner.dying = True
        self._idle.pop(number, None)
        return [Kill(number, cause, message, grace)]

    def died(self, number: int) -> tuple[list[Task], list[Effect]]:
        """A runner is gone: the tasks that it held, and what follows."""
        runner = self.runners.pop(number, None)
        if runner is None:
            return [], []
        self._idle.pop(number, None)
        if runner.shape is not None:
            self._free(runner)
        return list(runner.tasks.values()), self._discard(runner.epoch)

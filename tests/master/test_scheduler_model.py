"""The scheduler that looks only at what has changed decides as one that sees all, and leaves nothing that fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from jobtree.ids import NOBODY, Attempt
from jobtree.master.nodes import Form, Node, Phase, Run, Source
from jobtree.master.roster import Worker
from jobtree.master.scheduler import SLACK, Scheduler

REQUESTS = [
    {}, {"cpus": 2}, {"cpus": 0.5}, {"cpus": 0}, {"memory": 3 << 30}, {"memory": 1 << 30, "cpus": 3}, {"gpus": 1},
    {"priority": 2}, {"memory": 9 << 30}, {"cpus": 1, "priority": -1},
]  # fmt: skip


@dataclass
class Stage:
    """A scheduler, and around it what the master would do."""

    target_time: float = 0.0
    one: Scheduler = field(init=False)
    workers: list[Worker] = field(default_factory=list)
    ready: dict[int, Form] = field(default_factory=dict)
    told: list[tuple[int, int]] = field(default_factory=list)  # worker, target

    def __post_init__(self) -> None:
        self.one = Scheduler(1.0, 1 << 30, self.target_time)
        self.ids = count(2)
        self.forms = [Form(f"name{i}", None, requests, [0] * 9) for i, requests in enumerate(REQUESTS)]
        self.held: dict[int, tuple[Worker, Form]] = {}

    def come(self, cpus: int, memory: int, gpus: int) -> None:
        number = next(self.ids)
        self.workers = [*self.workers, Worker(number, f"u{number}", "h", 1, "", 0, float(cpus), memory << 30, float(gpus))]

    def leave(self, which: int) -> None:
        if self.workers:
            gone = self.workers[which % len(self.workers)]
            self.workers = [worker for worker in self.workers if worker is not gone]
            self.held = {target: held for target, held in self.held.items() if held[0] is not gone}

    def add(self, which: int, amount: int, depth: int) -> None:
        form = self.forms[which % len(self.forms)]
        parent = Node(1, None, form, Source(0, 0), NOBODY, 1, depth - 1)
        first = next(self.ids)
        for _ in range(amount - 1):
            next(self.ids)
        if amount == 1:
            self.one.ready(Node(first, parent, form, Source(5, 0), Attempt(1, 1), 1, depth), 0.0)
        else:
            self.one.ready(Run(parent, Attempt(1, 1), form, first, 1, amount, Source(5, 0), 10, 0.0), 0.0)
        self.ready.update(dict.fromkeys(range(first, first + amount), form))

    def finish(self, which: int, seconds: float) -> None:
        if self.held:
            target = list(self.held)[which % len(self.held)]
            worker, form = self.held.pop(target)
            self.one.learn(form, seconds)
            del worker.held[1, target]
            self.one.release(worker, form)

    def look_at_everything(self) -> None:
        """What the scheduler has not been told of has changed as well, for all it knows."""
        self.one._fresh.update(dict.fromkeys(self.one._agenda))
        self.one._eased.update({worker.number: worker for worker in self.workers})

    def turn(self) -> None:
        for to, what, amount in self.one.assign(self.workers, 0.0):
            first = what.first if isinstance(what, Run) else what.id
            if isinstance(what, Run):
                what.first += amount
                what.count -= amount
            else:
                what.phase = Phase.RUNNING
            for target in range(first, first + amount):
                self.told.append((to.number, target))
                del self.ready[target]
                self.held[target] = (to, what.form)
                to.held[1, target] = Node(target, None, what.form, Source(5, 0), Attempt(1, 1), 1, 1)

    def nothing_fits(self) -> None:
        for form in {id(form): form for form in self.ready.values()}.values():
            shape = self.one.shape(form)
            for worker in self.workers:
                fits = (
                    worker.free_cpus + SLACK >= shape.cpus
                    and worker.free_gpus + SLACK >= shape.gpus
                    and worker.free_memory >= shape.memory_on(worker, 1 << 30)
                )
                assert not fits, f"{form.name} waits, and fits on worker {worker.number}"


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(1, 6), st.integers(1, 8), st.integers(0, 2)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("add"), st.integers(0, 9), st.sampled_from([1, 1, 2, 7]), st.integers(1, 4)),
        st.tuples(st.just("finish"), st.integers(0, 50), st.sampled_from([0.001, 0.1])),
        st.tuples(st.just("turn")),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_looking_at_what_has_changed_is_as_good_as_looking_at_everything(events: list[tuple[str, ...]]) -> None:
    stage = Stage()
    for name, *arguments in [*events, ("turn",)]:
        getattr(stage, name)(*arguments)
        if name == "turn":
            stage.nothing_fits()
            told = len(stage.told)
            stage.look_at_everything()
            stage.turn()
            assert stage.told[told:] == [], "a closer look found more to give"


@settings(max_examples=100, deadline=None)
@given(EVENTS)
def test_with_work_pushed_ahead_nothing_is_lost_and_no_slot_stays_free(events: list[tuple[str, ...]]) -> None:
    stage = Stage(target_time=0.2)
    for name, *arguments in [*events, ("turn",)]:
        getattr(stage, name)(*arguments)
        if name == "turn":
            stage.nothing_fits()
            assert len({target for _, target in stage.told}) == len(stage.told)
            assert stage.one.queued == len(stage.ready)

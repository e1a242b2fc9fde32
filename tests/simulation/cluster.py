"""One run in a made-up world: one thread, one heap of things to come, one source of chance."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from random import Random
from typing import Any

from jobtree.errors import JobtreeError, ProtocolError
from jobtree.ids import Attempt
from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.master.control import decide
from jobtree.master.core import Settings
from jobtree.master.main import STALL
from jobtree.master.nodes import Node, Phase, Run
from jobtree.master.server import Server
from jobtree.master.state import MasterState
from jobtree.master.tree import Tree
from jobtree.protocol.codec import Message, decode, encode
from jobtree.protocol.messages import VALUE_BLOB, VALUE_INLINE, Role
from jobtree.worker import effects as do
from jobtree.worker import events as e
from jobtree.worker.state import About, WorkerState

from . import compactor
from .checks import MAY_WAIT, Broken, Checks
from .disk import Crash, Disk, read, take_up
from .network import Link, Network, Weather
from .recipe import BROKEN, Recipes, Taste, TooLarge, foretell, resolve
from .runners import SimRunner

RUN_ID = "run"
MOST_EVENTS = 400_000
MOST_RESTARTS = 10
#: libzmq's own: seconds until a line without heartbeats, or without a handshake, is given up.
LINE_DIES_AFTER, HANDSHAKE_WITHIN = 15.0, 5.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What may go wrong. Chances a second, but for those of the weather (a message) and of the launcher (a worker)."""

    weather: Weather = field(default_factory=Weather)
    crash: float = 0.0  # the master dies
    power: float = 0.0  # ... with its machine: the share of crashes
    down: float = 1.0  # for about so many seconds
    stop: float = 0.0  # ^C, or SIGTERM
    stall: float = 0.0  # the master's loop stands still
    worker_dies: float = 0.0
    worker_pauses: float = 0.0
    silent: float = 0.0  # the share of deaths of which the launcher never knows
    runner_dies: float = 0.0
    nursery_fails: float = 0.0
    false_alarm: float = 0.0  # the launcher says that a living worker is gone
    signal: float = 0.0  # the batch system warns a worker
    submit_fails: float = 0.0
    submit_partly: float = 0.0
    stillborn: float = 0.0
    full: float = 0.0  # the disk is full for a while
    slow_disk: float = 0.0  # each sync takes seconds, for a while
    clock: float = 0.0  # a life of the master, or a worker, has a clock that is an hour wrong (a share)
    compact: float = 0.0  # the journal is compacted
    cancel: float = 0.0  # somebody cancels a target by hand, and brings it back later


@dataclass(frozen=True, slots=True)
class World:
    """All that a run is made of."""

    seed: int
    taste: Taste = field(default_factory=Taste)
    faults: Faults = field(default_factory=Faults)
    calm_after: float = 0.0  # seconds until nothing goes wrong any more
    workers: int = 2
    memory: int = 8 << 30
    poison_after: int = 1 << 30


@dataclass(eq=False)
class Life:
    """One life of a master."""

    epoch: int
    state: MasterState
    journal: Any
    disk: Disk
    server: SimServer
    inbox: list[happened.Event] = field(default_factory=list)
    due: float | None = None  # when the next turn is
    dead: bool = False
    paused_until: float = 0.0
    frozen_until: float = 0.0
    wait: bool = False  # effects wait for a record that must be on disk
    known: dict[str, str] = field(default_factory=dict)  # blocks that the fleet looks after
    gone: set[str] = field(default_factory=set)
    interrupts: int = 0
    paused: str | None = None
    slow: bool = False  # its disk takes seconds to sync
    offset: float = 0.0  # of its clock
    faultless: bool = False
    compacting: bool = False
    full: str | None = None  # why the journal is paused, as the state was told
    retried_at: float = 0.0


class SimServer(Server):
    """The real server but for its socket."""

    def __init__(self, epoch: int, cluster: Cluster) -> None:
        self.epoch, self.heard_of = epoch, 0
        self._cluster = cluster
        self._peers, self._routes, self._clients, self._next, self._lost = {}, {}, {}, 1, []

    def _post(self, route: bytes, message: Message) -> bool:
        return self._cluster.send_down(route, encode(message))

    def take(self, route: bytes, frames: list[bytes]) -> list[happened.Event]:
        """What a message leads to."""
        event = self._take([route, *frames])
        return ([event] if event is not None else []) + self.lost()

    def lost(self) -> list[happened.Event]:
        """Sessions that have ended since."""
        found, self._lost = self._lost, []
        return found


class SimWorker:
    """One worker process, with its supervisor's state and its runners."""

    def __init__(self, cluster: Cluster, number: int, block: str, index: int, ident: str) -> None:
        self.cluster = cluster
        self.uid = f"u{number}"
        self.ident = ident
        self.cpus = cluster.recipes.taste.worker_cpus
        self.memory = cluster.world.memory
        self.skew = cluster.rng.uniform(-2, 2) + cluster.wrong_by()
        about = About(
            "1", "3.11", RUN_ID, self.uid, block, index, f"host{number}", number, self.cpus, self.memory, 0.0, 600.0
        )  # fmt: skip
        self.state = WorkerState(about, self.clock(), cluster.rng.random)
        self.link: Link | None = None
        self.runners: dict[int, SimRunner] = {}
        self.nurseries: dict[int, float] = {}  # by epoch: when it is ready
        self.inbox: list[e.Event] = []
        self.due: float | None = None
        self.dead = False
        self.paused_until = 0.0
        self._dials = 0
        self.perform(self.state.begin())

    def clock(self) -> float:
        """Its own idea of the time."""
        return self.cluster.now + self.skew

    def hear(self, event: e.Event) -> None:
        """Something has happened."""
        if not self.dead:
            self.inbox.append(event)
            self.wake(self.cluster.now)

    def wake(self, at: float) -> None:
        """A turn at ``at`` or before."""
        at = max(at, self.paused_until, self.cluster.now)
        if not self.dead and (self.due is None or at < self.due):
            self.due = at
            self.cluster.at(at, self._turn, at)

    def _turn(self, at: float) -> None:
        if self.dead or self.due != at:
            return
        self.due = None
        if self.cluster.now < self.paused_until:
            self.wake(self.paused_until)
            return
        events, self.inbox = self.inbox, []
        effects = self.state.step(events, self.clock())
        self.cluster.note(self.uid, events, effects)
        self.perform(effects)
        if not self.dead:
            self.wake(self.state.deadline - self.skew + 1e-6)

    def perform(self, effects: list[do.Effect]) -> None:
        """Grant what the state wants."""
        cluster = self.cluster
        for effect in effects:
            match effect:
                case do.Transmit(message):
                    if self.link is not None:
                        cluster.network.up(self.link, encode(message), cluster.arrive_up)
                case do.Connect(delay):
                    self._hang_up()
                    self._dials += 1
                    cluster.at(cluster.now + delay, self._dial, self._dials)
                case do.Disconnect():
                    self._hang_up()
                case do.Exit():
                    self.end()
                    return
                case do.Prepare(epoch, _):
                    self.nurseries[epoch] = cluster.now + cluster.rng.choice((0.05, 2.0)) * cluster.rng.random()
                    if cluster.happens(cluster.faults.nursery_fails):
                        cluster.at(self.nurseries[epoch], self.hear, e.NurseryFailed(epoch, "it can't be forked"))
                case do.Discard(epoch):
                    cluster.checks.require(
                        all(runner.epoch != epoch for runner in self.runners.values()), f"the nursery of epoch {epoch} is in use"
                    )
                    self.nurseries.pop(epoch)
                case do.Launch(number, epoch):
                    runner = self.runners[number] = SimRunner(cluster, self, number, epoch)
                    ready = max(cluster.now, self.nurseries[epoch])
                    cluster.at(ready + 0.01 * cluster.rng.random(), runner.start)
                case do.Give(number, tasks):
                    if number in self.runners:
                        cluster.checks.require(
                            self.runners[number].epoch == self.state.epoch, "a runner of an older epoch was given something new"
                        )
                        self.runners[number].give(tasks)
                    else:  # it is dead already, and the news is on its way
                        cluster.orphaned(self, number, tasks)
                case do.TakeBack(number):
                    if number in self.runners:
                        self.runners[number].take_back()
                case do.GiveCode(number, sha, data):
                    if number in self.runners:
                        self.runners[number].answer(sha, data)
                case do.Kill(number, cause, message, grace):
                    if number in self.runners:
                        self.runners[number].kill(cause, message, grace)
                case do.Retire(number):
                    if number in self.runners:
                        retired = self.runners.pop(number)
                        cluster.checks.require(retired.task is None and not retired.unread, "a busy runner was let go")
                        retired.dead = retired.retired = True

    def _hang_up(self) -> None:
        if self.link is not None:
            self.link.hung_up = True
        self.link = None

    def _dial(self, dial: int) -> None:
        if self.dead or dial != self._dials:
            return
        if self.cluster.now < self.paused_until:
            self.cluster.at(self.paused_until, self._dial, dial)
            return
        self.link = self.cluster.connect(self)
        self.hear(e.Connected())

    def receive(self, link: Link, frames: list[bytes]) -> None:
        """A message has come."""
        if link is self.link and not self.dead:
            try:
                self.hear(e.Received(decode(frames, Role.MASTER)))
            except ProtocolError as error:
                raise Broken(f"the master sends nonsense: {error}") from error

    def end(self) -> None:
        """The process is no more, nor are its runners."""
        self.dead = True
        for runner in self.runners.values():
            runner.dead = True
        self.runners.clear()
        self.cluster.ended.add(self.ident)
        del self.cluster.workers[self.uid]


class Cluster:
    """The world of one run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = Random(world.seed)
        self.now = 1000.0
        self.faults = world.faults
        self.heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self.network = Network(self.rng, self.at, lambda: self.now, replace(world.faults.weather))
        self.disk = Disk(self.rng)
        self.disk.sync_directory("/")
        self.recipes, self.expected = choose(world)
        self.checks = Checks(self, self.expected)
        self.life: Life | None = None
        self.outcome: str | None = None
        self.result: Any = None
        self.workers: dict[str, SimWorker] = {}
        self.links: dict[bytes, tuple[Link, SimWorker]] = {}
        self.blobs: Blobs = Blobs()
        self.ever_blobs = self.blobs.ever
        self.kept_blobs: set[tuple[str, ...]] = set()  # of the root's result
        self.failed: set[str] = set()
        self.temps: set[str] = set()
        self.stale_temps: set[str] = set()  # made by attempts that nobody waits for
        self.task_temp: dict[tuple[int, int], str] = {}
        self.submitted: dict[str, list[str]] = {}  # what the launcher knows
        self.ended: set[str] = set()  # workers' processes that are gone
        self.hidden: set[str] = set()  # ... of which the launcher will never know
        self.story: deque[tuple[float, str, list[Any], Any]] = deque(maxlen=120)
        self.restarts = 0
        self.compactions = 0
        self.given_up: list[JobtreeError] = []  # lives that a failing disk has ended
        self.in_calm = 0  # restarts since
        self.turns = 0
        self.dials = 0
        self.born = 0  # workers
        self._numbers = itertools.count(1)
        self.calm = False

    # -- time -----------------------------------------------------------------------------------------------------

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something later."""
        heappush(self.heap, (max(time, self.now), next(self._order), action, arguments))

    def happens(self, chance: float) -> bool:
        """Throw the dice."""
        return chance > 0 and self.rng.random() < chance

    def wrong_by(self) -> float:
        """What a clock is wrong by, in seconds."""
        return self.rng.uniform(-3600, 3600) if self.happens(self.faults.clock) else 0.0

    def note(self, who: str, events: list[Any], effects: Any) -> None:
        """A line of the story."""
        self.story.append((self.now, who, events, effects))

    def run(self) -> None:
        """From the first start until all workers have left."""
        self.at(self.now, self._start)
        start = self.now
        if self.faults != Faults():
            self.at(self.now, self._chaos)
        self.at(start + self.world.calm_after, self._calm_down)
        for _ in range(MOST_EVENTS):
            if not self.heap or (self.outcome is not None and not self.workers and self.life is None):
                break
            time, _, action, arguments = heappop(self.heap)
            self.now = time
            action(*arguments)
        else:
            raise Broken(f"no end after {MOST_EVENTS} events and {self.now - start:.0f} seconds, {self.turns} turns of masters")
        self._compare()

    def _compare(self) -> None:
        checks, expected = self.checks, self.expected
        checks.require(self.outcome == expected.outcome, f"the run has ended {self.outcome}, and should have {expected.outcome}")
        committed = set(checks.chronicle.committed)
        missing, extra = expected.committed - committed, committed - expected.committed
        checks.require(not missing and not extra, f"missing {sorted(missing)[:9]}, too much {sorted(extra)[:9]}")
        checks.require(self.result == expected.result, f"the result is {self.result}, and should be {expected.result}")
        checks.at_the_end()

    # -- lives of the master --------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.life is not None or self.outcome is not None:
            return
        self.restarts += 1
        self.in_calm += self.calm
        if self.in_calm > MOST_RESTARTS:
            raise Broken("the master was started too often")
        disk = self.disk
        if self.happens(self.faults.crash / 3):
            disk.fuse = self.rng.randint(0, 12)
        try:
            journal, records = take_up(disk)
        except Crash:
            self._crashed(None)
            return
        except JobtreeError as problem:
            self._gave_up(None, problem)
            return
        self.checks.replayed(records)
        with disk.untroubled():
            tree, ledger = compactor.restored(disk, records)
        self.checks.same(tree, ledger, records)
        last = next((record for record in reversed(records) if not isinstance(record, r.SnapshotTaken)), None)
        if tree.outcome == "complete" and isinstance(last, r.RunEnded):
            disk.fuse = None
            journal.close()
            self._finished(tree, journal)
            return
        settings = Settings(
            run=RUN_ID, version="1", python="3.11", workers=self.world.workers, adopt_grace=60.0, default_memory=1 << 30,
            welcome={},
        )  # fmt: skip
        offset = self.wrong_by()
        now = self.now + offset
        state = MasterState(tree, ledger, settings, now)
        server = SimServer(journal.epoch, self)
        life = self.life = Life(journal.epoch, state, journal, disk, server, offset=offset)
        live = {node.chain for node in tree.nodes.values()}
        self.temps = {temp for temp in self.temps if int(temp.split("/")[1].split("-")[0]) in live}
        for name, block in ledger.blocks.items():
            life.known.update(dict.fromkeys(block.ids, name))
        opening: list[r.Record] = []
        if not records:
            opening.append(r.RunDescribed(now, {"name": "root"}))
        opening.append(r.EpochBegan(now, life.epoch, "host", 1, {"keep_going": self.recipes.taste.keep_going}))
        opening += decide(tree, "retry", {"cause": "cancelled"}, now, 1 << 30)[0]  # as at rest
        if not records:
            root = self.recipes.root.pack([])
            form = self.recipes.form_of(self.recipes.root)
            opening.append(r.TargetsCreated([len(root)], root, now, 0, 0, 1, 1, [form], [0, 1], {}))
        self._perform(life, [f"epoch {life.epoch}"], state.begin(opening, now))
        self._after_turn(life)
        self.at(self.now + 0.5, self._look_at_blocks, life)

    def wake(self, life: Life, at: float) -> None:
        """A turn of the master at ``at`` or before."""
        at = max(at, life.paused_until, self.now)
        if not life.dead and (life.due is None or at < life.due):
            life.due = at
            self.at(at, self._turn, life, at)

    def _turn(self, life: Life, at: float) -> None:
        if life.dead or life.due != at:
            return
        if self.now < life.paused_until:
            life.due = None
            self.wake(life, life.paused_until)
            return
        life.due = None
        events, life.inbox = life.inbox, []
        events += life.server.lost()
        try:
            if self.happens(0.05):
                life.journal.mark()
            events += self._journal_news(life)
        except Crash:
            self._crashed(life)
            return
        except JobtreeError as problem:
            self._gave_up(life, problem)
            return
        self._perform(life, events, life.state.step(events, self.now + life.offset))
        self._after_turn(life)

    def _perform(self, life: Life, events: list[Any], step: want.Step) -> None:
        """Journal a step, and grant what may leave."""
        self.turns += 1
        self.note("master", events, step)
        if self.faults.crash and not self.calm and self.happens(self.faults.crash / 20):
            life.disk.fuse = self.rng.randint(0, 6)
        for effect in step.at_once:
            self._grant(life, effect)
        try:
            if step.records or step.effects:
                self.checks.turned(step.records)
                life.journal.append([r.encode(record) for record in step.records], step.effects, sync=not step.lazy)
                life.wait = life.wait or not all(isinstance(record, MAY_WAIT) for record in step.records)
                life.wait = life.wait and life.disk.dirty
                self.checks.rows(step.records)
                if life.slow and step.records and not step.lazy:
                    self._sync_slowly(life)
            for effect in life.journal.released():
                self.checks.leaves(life)
                if self.faults.crash and not self.calm and self.happens(self.faults.crash / 100):
                    raise Crash
                self._grant(life, effect)
        except Crash:
            self._crashed(life)
        except JobtreeError as problem:
            self._gave_up(life, problem)
        self.network.lag = 0.0

    def _sync_slowly(self, life: Life) -> None:
        """The turn takes long, and what it says leaves late."""
        seconds = self.network.lag = self.rng.choice((1, 7, 20)) * self.rng.random()
        life.paused_until = self.now + seconds
        if seconds > STALL:
            life.inbox.insert(0, happened.Stalled(seconds))
            self.wake(life, self.now)

    def _journal_news(self, life: Life) -> list[happened.Event]:
        """Try again where there was no room, and tell the state."""
        journal = life.journal
        if journal.paused is not None and self.now >= life.retried_at + 1.0:
            life.retried_at = self.now
            journal.retry()
        if journal.paused == life.full:
            return []
        life.full = journal.paused
        return [happened.Paused(life.full)]

    def _gave_up(self, life: Life | None, problem: JobtreeError) -> None:
        """A master's disk has failed it: it says so in words, and ends; after a while it is started again."""
        self.note("master", [f"gives up with exit status {problem.exit_status}: {problem}"], None)
        self.given_up.append(problem)
        self.checks.require(bool(str(problem)) and "\n" not in str(problem), f"no clear line: {problem!r}")
        self.disk = (life.disk if life is not None else self.disk).after_crash(power=self.happens(self.faults.power))
        self._forget(life)
        self.at(self.now + 1 + self.rng.random(), self._start)

    def _after_turn(self, life: Life) -> None:
        if life.dead:
            return
        self.checks.state(life)
        if self.happens(0.01) and not life.journal.pending:
            self.checks.same(life.state.core.tree, life.state.core.ledger, read(life.disk))
        outcome = life.state.outcome
        if life.journal.paused is not None:
            self.wake(life, self.now + 1.0)
        if outcome is not None and not life.journal.pending:
            self.checks.same(life.state.core.tree, life.state.core.ledger, read(life.disk))
            self._ended(life, outcome.state)
            return
        deadline = life.state.deadline
        if life.inbox:
            self.wake(life, self.now)
        if deadline is not None:
            self.wake(life, deadline - life.offset + 1e-6)

    def _grant(self, life: Life, effect: want.Effect) -> None:
        match effect:
            case want.Send():
                self._send(life, effect)
            case want.EndSession(peer):
                life.server.end_session(peer)
            case want.Submit(name, n):
                self.at(self.now + self._launcher_takes(), self._submit, life, name, n)
            case want.Find(name):
                self.at(self.now + self._launcher_takes(), self._find, life, name)
            case want.CancelBlocks(ids, _):
                self.at(self.now + self._launcher_takes(), self._cancel_blocks, ids)
            case want.RemoveTemp(chain):
                self.temps = {temp for temp in self.temps if temp.split("/")[1].split("-")[0] != str(chain)}
                self.checks.temp_removed(chain)
            case want.Prune():
                compactor.prune(life.disk, life.journal, effect)
            case want.RemoveBlob(epoch, number, name):
                self.blobs.pop((str(epoch), str(number), name), None)

    def _send(self, life: Life, effect: want.Send) -> None:
        if not effect.fetches:
            life.server.send(effect.peer, effect.type, effect.body, effect.data)
            return
        lengths: list[int] = []
        parts = []
        for record, place, amount in effect.fetches:
            some, data = life.journal.fetch(record, place, amount)
            lengths += some
            parts.append(data)
        life.server.send(effect.peer, effect.type, [*effect.body, lengths], b"".join(parts))

    def _crashed(self, life: Life | None) -> None:
        """The master's process is gone; what was not granted is lost."""
        self.note("master", ["has crashed"], None)
        power = self.happens(self.faults.power)
        self.disk = (life.disk if life is not None else self.disk).after_crash(power=power)
        self._forget(life)
        self.at(self.now + self.faults.down * self.rng.expovariate(1), self._start)

    def _forget(self, life: Life | None) -> None:
        if life is None:
            return
        life.dead = True
        self.life = None
        for link, worker in self.links.values():
            if link.life == life.epoch and not link.dead:
                link.dead = not self.happens(self.network.weather.late)
                if self.happens(0.9):
                    self._line_dies(worker, link)
                # else the host is gone, and says nothing

    def _line_dies(self, worker: SimWorker, link: Link) -> None:
        def notice() -> None:
            if worker.link is link:
                worker.hear(e.ConnectionLost("the line is dead"))

        self.at(self.now + 0.01 * self.rng.random(), notice)

    def _ended(self, life: Life, state: str) -> None:
        """A life has come to its own end."""
        life.disk.fuse = None
        try:
            life.journal.close()
        except JobtreeError as problem:
            self._gave_up(life, problem)
            return
        tree = life.state.core.tree
        for link, worker in self.links.values():
            # What was sent has a moment to leave; then the socket is closed.
            if link.life == life.epoch and not link.dead:
                self.at(self.now + 0.2, self._hang_up, worker, link)
        life.dead = True
        self.life = None
        if state == "complete" or (state == "failed" and self.calm and self._as_expected(tree)):
            self._finished(tree, life.journal)
        else:
            self.at(self.now + self.rng.uniform(0.1, 5), self._start)

    def _hang_up(self, worker: SimWorker, link: Link) -> None:
        link.dead = True
        self._line_dies(worker, link)

    def _as_expected(self, tree: Tree) -> bool:
        """Whether just those targets have failed that must; others have had bad luck, and a restart tries them again."""
        failed = {self.checks.chronicle.path.get(target, "?") for target in tree.failed}
        return bool(failed == self.expected.failed)

    def _finished(self, tree: Tree, journal: Any) -> None:
        self.outcome = tree.outcome
        self.failed = {self.checks.chronicle.path.get(target, "?") for target in tree.failed}
        if tree.outcome == "complete":
            slots = {(0, 0, 1): tree.result}

            def value(key: tuple[int, int, int]) -> Any:
                slot = slots[key]
                slots.update(dict(slot.embeds))
                if slot.kind not in (VALUE_INLINE, VALUE_BLOB):
                    return None if slot.kind == 0 else BROKEN
                if slot.kind == VALUE_INLINE:
                    assert slot.source is not None
                    data = journal.fetch(*slot.source, 1)[1]
                else:
                    name = (str(slot.argument[2]), str(slot.argument[3]), "r")
                    self.kept_blobs.add(name)
                    data = self.blobs[name]
                return resolve(data, value)

            self.result = value((0, 0, 1))

    def is_current(self, attempt: Attempt) -> bool:
        """Whether an attempt is one that the living master waits for."""
        return self.life is not None and attempt in self.life.state.core.tree.current

    # -- messages -------------------------------------------------------------------------------------------------

    def connect(self, worker: SimWorker) -> Link:
        """A new socket, to whoever is master now."""
        self.dials += 1
        number = next(self._numbers)
        link = Link(str(number).encode(), self.life.epoch if self.life is not None else 0)
        self.links[link.route] = (link, worker)
        if self.life is not None and self.now < self.life.frozen_until:
            link.dead = True
            self.at(self.now + HANDSHAKE_WITHIN, self._hang_up, worker, link)
        return link

    def arrive_up(self, link: Link, frames: list[bytes]) -> None:
        """A worker's message has reached the master's machine."""
        life = self.life
        if life is None or link.dead or (link.life != life.epoch and not self.happens(self.network.weather.late)):
            return
        if self.now < life.frozen_until:
            return  # when it looks, the line is dead, and what was on it is gone
        life.inbox += life.server.take(link.route, frames)
        if life.inbox:
            self.wake(life, self.now + 0.001 * self.rng.random())

    def send_down(self, route: bytes, frames: list[bytes]) -> bool:
        """A message for a worker; False if its line is known to be dead."""
        link, worker = self.links[route]
        if link.dead or link.hung_up:
            return self.rng.random() < 0.5  # it takes a while to find out
        self.network.down(link, frames, lambda link, frames: None if link.dead else worker.receive(link, frames))
        return True

    # -- the launcher ---------------------------------------------------------------------------------------------

    def _launcher_takes(self) -> float:
        return self.rng.choice((0.01, 0.1, 3.0)) * self.rng.random()

    def _tell(self, life: Life, event: happened.Event) -> None:
        if not life.dead:
            life.inbox.append(event)
            self.wake(life, self.now)

    def _submit(self, life: Life, name: str, n: int) -> None:
        """The launcher's own process does this; it may outlive the master that asked."""
        if life.dead and self.happens(0.5):
            return
        if self.happens(self.faults.submit_fails):
            self._tell(life, happened.SubmitFailed(name, "no"))
            return
        if n > 1 and self.happens(self.faults.submit_partly):
            n -= 1
        ids = []
        for index in range(n):
            ident = f"{name}.{index}"
            ids.append(ident)
            if self.happens(self.faults.stillborn):
                self.ended.add(ident)
            else:
                self.at(self.now + self.rng.choice((0.02, 0.5, 10.0)) * self.rng.random(), self._begin_worker, name, index, ident)
        self.submitted[name] = ids
        life.known.update(dict.fromkeys(ids, name))
        self._tell(life, happened.BlockSubmitted(name, ids))

    def _begin_worker(self, name: str, index: int, ident: str) -> None:
        if ident in self.ended:
            return
        number = next(self._numbers)
        self.born += 1
        worker = SimWorker.__new__(SimWorker)
        self.workers[f"u{number}"] = worker
        worker.__init__(self, number, name, index, ident)  # type: ignore[misc]

    def _find(self, life: Life, name: str) -> None:
        ids = [ident for ident in self.submitted.get(name, ()) if ident not in self.ended]
        if ids:
            life.known.update(dict.fromkeys(ids, name))
            self._tell(life, happened.BlockSubmitted(name, ids))
        else:
            self._tell(life, happened.SubmitFailed(name, "it was never submitted"))

    def _cancel_blocks(self, ids: list[str]) -> None:
        for worker in list(self.workers.values()):
            if worker.ident in ids:
                self.note("launcher", [f"kills {worker.uid}"], None)
                worker.end()
        self.ended.update(ids)

    def _look_at_blocks(self, life: Life) -> None:
        """The fleet polls the launcher."""
        if life.dead:
            return
        for ident, name in life.known.items():
            if ident in self.ended and ident not in life.gone and (ident not in self.hidden or self.calm):
                life.gone.add(ident)
                self._tell(life, happened.BlockGone(name, ident, "ended"))
        self.at(self.now + 0.5, self._look_at_blocks, life)

    def orphaned(self, worker: SimWorker, number: int, tasks: list[do.Task]) -> None:
        """Tasks were given to a runner that has just died: they come back with the news of its death."""
        worker.hear(e.RunnerDied(number, "it was dead already", None, b"", [task.attempt for task in tasks]))

    # -- what goes wrong ------------------------------------------------------------------------------------------

    def _chaos(self) -> None:
        """Once every tenth of a second, until the calm."""
        if self.calm:
            return
        faults, rng, life = self.faults, self.rng, self.life
        if life is not None:
            self._trouble_master(life)
        for worker in list(self.workers.values()):
            if self.happens(faults.worker_dies / 10):
                self.note("world", [f"{worker.uid} dies"], None)
                if self.happens(faults.silent):
                    self.hidden.add(worker.ident)
                if worker.link is not None:
                    worker.link.dead = self.happens(0.5)
                worker.end()
            elif self.happens(faults.worker_pauses / 10):
                worker.paused_until = self.now + rng.choice((0.5, 20, 100)) * rng.random()
            elif self.happens(faults.signal / 10):
                worker.hear(e.Signalled("SIGUSR1"))
            elif worker.link is not None and (worker.link.dead or worker.link.mute_up or worker.link.mute_down):
                # libzmq's own heartbeat finds out; or the network heals, with what was lost missing.
                if self.happens(0.02):
                    worker.link.mute_up = worker.link.mute_down = False
                elif self.happens(0.02):
                    self._hang_up(worker, worker.link)
            for runner in list(worker.runners.values()):
                if runner.started and self.happens(faults.runner_dies / 10):
                    runner.die()
        self.at(self.now + 0.1, self._chaos)

    def _trouble_master(self, life: Life) -> None:
        faults, rng = self.faults, self.rng
        if self.happens(faults.crash / 10):
            self._crashed(life)
        elif self.now >= life.paused_until and self.happens(faults.stall / 10):
            self._stall(life, rng.choice((6, 40, 100)))
        elif self.happens(faults.stop / 10):
            if rng.random() < 0.3:
                self._tell(life, happened.Signalled(1, 143))
            else:
                life.interrupts += 1
                self._tell(life, happened.Signalled(life.interrupts, 130))
        elif self.happens(faults.full / 10):
            life.paused = None if life.paused else "the disk is full"
            self._tell(life, happened.Paused(life.paused))
        elif self.happens(faults.slow_disk / 10):
            life.slow = not life.slow
        elif self.happens(faults.compact / 10) and not life.compacting:
            self._begin_compaction(life)
        elif self.happens(faults.cancel / 10):
            self._cancel_something(life)
        elif self.happens(faults.false_alarm / 10) and life.known:
            ident = rng.choice(sorted(life.known))
            if ident not in life.gone:
                life.gone.add(ident)
                self._tell(life, happened.BlockGone(life.known[ident], ident, "the launcher believes so"))

    def _begin_compaction(self, life: Life) -> None:
        try:
            if self.faults.crash and self.happens(0.1):
                life.disk.fuse = self.rng.randint(0, 6)
            life.journal.seal()
        except Crash:
            self._crashed(life)
            return
        life.compacting = True
        self.at(self.now + self.rng.choice((0.01, 1.0, 30.0)) * self.rng.random(), self._compact, life)

    def _compact(self, life: Life) -> None:
        """Another process does this; it may outlive the master that has started it, and die before it."""
        life.compacting = False
        try:
            made = compactor.run(self.disk if life.dead else life.disk, self.rng, dies=self.happens(0.3))
        except Crash:
            self.note("compactor", ["has died"], None)
            if self.faults.crash and self.happens(0.3) and not life.dead:
                self._crashed(life)
            return
        self.note("compactor", [made], None)
        if made is not None:
            self.compactions += 1
            self._tell(life, made)

    def _stall(self, life: Life, seconds: float) -> None:
        """The master's loop stands still; or all of its process does, so that nobody answers for it."""
        life.paused_until = self.now + seconds
        life.inbox.insert(0, happened.Stalled(seconds))
        self.wake(life, self.now)
        if seconds > LINE_DIES_AFTER and self.happens(0.5):
            life.frozen_until = life.paused_until
            self.at(self.now + LINE_DIES_AFTER, self._miss_beats, life)

    def _miss_beats(self, life: Life) -> None:
        """The lines to a master that stands still are taken for dead, by libzmq at the workers' ends."""
        if self.now < life.frozen_until and not life.dead:
            for link, worker in list(self.links.values()):
                if link.life == life.epoch and not link.dead and worker.link is link:
                    self._hang_up(worker, link)

    def _cancel_something(self, life: Life) -> None:
        """By hand; not where that would be final, for it is to come back."""
        tree = life.state.core.tree
        places: list[Node | Run] = [node for node in tree.nodes.values() if not _is_final(tree, node)]
        places += [run for run in tree.runs if not _is_final(tree, run)]
        if not places:
            return
        place = self.rng.choice(places)
        target = place.first + self.rng.randrange(place.count) if isinstance(place, Run) else place.id
        self._tell(life, happened.Asked(0, 0, "cancel", {"targets": [target]}))
        self.at(self.now + self.rng.expovariate(0.5), self._bring_back, life)

    def _bring_back(self, life: Life) -> None:
        """Whatever was cancelled by hand is tried again."""
        if any(node.phase is Phase.CANCELLED for node in life.state.core.tree.nodes.values()):
            self._tell(life, happened.Asked(0, 0, "retry", {"cause": "cancelled"}))

    def _calm_down(self) -> None:
        self.calm = True
        if self.life is not None:
            self._bring_back(self.life)
        self.note("world", ["calm"], None)
        self.faults = Faults()
        self.network.weather = Weather()
        self.disk.fuse = None
        if self.life is not None:
            self.life.disk.fuse = None
            self.life.slow = False
            if self.life.paused:
                self.life.paused = None
                self._tell(self.life, happened.Paused(None))
        for worker in self.workers.values():
            link = worker.link
            if link is not None and (link.dead or link.mute_up or link.mute_down):
                self._hang_up(worker, link)
        # The last master may have been down for 80 s yet, and a HELLO that nobody has heard is said again after 60 s.
        for seconds in (190, 240, 320):
            self.at(self.now + seconds, self.checks.nobody_stale)


class Blobs(dict[tuple[str, ...], bytes]):
    """TREE/blobs; ``ever`` has also those that were removed."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: dict[tuple[str, ...], bytes] = {}

    def __setitem__(self, name: tuple[str, ...], data: bytes) -> None:
        super().__setitem__(name, data)
        self.ever[name] = data


def _is_final(tree: Tree, place: Node | Run) -> bool:
    """Whether its chain would end with it, or its parent would fail softly and end."""
    above: Node | None = place.parent
    if isinstance(place, Run):
        if place.form.tolerant or (place.form.tolerant is None and tree.keep_going and place.parent.chain == 1):
            return True
    else:
        # A follow-on that waits has not inherited its chain's tolerance yet.
        before = next((node for node in tree.nodes.values() if node.follow is place), None)
        if tree.tolerates(place) or (before is not None and _is_final(tree, before)):
            return True
    while above is not None:
        if tree.tolerates(above):
            return True
        above = above.parent
    return False


def choose(world: World) -> tuple[Recipes, Any]:
    """A recipe of a size that fits."""
    for salt in itertools.count():
        recipes = Recipes(world.taste, world.seed * 1000 + salt)
        try:
            expected = foretell(recipes)
        except TooLarge:
            continue
        if expected.size >= 3 and (expected.outcome == "complete" or world.taste.fails or world.taste.too_wide):
            return recipes, expected
    raise AssertionError


def world_of(seed: int) -> World:
    """The world of a seed: what the targets are like, and each kind of fault in half of the runs."""
    rng = Random(seed ^ 0xC0FFEE)

    def maybe(value: float) -> float:
        return value if rng.random() < 0.5 else 0.0

    failing = rng.random() < 0.4
    taste = Taste(
        depth=rng.randint(1, 4), breadth=rng.randint(2, 5), follow=rng.random() * 0.7, chain=rng.randint(1, 6), fan=maybe(0.2),
        takes=maybe(0.3), after=maybe(0.2), alias=maybe(0.4), embeds=maybe(0.3), tolerant=maybe(0.5) if failing else 0.0,
        stumbles=maybe(0.2), fails=maybe(0.1) if failing else 0.0, temp=maybe(0.3), blob=maybe(0.3), code=maybe(0.3),
        slow=maybe(0.1), wide=maybe(0.2), too_wide=maybe(0.05) if failing else 0.0,
        keep_going=failing and rng.random() < 0.2, worker_cpus=rng.randint(1, 4), cancels=maybe(0.1),
    )  # fmt: skip
    forgiving = taste.tolerant or taste.keep_going
    scale = rng.choice((0.3, 1.0, 3.0, 10.0))
    faults = Faults(
        weather=Weather(
            cut=maybe(0.01 * scale), mute=maybe(0.003 * scale), slow=maybe(0.01), double=maybe(0.1), late=maybe(0.7)
        ),
        crash=maybe(0.1 * scale), power=rng.choice((0.0, 0.5, 1.0)), down=rng.choice((0.1, 5.0, 80.0)), stop=maybe(0.03 * scale),
        stall=maybe(0.02), worker_dies=maybe(0.05 * scale), worker_pauses=maybe(0.15), silent=maybe(0.5),
        runner_dies=0.0 if forgiving else maybe(0.05 * scale), nursery_fails=maybe(0.02), false_alarm=maybe(0.3),
        signal=maybe(0.02), submit_fails=maybe(0.1), submit_partly=maybe(0.2), stillborn=maybe(0.1), full=maybe(0.05),
        slow_disk=maybe(0.1), clock=maybe(0.5), compact=0.5 if Random(seed ^ 0xC0DE).random() < 0.5 else 0.0,
        cancel=maybe(0.3),
    )  # fmt: skip
    if seed % 8 == 0:
        faults = Faults()
    return World(
        seed, taste, faults, calm_after=rng.choice((5.0, 20.0, 60.0)), workers=rng.randint(1, 4),
        poison_after=1 << 30 if forgiving else rng.choice((4, 1 << 30)),
    )  # fmt: skip

"""From a directory to a master that can run in it: lock, epoch, replay, journal, keys, socket, launcher, in this order."""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from . import __version__, _addresses
from ._holding import Hold, hold
from ._pool import Pool, make_pools
from ._site import site
from .errors import JournalDamaged, StorageFailed, UsageError
from .launchers.base import WorkerSize
from .master import records as r
from .master.compaction import Compaction
from .master.core import Settings
from .master.fence import Fence
from .master.fleet import Fleet
from .master.fleets import Fleets
from .master.journal.directory import CONNECTION_NAME, Directory
from .master.journal.files import Files
from .master.journal.holder import Holder
from .master.journal.payloads import Payloads
from .master.journal.reader import Reader
from .master.journal.segments import DamageFound
from .master.journal.writer import Journal
from .master.ledger import Ledger
from .master.main import Clock, Display, Master, occupy_standard_descriptors, raise_open_files
from .master.notice import Notice
from .master.outputs import Outputs
from .master.promises import Blob
from .master.salvage import Salvage, salvage
from .master.server import Server
from .master.snapshot import restore
from .master.state import MasterState
from .master.sweeper import Sweeper
from .master.tree import Tree
from .options import Options
from .protocol import blobs, keys
from .protocol.sizes import Berth, write_berth

log = logging.getLogger("jobtree.master")

_N = TypeVar("_N", int, float)

#: How long to wait for a former master, of which it is not certain that it is dead, to notice that it is superseded (seconds).
GRACE = 10.0


@dataclass(slots=True)
class Opened:
    """A tree that this process holds: what its journal says, and how to go on with it."""

    path: Path
    directory: Directory
    hold: Hold
    tree: Tree
    ledger: Ledger
    reader: Reader
    payloads: Payloads
    epoch: int = 0
    unneeded: set[Blob] = field(default_factory=set)  # blobs that the last master may have had no time to remove
    loss: str = ""  # what is missing from the journal, and was accepted to be

    @property
    def is_new(self) -> bool:
        """Whether no root was ever made durable in it."""
        return self.tree.root is None

    def close(self) -> None:
        """Let others have it."""
        self.payloads.close()
        self.hold.lock.release()


def open_tree(path: Path, *, create: bool, take_over: bool = False, accept_loss: bool = False) -> Opened:
    """Have a tree and replay its journal; raises TreeLocked, UsageError or JournalDamaged, and changes nothing but the lock.

    ``take_over``: from a master that does not answer. ``accept_loss``: though the end of the journal is missing.
    """
    files = Files()
    if create:
        _make_parent(path)
        directory = Directory.prepare(files, str(path), __version__, uuid.uuid4().bytes)
    else:
        directory = Directory.open(files, str(path))
    held = hold(directory, take_over=take_over)
    try:
        opened = _replayed(path, directory, held, accept_loss)
        try:
            _refuse_lost_end(opened)
        except JournalDamaged as loss:
            if not accept_loss:
                raise
            opened.loss = str(loss).partition(". Bring")[0]
    except BaseException:
        held.lock.release()
        raise
    return opened


def _replayed(path: Path, directory: Directory, held: Hold, accept_loss: bool) -> Opened:
    """The tree that the journal tells of; a damaged one is salvaged first if that loss was accepted."""
    files = directory.files
    opened = Opened(path, directory, held, Tree(), Ledger(), Reader(files, directory), Payloads(files, directory))
    try:
        replay(opened)
    except DamageFound:
        opened.payloads.close()
        if not accept_loss:
            raise
        for line in salvage_held(path, directory, held).lines():
            log.warning("%s", line)
        opened = Opened(path, directory, held, Tree(), Ledger(), Reader(files, directory), Payloads(files, directory))
        replay(opened)
    return opened


def salvage_tree(path: Path) -> Salvage:
    """Make the journal of a stopped run sound; raises TreeLocked, and JournalDamaged where nothing can be read of it."""
    directory = Directory.open(Files(), str(path))
    held = hold(directory, take_over=False)
    try:
        return salvage_held(path, directory, held)
    finally:
        held.lock.release()


def salvage_held(path: Path, directory: Directory, held: Hold) -> Salvage:
    """As ``salvage_tree``, for who has the tree."""

    def claim_one() -> int:
        held.last_epoch = directory.claim_epoch(Holder.ourselves(), held.last_epoch).epoch
        return held.last_epoch

    def replayed(reader: Reader, tree: Tree, ledger: Ledger) -> tuple[Tree, Ledger]:
        opened = Opened(path, directory, held, tree, ledger, reader, Payloads(directory.files, directory))
        try:
            replay(opened)
        finally:
            opened.payloads.close()
        return opened.tree, opened.ledger

    return salvage(directory.files, directory, claim_one, replayed)


def _refuse_lost_end(opened: Opened) -> None:
    tail = opened.reader.tail
    opened.directory.refuse_lost_end(tail.proven.segment if tail.proven else None, tail.next_sequence)


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} can't be made: {error.strerror}; give another directory with --tree") from error


def replay(opened: Opened) -> None:
    """Apply what the journal has and the tree has not; payloads stay where they are."""
    was_on = gc.isenabled()
    gc.disable()  # a replay makes many objects and no cycles; looking for some would be most of its time
    try:
        _replay(opened)
    finally:
        if was_on:
            gc.enable()


def _replay(opened: Opened) -> None:
    base = opened.reader.base
    if base is not None and not opened.tree.records:
        opened.ledger = restore(base.state(), opened.tree)
        opened.payloads.rest_on(base.payloads, base.position.record)
        for problem in opened.reader.useless:
            log.warning("%s; the snapshot before it and the segments after that tell the same", problem)
    for frame in opened.reader:
        opened.payloads.index(frame)
        for head in frame.heads:
            record = r.decode(head)
            opened.tree.apply(record)
            opened.ledger.apply(record)
    opened.unneeded.update(opened.tree.unneeded)
    opened.tree.forget_news()


def claim(opened: Opened) -> None:
    """Become the master of the next epoch; raises TreeLocked where somebody else has just done so."""
    claimed = opened.directory.claim_epoch(Holder.ourselves(), opened.hold.last_epoch)
    opened.epoch = claimed.epoch
    before = claimed.before
    certain = opened.hold.certain or claimed.epoch == 1 or (before is not None and before.is_certainly_dead())
    if not certain:
        log.warning("waiting %.0f s, for it is not certain that the last master (%s) is dead", GRACE, before or "unknown")
        time.sleep(GRACE)
    replay(opened)


@dataclass(slots=True)
class Surroundings:
    """What targets find around them: that of the master's process."""

    script: list[str | None] | None
    argv: list[str]
    cwd: str
    sys_path: list[str]
    umask: int
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def about(self) -> dict[str, Any]:
        """What the tree remembers of it: all but the environment, which is the caller's."""
        return {
            "script": self.script, "argv": self.argv, "cwd": self.cwd, "sys_path": self.sys_path, "umask": self.umask,
        }  # fmt: skip

    @classmethod
    def remembered(cls, about: Mapping[str, Any]) -> Surroundings:
        """As the tree remembers it."""
        return cls(about["script"], about["argv"], about["cwd"], about["sys_path"], about["umask"])


@contextmanager
def master(
    opened: Opened, options: Options, around: Surroundings, display: Display, manner: Mapping[str, Any] | None = None
) -> Iterator[Master]:
    """All doors of a master on a tree that was claimed; they are closed again, whatever happens.

    ``manner``: settings for which there are no options.
    """
    raise_open_files()
    occupy_standard_descriptors()
    clock = Clock()
    with ExitStack() as stack:
        journal = Journal.open(opened.directory.files, opened.directory, opened.epoch, opened.reader.tail, opened.payloads)
        announcement = _Announcement(opened.path / CONNECTION_NAME)
        fence = Fence(opened.directory, opened.hold.lock, journal, announcement.mend)
        stack.callback(fence.close)
        stack.callback(journal.close)
        fence.attest()
        compactor = [sys.executable, "-P", str(Path(__file__).with_name("_compact.py")), str(opened.path)]
        tail_bytes = opened.reader.counts.bytes
        compaction = Compaction(compactor, opened.directory, journal, opened.reader.base, tail_bytes, display.say)
        stack.callback(compaction.close)
        pools = _pools(opened, options, lambda words: display.say("WARNING", words))
        server = _server(opened, options, announcement, any(pool.on_cluster for pool in pools))
        stack.callback(server.close, 0.2)
        notice = Notice(opened.directory.files, str(opened.path), opened.epoch)
        stack.callback(notice.close)
        fleet = _fleets(opened, pools, fence.may_act)
        stack.callback(fleet.close, 2.0)
        sweeper = Sweeper(opened.path, fence.may_act)
        stack.callback(sweeper.close)
        files, run = opened.directory.files, opened.directory.run_id
        outputs = Outputs(files, str(opened.path), run, opened.epoch, lambda text: display.say("WARNING", text))
        stack.callback(outputs.close)
        settings = replace(_settings(opened, options, around, pools), **(manner or {}))
        state = MasterState(opened.tree, opened.ledger, settings, clock())
        live = {node.chain for node in opened.tree.nodes.values()}
        # A founder that still waits may be run by a worker of which this journal does not know yet.
        sweeper.sweep(lambda chain: chain in live or opened.tree.runs.find(chain) is not None, opened.unneeded)
        interrupts = 1 if around.script is None else 0

        def spill(epoch: int, number: int, content: bytes) -> list[Any]:
            name = blobs.write_blob(blobs.blob_path(opened.path, epoch, number, blobs.RESULT), content)
            return [*name, epoch, number]

        yield Master(
            state, journal, server, fleet, sweeper, outputs, display, clock, fence, compaction, notice, spill, interrupts
        )


def _settings(opened: Opened, options: Options, around: Surroundings, pools: list[Pool]) -> Settings:
    pool, limits = pools[0], site()
    on_cluster = any(pool.on_cluster for pool in pools)
    script = (around.script or [None])[0]
    name = Path(script).stem if script else "session"
    return Settings(
        run=opened.directory.run_id.hex(),
        version=__version__,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        script="".join(c if c.isalnum() or c in "._" else "_" for c in name)[:24] or "script",
        workers=pool.most,
        workers_least=pool.least,
        on_cluster=on_cluster,
        pools=[pool.plan for pool in pools],
        max_cpus=_least_of(options.max_cpus, limits.max_cpus) if on_cluster else None,
        max_memory=_least_of(options.max_memory, limits.max_memory) if on_cluster else None,
        max_workers=limits.max_workers if on_cluster else None,
        max_blocks=limits.max_blocks if on_cluster else None,
        worker_idle=options.worker_idle,
        worker_time=pool.size.walltime_seconds,
        worker_cpus=pool.size.cpus,
        worker_memory=pool.size.memory_bytes,
        retries=options.retries,
        resources=dict(options.resources or {}),
        oom_retries=options.oom_retries,
        fail_fast=options.fail_fast,
        default_cpus=options.default_cpus,
        default_memory=options.default_memory,
        target_time=options.target_time,
        time_limit=options.time_limit,
        adopt_grace=options.adopt_grace,
        lost_after=options.lost_after,
        worker_patience=options.worker_patience,
        welcome={
            **around.about(),
            "tree": str(opened.path),
            "environ": around.environ,
            "max_log_size": options.max_log_size,
            "log_level": options.log_level,
            "lost_after": options.lost_after,
        },
    )


class _Announcement:
    """The connection file: written once, and again should it ever say something else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: keys.Connection | None = None

    def make(self, connection: keys.Connection) -> None:
        """Tell workers where the master is."""
        keys.write_connection(self.path, connection)
        self._connection = connection

    def mend(self) -> None:
        """Write it again if it is gone, or was written by a master that had been superseded."""
        if self._connection is None:
            return
        try:
            if keys.read_connection(self.path) == self._connection:
                return
        except (OSError, UsageError) as error:
            log.warning("the connection file is written anew: %s", error)
        try:
            keys.write_connection(self.path, self._connection)
        except OSError as error:
            log.warning("the connection file can't be written: %s", error.strerror)


def _server(opened: Opened, options: Options, announcement: _Announcement, on_cluster: bool) -> Server:
    """Listen, on the former port if it is free, and tell workers where: on a cluster at all our addresses."""
    public, secret = keys.load_or_make_server_key(opened.path / "server.key")
    file = announcement.path
    former = keys.read_connection(file) if file.exists() else None
    if former is not None:
        worker_public, worker_secret = former.worker_public, former.worker_secret
    else:
        worker_public, worker_secret = (key.decode() for key in keys.new_pair())
    if former is not None and former.client_public:
        client_public, client_secret = former.client_public, former.client_secret
    else:
        client_public, client_secret = (key.decode() for key in keys.new_pair())
    server = Server(opened.epoch, secret, worker_public.encode(), client_public.encode())
    try:
        bind = options.bind or ("*" if on_cluster else "127.0.0.1")
        bound = server.bind(bind, _ports(options, former))
        addresses = _addresses.offered(bind, int(bound.rpartition(":")[2]), options.advertise)
    except BaseException:
        server.close()
        raise
    run = opened.directory.run_id.hex()
    connection = keys.Connection(
        run, opened.epoch, addresses, public.decode(), worker_public, worker_secret, client_public, client_secret
    )
    announcement.make(connection)
    return server


def _ports(options: Options, former: keys.Connection | None) -> Iterator[int]:
    """The former port first, so that living workers find their master where they left it."""
    old = int(former.addresses[0].rpartition(":")[2]) if former is not None and former.addresses else 0
    ports = options.port_range
    allowed = range(ports.first, ports.last + 1) if ports is not None else None
    if old and (allowed is None or old in allowed):
        yield old
    yield from allowed if allowed is not None else (0,)


def _least_of(*limits: _N | None) -> _N | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _fleets(opened: Opened, pools: list[Pool], may_act: Callable[[], bool]) -> Fleets:
    def announce(name: str, size: WorkerSize) -> None:
        write_berth(opened.path / "blocks", name, Berth(size.cpus, size.memory_bytes, float(size.gpus)))

    fleets = Fleets({
        pool.name: Fleet(pool.launcher, pool.size, pool.poll_seconds, may_act, announce, shlex.join(pool.command))
        for pool in pools
    })  # fmt: skip
    known: dict[str, dict[str, str]] = {}
    for block in opened.ledger.blocks.values():
        known.setdefault(block.pool, {}).update(dict.fromkeys(block.alive, block.name))
    for name, blocks in known.items():
        fleets.expect(name, blocks)
    return fleets


def _pools(opened: Opened, options: Options, say: Callable[[str], None]) -> list[Pool]:
    blocks = opened.path / "blocks"
    try:
        blocks.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"{blocks} cannot be made: {error.strerror}; when the disk is well, start again") from error
    pools = make_pools(options, opened.path, blocks, say)
    for pool in pools:
        available = pool.launcher.available()
        if not available.usable:
            whose = f" of the pool {pool.name}" if pool.name else f" {options.launcher}"
            raise UsageError(f"the launcher{whose} can't be used here: {available.reason}")
    return pools

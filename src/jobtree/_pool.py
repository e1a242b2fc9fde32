"""From options to workers: the launchers and what they are told, what one worker has, and how many there may be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from . import _site
from ._launcher_options import settings_for
from ._option_values import Workers
from ._pool_words import PoolWords, read_all
from ._site import Site
from .errors import UsageError
from .launchers import registry
from .launchers.base import Launcher, WorkerSize
from .master.pools import NO_LIMIT, PoolPlan, Size
from .options import Options
from .resources import format_size

#: Seconds between two polls of a launcher that does not say.
POLL_SECONDS = 30.0
#: Workers of a batch system where nobody says how many.
MOST_WORKERS = 100
#: How long a worker may run where the batch system's own limit can't be read (seconds).
USUAL_WALLTIME = 4 * 3600.0


@dataclass(frozen=True)
class Pool:
    """A launcher, the size of a worker, and how many of them; `least` None means that `most` are held."""

    launcher: Launcher
    size: WorkerSize
    least: int | None
    most: int
    poll_seconds: float
    command: list[str]
    name: str = ""  # "" is that of the run's own options
    largest: Size | None = None  # of an elastic pool, whose workers are made to fit what waits; `size` is the smallest

    @property
    def plan(self) -> PoolPlan:
        """As the master thinks of it."""
        size = Size(self.size.cpus, self.size.memory_bytes, float(self.size.gpus))
        life = self.size.walltime_seconds
        return PoolPlan(self.name, size, self.least, self.most, self.on_cluster, life, self.largest)

    @property
    def on_cluster(self) -> bool:
        """Whether workers come through a batch system, which is not to be polled often."""
        return self.poll_seconds >= 1.0


def make_pools(options: Options, tree: Path, blocks: Path, say: Callable[[str], None] = lambda words: None) -> list[Pool]:
    """The pools that the options describe, for a tree; raises UsageError for one that can't be used here.

    ``say`` is told what people ought to know: what the site does not allow, and how modest we are on a login node.
    """
    site = _site.site()
    pools = [make_pool(options, tree, blocks, site, say)]
    for words in read_all(options.pool):
        directory = blocks / words.name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        pools.append(replace(make_pool(_as_options(options, words), tree, directory, site, say, words.gpus), name=words.name))
    return [_politely(pool, pools, site) for pool in pools]


def _as_options(options: Options, words: PoolWords) -> Options:
    """The options of a run, as a further pool has them."""
    launcher = words.launcher or options.launcher
    same = launcher == options.launcher
    workers = words.workers if launcher != "local" else Workers(None, words.most)
    return replace(
        options,
        launcher=launcher,
        workers=workers,
        worker_cpus=words.cpus,
        worker_memory=words.memory,
        worker_time=words.time if words.time is not None else options.worker_time,
        queue=words.queue or (options.queue if same else None),
        account=words.account or (options.account if same else None),
        launcher_args=(*(options.launcher_args if same else ()), *words.args),
        launcher_settings={**options.launcher_settings, **words.settings},
    )


def _politely(pool: Pool, pools: list[Pool], site: Site) -> Pool:
    """Pools on the same batch system share the polls that one might make."""
    if not pool.on_cluster:
        return pool
    sharing = sum(1 for other in pools if type(other.launcher) is type(pool.launcher))
    return replace(pool, poll_seconds=max(pool.poll_seconds * sharing, site.min_poll or 0.0))


def make_pool(
    options: Options,
    tree: Path,
    blocks: Path,
    site: Site | None = None,
    say: Callable[[str], None] = lambda words: None,
    gpus: int = 0,
) -> Pool:
    """The pool that the options describe, for a tree; raises UsageError if it can't be used here."""
    site = site if site is not None else Site()
    site.refuse(options.launcher)
    local = options.launcher == "local"
    size, most = _here(options, say) if local else cluster_size(options)
    if not local:
        most = _within(site, options, most, say)
    size = replace(size, gpus=gpus)
    launcher = _launcher(options, tree, blocks, size, local)
    if not local:
        size = _with_walltime(options, launcher, size)
        launcher = _launcher(options, tree, blocks, size, local)  # its workers know now how long they have
    least = None if local or options.workers is None else options.workers.least
    if not local and least is None:
        least = 0
    poll = float(getattr(launcher, "poll_seconds", POLL_SECONDS))
    largest = None if local or not is_elastic(options) else _largest(options, site)
    command = worker_command(options, tree, size, local)
    return Pool(launcher, size, None if local else least, most, poll, command, largest=largest)


def is_elastic(options: Options) -> bool:
    """Whether workers are made to fit what waits: on a batch system, where nobody says what one has."""
    return options.launcher != "local" and options.worker_cpus is None and options.worker_memory is None


def _largest(options: Options, site: Site) -> Size:
    """The most that a worker of an elastic pool may have; what is more than any node has is refused by the batch system."""
    cpus = [float(most) for most in (options.max_cpus, site.max_cpus) if most is not None]
    memory = [most for most in (options.max_memory, site.max_memory) if most is not None]
    return Size(min(cpus, default=float(NO_LIMIT)), min(memory, default=NO_LIMIT), float(NO_LIMIT))


def _within(site: Site, options: Options, most: int, say: Callable[[str], None]) -> int:
    """How many workers, when the site has had its say."""
    if site.max_workers is None or most <= site.max_workers:
        return most
    if options.workers is not None:
        say(f"this site allows {site.max_workers} workers; {most} were asked for")
        if (options.workers.least or 0) > site.max_workers:
            raise UsageError(f"--workers {options.workers}: this site allows {site.max_workers} workers")
    return site.max_workers


def _launcher(options: Options, tree: Path, blocks: Path, size: WorkerSize, local: bool) -> Launcher:
    common = {"queue": options.queue, "account": options.account, "args": options.launcher_args}
    settings = settings_for(options.launcher, options.launcher_settings, common)
    return registry.make(options.launcher, worker_command(options, tree, size, local), blocks, settings)


def worker_command(options: Options, tree: Path, size: WorkerSize, local: bool) -> list[str]:
    """The command line of a worker, but for which one it is."""
    worker = Path(__file__).with_name("worker") / "__main__.py"
    command = [sys.executable, "-P", str(worker), str(tree), "--cpus", f"{size.cpus:g}"]
    command += ["--memory", str(size.memory_bytes), "--patience", f"{options.worker_patience:g}"]
    if options.pin:
        command.append("--pin")
    if local and _is_modest(options):
        command = ["nice", "-n", str(_site.LOGIN_NICE), *command]
    if options.scratch_dir is not None:
        command += ["--scratch-dir", str(options.scratch_dir)]
    if not local:
        command.append("--in-batch")
        if size.gpus:
            command += ["--gpus", str(size.gpus)]
        if size.walltime_seconds is not None:
            command += ["--walltime", f"{size.walltime_seconds:g}"]
    return command


# -- on a cluster -----------------------------------------------------------------------------------------------------


def cluster_size(options: Options) -> tuple[WorkerSize, int]:
    """One worker of a batch system, and how many there may be at the most."""
    cpus = options.worker_cpus if options.worker_cpus is not None else options.default_cpus
    memory = options.worker_memory
    if memory is None:
        memory = int(options.default_memory * max(1.0, cpus / options.default_cpus))
    most = options.workers.most if options.workers is not None else MOST_WORKERS
    if options.max_cpus is not None:
        most = min(most, _most_of("cpus", options.max_cpus, cpus))
    if options.max_memory is not None:
        most = min(most, _most_of("memory", options.max_memory, memory))
    return WorkerSize(cpus=cpus, memory_bytes=memory), most


def _most_of(what: str, most: float, each: float) -> int:
    if each > most:
        raise UsageError(f"a worker has more {what} ({each:g}) than --max-{what} ({most:g}); smaller ones: --worker-{what}")
    return int(Decimal(repr(most)) / Decimal(repr(each)))


def _with_walltime(options: Options, launcher: Launcher, size: WorkerSize) -> WorkerSize:
    seconds = options.worker_time
    if seconds is None:
        limit = getattr(launcher, "walltime_limit", None)
        seconds = (limit() if limit is not None else None) or USUAL_WALLTIME
    return WorkerSize(size.cpus, size.memory_bytes, size.gpus, seconds)


# -- on this machine --------------------------------------------------------------------------------------------------


def _is_modest(options: Options) -> bool:
    """Whether we leave most of this machine to the others: on a login node, where nobody has said what we may take."""
    said = (options.worker_cpus, options.worker_memory, options.max_cpus, options.max_memory)
    return all(one is None for one in said) and _site.is_login_node()


def _here(options: Options, say: Callable[[str], None]) -> tuple[WorkerSize, int]:
    if not _is_modest(options):
        return local_size(options)
    modest = replace(
        options,
        max_cpus=min(_site.LOGIN_CPUS, _usable_cpus()),
        max_memory=min(_site.LOGIN_MEMORY, _usable_memory()),
    )
    size, most = local_size(modest)
    cpus, memory = f"{modest.max_cpus:g} cpus", format_size(modest.max_memory or 0)
    say(f"this looks like a login node: local workers take {cpus} and {memory} in all, at nice {_site.LOGIN_NICE}; "
        "--max-cpus and --max-memory say otherwise")  # fmt: skip
    return size, most


def _usable_cpus() -> float:
    """The cpus that this process may use: those of its affinity, or the slots of the batch job that it is in."""
    cpus = float(len(os.sched_getaffinity(0)))
    slots = _site.slots_of_job()
    return min(cpus, slots) if slots is not None else cpus


def local_size(options: Options) -> tuple[WorkerSize, int]:
    """What one local worker gets, and how many there are: they share what this process may use, or fewer than asked for do."""
    count = min(max(1, options.workers.most) if options.workers is not None else 1, _most_workers(options))
    cpus = _usable_cpus()
    memory = _usable_memory()
    if options.max_cpus is not None:
        cpus = min(cpus, options.max_cpus)
    if options.max_memory is not None:
        memory = min(memory, options.max_memory)
    each = options.worker_cpus if options.worker_cpus is not None else _share_of_cpus(cpus, count)
    share = options.worker_memory if options.worker_memory is not None else memory // count
    if share < 64 << 20:
        raise UsageError(f"{count} workers would have {format_size(share)} of memory each; ask for fewer with --workers")
    return WorkerSize(cpus=each, memory_bytes=share), count


def _most_workers(options: Options) -> int:
    """How many fit into --max-cpus and --max-memory; UsageError if none does."""
    cpus, each = options.max_cpus, options.worker_cpus
    memory, share = options.max_memory, options.worker_memory
    if cpus is not None and each is not None and each > cpus:
        raise UsageError(f"--worker-cpus {each:g} is more than --max-cpus {cpus:g}")
    if memory is not None and share is not None and share > memory:
        raise UsageError(f"--worker-memory {format_size(share)} is more than --max-memory {format_size(memory)}")
    most = sys.maxsize
    if cpus is not None:  # in decimals, as they were given: 0.3 / 0.1 is less than 3
        most = int(Decimal(repr(cpus)) / Decimal(repr(each))) if each is not None else max(1, int(cpus))
    if memory is not None and share is not None:
        most = min(most, memory // share)
    return most


def _share_of_cpus(cpus: float, count: int) -> float:
    """Whole ones, and at least one, though there be fewer; but no more than the fraction that was allowed."""
    return min(cpus, max(1.0, float(int(cpus / count))))


def _usable_memory() -> int:
    """Bytes that this process may use: the machine's, or its cgroup's or ulimit's share."""
    import resource

    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits)

"""How a run stands: made from its history, and put into words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from ..files import Files
from ..master.journal.holder import Holder
from ..master.nodes import Phase
from ..master.notice import read_notice
from .failures import report
from .history import History
from .kept import BlockHistory, WorkerHistory
from .presence import master_of
from .schema import BlockView, Counts, NameCounts, State, Status, WorkerView
from .words import Table, columns, duration, escape, of_gaps, plural, size

#: States of targets in the order in which people want them, and when a table has room for them.
ALWAYS = ("done", "running", "ready")
SOMETIMES = ("waiting", "held", "provisional", "failed", "blocked", "cancelled")


def status_of(history: History, now: float | None = None) -> Status:
    """The state of a run; ``now`` in unix seconds is for one that still runs."""
    master = master_of(history.directory)
    state, reason = state_of(history, master)
    last = history.epochs[-1] if history.epochs else None
    elapsed = history.elapsed
    if state is State.RUNNING:
        elapsed += max(0.0, (time.time() if now is None else now) - history.last_at)
    about = history.tree.about
    held = history.tree.holding()
    return Status(
        tree=history.path,
        state=state,
        reason=reason,
        script=str((about.get("script") or [""])[0]),
        argv=tuple(str(word) for word in about.get("argv") or ()),
        epoch=history.tree.epoch,
        host=last.began.host if last else "",
        pid=last.began.pid if last else 0,
        started_at=history.started_at,
        elapsed=elapsed,
        counts=_counts([sum(column) for column in zip(*history.tree.tallies.values(), strict=True)]),
        retries=sum(taken.retries for taken in history.taken.values()),
        lost=sum(taken.lost for taken in history.taken.values()),
        names=tuple(_names(history)),
        failures=tuple(history.failures.values()),
        workers=tuple(_worker(worker, held) for worker in history.workers.values() if worker.left_at is None),
        blocks=tuple(_block(block) for block in history.blocks.values()),
        seconds_left=_seconds_left(history) if state is State.RUNNING else None,
        paused=read_notice(Files(), str(history.path), history.directory.highest_epoch()) if state is State.RUNNING else "",
        gaps=tuple(history.gaps),
    )


def _seconds_left(history: History) -> float | None:
    """The mean time of each name's targets times those that are left, over the cpus that are there."""
    cpus = sum(worker.joined.cpus for worker in history.workers.values() if worker.left_at is None)
    total = 0.0
    for name, tally in history.tree.tallies.items():
        left = sum(tally[phase] for phase in (Phase.READY, Phase.HELD, Phase.RUNNING, Phase.PROVISIONAL))
        taken = history.taken.get(name)
        if left:
            if taken is None or not taken.time or not cpus:
                return None
            total += left * sum(taken.time) / len(taken.time)
    return total / cpus if cpus else None


def state_of(history: History, master: Holder | None) -> tuple[State, str]:
    """The state, and why the last master has ended, if it has."""
    last = history.epochs[-1] if history.epochs else None
    ended = last.ended if last is not None else None
    reason = ended.reason if ended is not None else ""
    claimed = history.directory.highest_epoch()
    if master is not None and (ended is None or claimed > history.tree.epoch):
        return State.RUNNING, ""
    if history.tree.outcome == "complete":
        return State.COMPLETE, reason
    if history.tree.outcome == "failed" or (ended is not None and ended.state == "failed"):
        return State.FAILED, reason
    return State.STOPPED, reason or "the master was killed, or lost its machine"


def _counts(tally: list[int]) -> Counts:
    return Counts(**{phase.name.lower(): tally[phase] for phase in Phase}) if tally else Counts()


def _names(history: History) -> Iterator[NameCounts]:
    for name, tally in history.tree.tallies.items():
        taken = history.taken.get(name)
        yield NameCounts(name, _counts(tally), taken.retries if taken else 0)


def _worker(worker: WorkerHistory, held: Counter[int]) -> WorkerView:
    joined = worker.joined
    return WorkerView(
        worker=joined.worker,
        name=f"w{joined.worker}@{joined.host}",
        host=joined.host,
        pid=joined.pid,
        block=joined.block,
        index=joined.index,
        cpus=joined.cpus,
        memory=joined.memory,
        joined_at=joined.at,
        left_at=worker.left_at,
        reason=worker.reason,
        holding=held[joined.worker],
        targets=worker.targets,
        busy=worker.busy,
    )


def _block(block: BlockHistory) -> BlockView:
    state = "ended" if block.ended else "known" if block.known else "planned"
    reason = block.refused or ("" if block.ended else block.note) or next(reversed(block.gone.values()), "")
    planned = block.planned
    return BlockView(planned.name, planned.pool, planned.n, state, tuple(block.ids), len(block.gone), reason, planned.at)


# -- in words -----------------------------------------------------------------------------------------------------------


def lines(status: Status, *, verbose: bool = False) -> Iterator[str | Table]:
    """The status as people read it: lines, and tables to be drawn as the output allows."""
    yield headline(status)
    if status.paused:
        yield f"  paused: {escape(status.paused)}; nothing is lost, and it goes on by itself when there is room"
    yield from of_gaps(status.gaps)
    if status.state is State.STOPPED and status.reason:
        yield f"  {escape(status.reason)}; jobtree restart {escape(status.tree)} goes on from here"
    if status.names:
        yield names_table(status)
    if status.failures:
        yield ""
        totals = {name.name: name.counts.total for name in status.names}
        live = status.state is State.RUNNING
        yield from report(status.failures, totals, tree=status.tree, examples=3 if verbose else 0, live=live)
    if status.workers and status.state is State.RUNNING:
        yield ""
        yield workers_table(status)
    open_blocks = [block for block in status.blocks if block.state != "ended"]
    if status.state is State.RUNNING and open_blocks:
        yield ""
        yield from (_block_line(block) for block in open_blocks)


def headline(status: Status) -> str:
    """One line that says it all."""
    counts = status.counts
    told = [f"{counts.done:,} of {plural(counts.total, 'target')} done"]
    others = [(getattr(counts, phase), phase) for phase in ("running", "failed", "blocked", "cancelled")]
    told += [f"{count:,} {phase}" for count, phase in others if count]
    told += [plural(status.retries, "retry", "retries")] if status.retries else []
    told += [f"{plural(status.lost, 'attempt')} lost with a worker"] if status.lost else []
    if status.seconds_left is not None:
        told.append(f"about {duration(max(1, round(status.seconds_left)))} left for what is known")
    where = f", master pid {status.pid} on {escape(status.host)}" if status.state is State.RUNNING else ""
    return f"{escape(status.tree)}: {status.state} ({', '.join(told)}; {duration(status.elapsed)}{where})"


def names_table(status: Status) -> Table:
    """One row a name; states in which nothing stands are left out."""
    shown = [phase for phase in SOMETIMES if getattr(status.counts, phase)]
    phases = [*ALWAYS, *shown]
    rows = [[escape(name.name), *(_number(getattr(name.counts, phase)) for phase in phases)] for name in status.names]
    if status.retries:
        phases.append("retries")
        for row, name in zip(rows, status.names, strict=True):
            row.append(_number(name.retries))
    return Table(columns("<name", *phases), rows)


def workers_table(status: Status) -> Table:
    """One row a worker that is there."""
    rows = [
        [
            escape(worker.name), f"{worker.cpus:g}", size(worker.memory), f"{worker.holding:,}", f"{worker.targets:,}",
            duration(max(0.0, time.time() - worker.joined_at)),
        ]
        for worker in status.workers
    ]  # fmt: skip
    return Table(columns("<worker", "cpus", "memory", "holding", "ended", "since"), rows)


def _block_line(block: BlockView) -> str:
    state = {"planned": "asked for", "known": "submitted"}[block.state]
    gone = f", {block.ended:,} ended" if block.ended else ""
    reason = f" ({escape(block.reason)})" if block.reason else ""
    return f"block {escape(block.name)}: {plural(block.n, 'worker')} {state}{gone}{reason}"


def _number(count: int) -> str:
    return f"{count:,}" if count else "-"

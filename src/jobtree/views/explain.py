"""Why a target has failed, or has not run yet: over the tree, the workers, and what was asked of the launcher."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import UsageError
from ..master.nodes import Form, Node, Phase, Run
from ..resources import format_size
from .failures import example
from .history import History
from .schema import Failure
from .words import duration, escape, plural

#: Of many things of one kind so many are named.
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """``lines`` say why; ``commands`` are what one may want to do next. ``phase`` is that of the target, or ``done``."""

    target: int
    name: str
    phase: str
    lines: tuple[str, ...]
    commands: tuple[str, ...] = ()


@dataclass(slots=True)
class Waiting:
    """What the launcher says of workers that have not come: its words for each, and their reasons."""

    reasons: Mapping[str, str] = field(default_factory=dict)


def explain(history: History, target: int, waiting: Waiting, now: float | None = None) -> Explanation:
    """Why target ``target`` stands where it stands; UsageError if there is none. Nothing in it takes hold of a terminal."""
    return _Explainer(history, waiting, time.time() if now is None else now).of(target)


class _Explainer:
    def __init__(self, history: History, waiting: Waiting, now: float) -> None:
        self.history = history
        self.tree = history.tree
        self.tree.settle()
        self.waiting = waiting
        self.now = now
        self.place = escape(history.path)

    def of(self, target: int) -> Explanation:
        what = self.tree.nodes.get(target) or self.tree.runs.find(target)
        if what is None:
            return self._not_there(target)
        name, phase = escape(what.form.name), what.phase
        lines, commands = self._why(what, target)
        return Explanation(target, name, phase.name.lower(), tuple(lines), tuple(commands))

    def _not_there(self, target: int) -> Explanation:
        """It has ended, or is not part of the tree yet, or never was."""
        failure = self.history.failures.get(target)
        if failure is not None:  # its failure was allowed, or belongs to something that was
            return Explanation(target, escape(failure.name), "failed", tuple(self._failed(failure)), ())
        for (epoch, number), node in self.tree.current.items():
            for piece in node.pieces or ():
                if piece.first <= target < piece.first + piece.size:
                    words = f"it exists when {_told(node)}, which creates it, has ended well (attempt {epoch}.{number} runs)"
                    return Explanation(target, "", "provisional", (words,))
        if 0 < target < self.tree.next_id:
            words = "it is done, or an attempt that had created it has failed"
            return Explanation(target, "", "done", (words,), (f"jobtree logs {self.place} --target {target}",))
        raise UsageError(f"there is no target {target}; the highest id is {self.tree.next_id - 1}")

    def _why(self, what: Node | Run, target: int) -> tuple[list[str], list[str]]:
        if isinstance(what, Run):
            return (self._cancelled(None), self._retry(target)) if what.withdrawn else (list(self._ready(what, target)), [])
        match what.phase:
            case Phase.FAILED:
                return list(self._failed(self.history.failures[target])), self._after_failure(what)
            case Phase.CANCELLED:
                return self._cancelled(what), self._retry(target)
            case Phase.READY:
                return list(self._ready(what, target)), []
            case Phase.RUNNING:
                commands = [f"jobtree stack {self.place} {target}", f"jobtree logs -f {self.place} --target {target}"]
                return list(self._running(what)), commands
            case Phase.HELD | Phase.BLOCKED:
                return list(self._held(what)), []
            case _:
                return list(self._waits_for_children(what)), []

    # -- what has ended badly -------------------------------------------------------------------------------------

    def _failed(self, failure: Failure) -> Iterator[str]:
        yield from example(failure)
        if failure.worker:
            block = f", block {escape(failure.block)}" if failure.block else ""
            yield f"it ran on w{failure.worker}@{escape(failure.host)}{block}, for {duration(failure.wall)}"
        if failure.memory:
            asked = f" of {format_size(failure.memory_limit)} that it may have" if failure.memory_limit else ""
            yield f"it held {format_size(failure.memory)}{asked}"
        if failure.time_limit is not None:
            yield f"its time limit is {duration(failure.time_limit)}"

    def _after_failure(self, node: Node) -> list[str]:
        failure = self.history.failures[node.id]
        commands = [f"jobtree logs {self.place} --target {node.id}", f"jobtree debug {self.place} {node.id}"]
        more = " --memory x2" if failure.cause == "memory" else ""
        return [*commands, f"jobtree retry {self.place} {node.id}{more}"]

    def _cancelled(self, node: Node | None) -> list[str]:
        if node is not None and self.history.failures.get(node.id) is not None:
            return ["it was cancelled by hand"]
        return ["it was cancelled with a target above it"]

    def _retry(self, target: int) -> list[str]:
        return [f"jobtree retry {self.place} {target}"]

    # -- what runs, or could ----------------------------------------------------------------------------------------

    def _running(self, node: Node) -> Iterator[str]:
        worker = self.history.workers.get(node.worker)
        host = f"@{escape(worker.joined.host)}" if worker is not None else ""
        yield f"it was given to w{node.worker}{host}, as attempt {node.begun + 1}"
        yield from self._losses(node)

    def _losses(self, node: Node) -> Iterator[str]:
        last = self.history.losses.get(node.id)
        if node.losses and last is not None:
            yield f"{plural(node.losses, 'worker')} lost while running it so far, the last one by {escape(last)}"

    def _ready(self, what: Node | Run, target: int) -> Iterator[str]:
        if isinstance(what, Node) and what.not_before > self.now:
            times = plural(what.tries + what.grown, "time")
            yield f"it has failed {times}, and is tried again in {duration(what.not_before - self.now)}"
            return
        since = duration(max(0.0, self.now - what.ready_at))
        yield f"it has been ready for {since}, and waits for a worker: it asks for {self._asks(what.form)}"
        others = sum(tally[Phase.READY] for tally in self.tree.tallies.values()) - 1
        if others:
            yield f"{plural(others, 'other target')} are ready too"
        if isinstance(what, Node):
            yield from self._losses(what)
        yield from self._named(what.form)
        yield from self._workers(what.form)
        yield from self._blocks()

    def _named(self, form: Form) -> Iterator[str]:
        """What the whole run has of named resources, and who uses it."""
        capacities = self.tree.options.get("resources") or {}
        for name in self._needs(form)[3]:
            used = {_told(node): self._needs(node.form)[3].get(name, 0.0) for node in self.tree.current.values()}
            users = [told for told, amount in used.items() if amount]
            more = f", held by {', '.join(users[:MOST_NAMED])}{' and others' if len(users) > MOST_NAMED else ''}" if users else ""
            yield f"of {escape(name)} the run has {capacities.get(name, 0):g}, and {sum(used.values()):g} is in use{more}"

    def _asks(self, form: Form) -> str:
        cpus, memory, gpus, named = self._needs(form)
        words = [f"{cpus:g} cpus"]
        words += [f"{format_size(memory)} of memory"] if memory else []
        words += [f"{gpus:g} gpus"] if gpus else []
        words += [f"{amount:g} {escape(name)}" for name, amount in named.items()]
        return ", ".join(words)

    def _needs(self, form: Form) -> tuple[float, int, float, Mapping[str, float]]:
        requests = form.requests
        cpus = float(requests.get("cpus", self.tree.options.get("default_cpus", 1.0)))
        return cpus, requests.get("memory") or 0, float(requests.get("gpus", 0)), requests.get("resources") or {}

    def _workers(self, form: Form) -> Iterator[str]:
        """What each worker has free, as far as the journal tells."""
        cpus, memory, gpus, _ = self._needs(form)
        there = [worker.joined for worker in self.history.workers.values() if worker.left_at is None]
        fitting = [joined for joined in there if joined.cpus >= cpus and joined.memory >= memory and joined.gpus >= gpus]
        if there and not fitting:
            yield f"none of {plural(len(there), 'worker')} is large enough, however idle"
        for joined in fitting[:MOST_NAMED]:
            held = [node for node in self.tree.current.values() if node.worker == joined.worker]
            used = sum(self._needs(node.form)[0] for node in held)
            taken = sum(self._needs(node.form)[1] for node in held)
            yield (
                f"w{joined.worker}@{escape(joined.host)} has {max(0.0, joined.cpus - used):g} of {joined.cpus:g} cpus and "
                f"{format_size(max(0, joined.memory - taken))} of {format_size(joined.memory)} free, and holds "
                f"{plural(len(held), 'target')}"
            )
        if len(fitting) > MOST_NAMED:
            yield f"and {len(fitting) - MOST_NAMED:,} more workers could run it"

    def _blocks(self) -> Iterator[str]:
        """Workers that were asked for and have not come."""
        came = {(worker.joined.block, worker.joined.index) for worker in self.history.workers.values()}
        for name, block in self.history.blocks.items():
            if block.ended:
                continue
            missing = [place for place in range(block.planned.n) if (name, place) not in came]
            if not missing:
                continue
            ids = [block.ids[place] for place in missing if place < len(block.ids)]
            reasons = {self.waiting.reasons[ident] for ident in ids if self.waiting.reasons.get(ident)}
            reasons |= {block.note} if block.note else set()
            said = f": {escape('; '.join(sorted(reasons)))}" if reasons else ""
            since = duration(max(0.0, self.now - block.planned.at))
            yield f"{plural(len(missing), 'worker')} of block {escape(name)} were asked for {since} ago and have not come{said}"

    # -- what waits ------------------------------------------------------------------------------------------------

    def _held(self, node: Node) -> Iterator[str]:
        before = next((one for one in self.tree.nodes.values() if one.follow is node), None)
        if before is not None:
            yield f"it is the follow-on of {_told(before)}, and starts when all children of that, and all below them, have ended"
            yield from self._waits_for_children(before)
            return
        verb = "waits in vain" if node.phase is Phase.BLOCKED else "waits"
        awaited = list(self._awaited(node))
        yield f"it {verb} for {plural(node.waits, 'target')}: {_listed(awaited)}"
        lost = [one for one in awaited if isinstance(one, Node) and one.stuck_flag]
        for one in lost[:MOST_NAMED]:
            yield f"{_told(one)} {self._stuck_words(one)}"

    def _awaited(self, node: Node) -> Iterator[Node | Run]:
        parent = node.parent
        wanted = {n for n, watch in ((parent.promises or {}) if parent is not None else {}).items() if node in watch.takers}
        for one in self.tree.nodes.values():
            if one.parent is parent and one.founder_n in wanted and one is not node:
                yield one
        for run in self.tree.runs:
            if run.parent is parent and any(run.first_n <= n < run.first_n + run.count for n in wanted):
                yield run

    def _waits_for_children(self, node: Node) -> Iterator[str]:
        if not node.open:
            yield f"{_told(node)} has not ended yet: it is {node.phase.name.lower()}"
            return
        nodes = [one for one in self.tree.nodes.values() if one.parent is node and one.phase is not Phase.PROVISIONAL]
        runs = [run for run in self.tree.runs if run.parent is node]
        stuck = f", and {node.stuck:,} of them can't go on" if node.stuck else ""
        yield f"{_told(node)} waits for {plural(node.open, 'child', 'children')}{stuck}: {_listed([*nodes, *runs])}"
        for one in [one for one in nodes if one.stuck_flag][:MOST_NAMED]:
            yield f"{_told(one)} {self._stuck_words(one)}"

    def _stuck_words(self, node: Node) -> str:
        failure = self.history.failures.get(node.id)
        if failure is not None:
            return f"has failed: {escape(failure.cause)}"
        if node.phase is Phase.CANCELLED:
            return "was cancelled"
        why = self.tree.whys.get(node.id)
        return f"can't go on because of {escape(why['name'])}:{why['id']} ({escape(why['cause'])})" if why else "can't go on"


def _told(what: Node | Run) -> str:
    return f"{escape(what.form.name)}:{what.id if isinstance(what, Node) else what.first}"


def _listed(found: list[Node | Run]) -> str:
    """Some of them, with where they stand."""
    words = []
    for what in found[:MOST_NAMED]:
        more = f" and {what.count - 1:,} like it" if isinstance(what, Run) and what.count > 1 else ""
        words.append(f"{_told(what)}{more} ({what.phase.name.lower()})")
    rest = len(found) - MOST_NAMED
    return ", ".join(words) + (f" and {rest:,} more" if rest > 0 else "") if words else "all of which have ended"

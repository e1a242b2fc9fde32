"""All targets and where they stand: the durable state of a run, changed by ``Tree.apply`` and nowhere else.

Five rules carry the semantics:

* What an attempt creates does not exist until the attempt commits; failure drops it.
* A target is committed once: ends of any other attempt than the current one must not be recorded (``current`` tells).
* A follow-on takes its predecessor's place among the parent's open children, so a chain counts as one.
* A chain that can't go on is *stuck*, and so is a target all of whose open children's chains are; a tolerant chain that is stuck
  ends all the same. The run has ended when the root's chain has ended or is stuck.
* Promises hang on the creating node: takers wait for the chain of the promised child, then read its slot.

Nothing here is recursive, and each record costs work in proportion to its own length (a retry: to the depth of the tree).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..ids import FOLLOW_ON, NOBODY, Attempt
from ..protocol.messages import (
    FLAG_FOLLOW_ON,
    FLAG_TEMP,
    ROW_CAUSE,
    ROW_CREATED,
    ROW_EMBEDS,
    ROW_EPOCH,
    ROW_FAILURE,
    ROW_FLAGS,
    ROW_NUMBER,
    ROW_RESULT,
    VALUE_BLOB,
    VALUE_CANCELLED,
    VALUE_FAILURE,
    VALUE_INLINE,
    VALUE_NONE,
    default_temp,
)
from . import records as r
from .nodes import PHASES, Form, Node, Phase, Piece, Run, Slot, Source, Watch, spread


class Tree:
    """The state of all targets after the records applied so far."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.epoch = 0
        self.root: Node | None = None
        self.result = Slot()
        self.outcome: str | None = None  # complete | failed, once the root's chain has ended or is stuck
        self.next_id = 1
        self.next_number = 1  # of attempts in this epoch
        self.records = 0  # applied so far; the number of the next one
        self.nodes: dict[int, Node] = {}  # all that are more than one of many, and not done
        self.current: dict[tuple[int, int], Node] = {}  # by attempt: what is running
        self.over: set[tuple[int, int]] = set()  # attempts never to be adopted: failed, or lost with what they had created
        self.failed: dict[int, dict[str, Any]] = {}  # by id: why
        self.tallies: dict[str, list[int]] = {}  # by name: how many targets stand in each phase
        self.codes: dict[str, Source] = {}  # code pickled by value, by SHA-256
        self.keep_going = False
        # What a turn's records have led to, for the state to act on and clear.
        self.fresh: list[Run | Node] = []  # ready from now on
        self.ended_chains: list[int] = []  # chains whose global temp dirs are to go
        self.unneeded: list[tuple[int, int, str]] = []  # blobs that nobody will read any more
        self._forms: dict[str, Form] = {}
        self._whys: dict[int, dict[str, Any]] = {}  # by id: what failed first below it, and can't go on
        self._run_keys: list[int] = []  # sorted first ids, as they were when the run was made
        self._runs: dict[int, Run] = {}
        self._appliers: dict[type[r.Record], Callable[[Any], None]] = {
            r.RunDescribed: self._run_described,
            r.EpochBegan: self._epoch_began,
            r.TargetsCreated: self._targets_created,
            r.CodeAdded: self._code_added,
            r.AttemptsAssigned: self._attempts_assigned,
            r.AttemptsStarted: self._nothing,
            r.AttemptsReturned: self._attempts_returned,
            r.AttemptsAdopted: self._attempts_adopted,
            r.AttemptsCommitted: self._attempts_committed,
            r.AttemptsFailed: self._attempts_failed,
            r.AttemptsLost: self._attempts_lost,
            r.TargetsRefused: self._targets_refused,
            r.TargetsRetried: self._targets_retried,
            r.SubtreesCancelled: self._subtrees_cancelled,
            r.BlockPlanned: self._nothing,
            r.BlockKnown: self._nothing,
            r.BlockEnded: self._nothing,
            r.WorkerJoined: self._nothing,
            r.WorkerLeft: self._nothing,
            r.RunEnded: self._nothing,
            r.Summary: self._nothing,
        }

    def apply(self, record: r.Record) -> None:
        """Make ``record`` part of the tree: the only way it changes, live or replayed."""
        self._appliers[type(record)](record)
        self.records += 1

    # -- questions ------------------------------------------------------------------------------------------------

    def counts(self) -> dict[Phase, int]:
        """How many targets stand in each phase."""
        sums = [0] * PHASES
        for tally in self.tallies.values():
            for phase, count in enumerate(tally):
                sums[phase] += count
        return {phase: sums[phase] for phase in Phase}

    def waiting_runs(self) -> Iterator[Run]:
        """All runs of ready targets that nobody has been given."""
        return iter(self._runs.values())

    def find_run(self, target: int) -> Run | None:
        """The run in which a target waits, if it does."""
        at = bisect_right(self._run_keys, target) - 1
        if at < 0:
            return None
        run = self._runs[self._run_keys[at]]
        return run if run.first <= target < run.first + run.count else None

    def tolerates(self, node: Node) -> bool:
        """Whether the chain of ``node`` ends all the same when it is stuck."""
        if node.tolerant is not None:
            return node.tolerant
        return self.keep_going and node.parent is not None and node.parent.chain == self._root_id()

    def temp_of(self, node: Node, epoch: int, number: int) -> str | None:
        """The global temp dir that an attempt of ``node`` is to use, below TREE/tmp; None for the default one."""
        if node.temp is not None:
            return node.temp
        return None if node.chain == node.id else default_temp(node.chain, epoch, number)

    def alive(self, node: Node) -> bool:
        """Whether nothing above ``node`` has been cancelled or has ended without it."""
        above: Node | None = node
        while above is not None:
            if above.phase in (Phase.CANCELLED, Phase.DONE):
                return False
            above = above.parent
        return True

    # -- creation -------------------------------------------------------------------------------------------------

    def _run_described(self, record: r.RunDescribed) -> None:
        self.about = record.about

    def _epoch_began(self, record: r.EpochBegan) -> None:
        assert record.epoch > self.epoch, "an epoch began twice"
        self.epoch = record.epoch
        self.options = record.options
        self.keep_going = bool(record.options.get("keep_going"))
        self.next_number = 1

    def _code_added(self, record: r.CodeAdded) -> None:
        self.codes.setdefault(record.sha, Source(self.records, 0))

    def _targets_created(self, record: r.TargetsCreated) -> None:
        count = len(record.lengths)
        assert record.first == self.next_id, "ids are given without a gap"
        self.next_id += count
        forms = [self._form(form) for form in record.forms]
        mean = sum(record.lengths) // count
        piece = Piece(self.records, record.first, record.first_n, count, forms, record.runs, record.extras, mean)
        if (record.epoch, record.number) == NOBODY:
            self._plant(piece, record.at)
            return
        creator = self.current[record.epoch, record.number]
        if creator.pieces is None:
            creator.pieces = []
        creator.pieces.append(piece)
        creator.created += count
        self._count_piece(piece, 1)

    def _plant(self, piece: Piece, at: float) -> None:
        """The root is there at once: nobody's attempt can fail and take it back."""
        form = piece.forms[0]
        root = Node(piece.first, None, form, Source(piece.record, 0), NOBODY, 1, 0)
        root.slot = self.result
        self.result.uses = 1  # for as long as the tree is kept
        extra = piece.extras.get(0)
        root.blob = extra[2] if extra else None
        root.ready_at = at
        form.tally[Phase.READY] += 1
        self.root = root
        self.nodes[root.id] = root
        self.fresh.append(root)

    def _form(self, wire: list[Any]) -> Form:
        key = repr(wire)
        form = self._forms.get(key)
        if form is None:
            name, tolerant, requests = wire
            tally = self.tallies.setdefault(name, [0] * PHASES)
            form = self._forms[key] = Form(name, tolerant, requests, tally)
        return form

    def _count_piece(self, piece: Piece, sign: int) -> None:
        for index, count in zip(piece.runs[::2], piece.runs[1::2], strict=True):
            piece.forms[index].tally[Phase.PROVISIONAL] += sign * count

    # -- attempts -------------------------------------------------------------------------------------------------

    def _attempts_assigned(self, record: r.AttemptsAssigned) -> None:
        number = record.first
        epoch = self.epoch
        targets = record.targets
        for at in range(0, len(targets), 2):
            first, count = targets[at], targets[at + 1]
            node = self.nodes.get(first) if count == 1 else None
            fresh = (node,) if node is not None else self._take(first, count)
            for one in fresh:
                assert one.phase is Phase.READY, f"{one} was assigned"
                tally = one.form.tally
                tally[Phase.READY] -= 1
                tally[Phase.RUNNING] += 1
                one.phase = Phase.RUNNING
                one.attempt = Attempt(epoch, number)
                one.worker = record.worker
                self.current[epoch, number] = one
                number += 1
        self.next_number = number

    def _take(self, first: int, count: int) -> Iterator[Node]:
        """Make nodes of the next ``count`` targets of a run."""
        at = bisect_right(self._run_keys, first) - 1
        key = self._run_keys[at]
        run = self._runs[key]
        assert run.first == first, "targets leave a run from its front"
        assert count <= run.count, "a run gives no more than it has"
        parent, form, creator, promises = run.parent, run.form, run.creator, run.parent.promises
        depth = parent.depth + 1
        for offset in range(count):
            node = Node(
                first + offset, parent, form, Source(run.record, run.index + offset), creator, run.first_n + offset, depth
            )
            node.ready_at = run.ready_at
            if promises is not None:
                watch = promises.get(node.n)
                if watch is not None:
                    node.slot = watch.slot
            self.nodes[node.id] = node
            yield node
        run.first += count
        run.first_n += count
        run.index += count
        run.count -= count
        if not run.count:
            del self._runs[key]
            del self._run_keys[at]

    def _attempts_returned(self, record: r.AttemptsReturned) -> None:
        for epoch, number in record.attempts:
            self._again(self._end_attempt(epoch, number), record.at)

    def _attempts_lost(self, record: r.AttemptsLost) -> None:
        for epoch, number, counts in record.attempts:
            if self.current[epoch, number].created:
                self.over.add((epoch, number))  # the blobs of its creations go, and its worker may have forgotten the rest
            node = self._end_attempt(epoch, number)
            node.losses += counts
            node.begun += counts
            node.attempt = NOBODY  # should its worker come back with it in time, it may be adopted
            self._again(node, record.at)

    def _attempts_adopted(self, record: r.AttemptsAdopted) -> None:
        for epoch, number, target in record.attempts:
            node = self._single(target)
            assert node is not None, f"target {target} is not there to be adopted"
            if node.phase is Phase.READY:
                self._move(node, Phase.RUNNING)
                node.attempt = Attempt(epoch, number)
                self.current[epoch, number] = node
            assert node.attempt == (epoch, number), f"{node} was adopted under another attempt"
            node.worker = record.worker

    def _attempts_committed(self, record: r.AttemptsCommitted) -> None:
        for index, row in enumerate(record.rows):
            node = self.current.pop((row[ROW_EPOCH], row[ROW_NUMBER]))
            flags = row[ROW_FLAGS]
            assert node.created == row[ROW_CREATED] + (flags & FLAG_FOLLOW_ON), f"{node} has lost or gained children"
            if flags & FLAG_TEMP and node.temp is None:
                node.temp = default_temp(node.chain, *node.attempt)
            if node.slot is not None or row[ROW_RESULT].__class__ is list or row[ROW_EMBEDS]:
                self._keep(node, row, Source(self.records, index))
            if node.pieces is not None:
                self._realise(node, record.at)
            if node.takes is not None:
                self._release(node.takes)
                node.takes = None
            if node.blob is not None:
                self.unneeded.append((node.creator.epoch, node.creator.number, str(node.n)))
            tally = node.form.tally
            tally[Phase.RUNNING] -= 1
            tally[Phase.WAITING] += 1
            node.phase = Phase.WAITING
            if not node.open:
                self._go_up(node, None, record.at)

    def _attempts_failed(self, record: r.AttemptsFailed) -> None:
        for row, verdict in zip(record.rows, record.verdicts, strict=True):
            self.over.add((row[ROW_EPOCH], row[ROW_NUMBER]))
            node = self._end_attempt(row[ROW_EPOCH], row[ROW_NUMBER])
            node.begun += 1
            node.tries += 1
            if verdict is not None:
                self._again(node, record.at)
                node.not_before = verdict
                continue
            self._move(node, Phase.FAILED)
            failure = row[ROW_FAILURE] or {}
            why = {"name": node.form.name, "id": node.id, "cause": row[ROW_CAUSE], "message": str(failure.get("message", ""))}
            self.failed[node.id] = why
            self._go_up(node, why, record.at)

    def _end_attempt(self, epoch: int, number: int) -> Node:
        """The attempt is over and has left nothing behind."""
        node = self.current.pop((epoch, number))
        for piece in node.pieces or ():
            self._count_piece(piece, -1)
            for index, extra in piece.extras.items():
                if extra[2] is not None:
                    self.unneeded.append((epoch, number, str(piece.first_n + index)))
        node.pieces = None
        node.created = 0
        return node

    def _again(self, node: Node, at: float) -> None:
        if node.phase is Phase.RUNNING:
            self._make_ready(node, at)

    def _make_ready(self, node: Node, at: float) -> None:
        self._move(node, Phase.READY)
        node.ready_at = at
        node.not_before = 0.0
        node.worker = 0
        self.fresh.append(node)

    # -- commit ---------------------------------------------------------------------------------------------------

    def _realise(self, node: Node, at: float) -> None:
        """What the attempt of ``node`` has created becomes part of the tree."""
        held: list[tuple[Node, list[int]]] = []
        for piece in node.pieces or ():
            self._count_piece(piece, -1)
            if piece.first_n == FOLLOW_ON:
                self._set_follow(node, piece)
            elif piece.extras:
                held += self._realise_mixed(node, piece, at)
            else:
                self._realise_plain(node, piece, 0, piece.size, at)
        node.pieces = None
        for taker, waits_for in held:
            self._hold(node, taker, waits_for)

    def _set_follow(self, node: Node, piece: Piece) -> None:
        form = piece.forms[piece.runs[0]]
        follow = Node(piece.first, node.parent, form, Source(piece.record, 0), node.attempt, FOLLOW_ON, node.depth)
        follow.phase = Phase.HELD
        form.tally[Phase.HELD] += 1
        extra = piece.extras.get(0)
        if extra:
            follow.blob = extra[2]
            follow.takes = self._takes(node, spread(extra[0])) if extra[0] else None
        if node.promises is not None and FOLLOW_ON in node.promises:
            follow.slot = node.promises.pop(FOLLOW_ON).slot
        node.follow = follow
        self.nodes[follow.id] = follow

    def _realise_plain(self, node: Node, piece: Piece, start: int, stop: int, at: float) -> None:
        """Runs of the targets ``start`` to ``stop`` of a piece, none of which has an extra."""
        low = 0
        for index, count in zip(piece.runs[::2], piece.runs[1::2], strict=True):
            high = low + count
            begin, end = max(low, start), min(high, stop)
            low = high
            if begin >= end:
                continue
            form = piece.forms[index]
            source = Source(piece.record, begin)
            run = Run(node, node.attempt, form, piece.first + begin, piece.first_n + begin, end - begin, source, piece.mean, at)
            form.tally[Phase.READY] += end - begin
            self._add_run(run)
            self.fresh.append(run)
            node.open += end - begin

    def _realise_mixed(self, node: Node, piece: Piece, at: float) -> list[tuple[Node, list[int]]]:
        """A piece in which some targets take promises, wait for siblings, or have their payload in a blob."""
        held = []
        last = 0
        form_of = [i for i, count in zip(piece.runs[::2], piece.runs[1::2], strict=True) for _ in range(count)]
        for index in sorted(piece.extras):
            takes, after, blob = piece.extras[index]
            self._realise_plain(node, piece, last, index, at)
            last = index + 1
            form = piece.forms[form_of[index]]
            n = piece.first_n + index
            child = Node(piece.first + index, node, form, Source(piece.record, index), node.attempt, n, node.depth + 1)
            child.blob = blob
            child.ready_at = at
            taken = spread(takes) if takes else []
            child.takes = self._takes(node, taken) if taken else None
            child.phase = Phase.HELD
            form.tally[Phase.HELD] += 1
            self.nodes[child.id] = child
            node.open += 1
            held.append((child, sorted({*taken, *spread(after)}) if taken or after else []))
        self._realise_plain(node, piece, last, piece.size, at)
        return held

    def _hold(self, creator: Node, taker: Node, waits_for: list[int]) -> None:
        """Let ``taker`` wait for the chains of siblings; all of them are there, and none has begun."""
        for n in waits_for:
            self._watch(creator, n).takers.append(taker)
        taker.waits = len(waits_for)
        watch = (creator.promises or {}).get(taker.n)
        if watch is not None:
            taker.slot = watch.slot
        if not taker.waits:
            self._move(taker, Phase.READY)
            self.fresh.append(taker)

    def _takes(self, creator: Node, ns: list[int]) -> list[tuple[tuple[int, int, int], Slot]]:
        epoch, number = creator.attempt
        takes = []
        for n in ns:
            slot = self._slot(creator, n)
            slot.uses += 1
            takes.append(((epoch, number, n), slot))
        return takes

    def _watch(self, creator: Node, n: int) -> Watch:
        if creator.promises is None:
            creator.promises = {}
        watch = creator.promises.get(n)
        if watch is None:
            watch = creator.promises[n] = Watch()
        return watch

    def _slot(self, creator: Node, n: int) -> Slot:
        """The slot of what ``creator`` has created as ``n``, made now if nobody has asked before."""
        watch = self._watch(creator, n)
        if watch.slot is None:
            watch.slot = Slot()
        return watch.slot

    def _keep(self, node: Node, row: list[Any], source: Source) -> None:
        """Keep the promise of ``node``'s result with what its attempt returned.

        This comes before the children are realised, so that they find the slots that are theirs. If the result is the promise
        of something that the attempt created, both share one slot from now on.
        """
        result, slot = row[ROW_RESULT], node.slot
        if slot is None:
            if result.__class__ is list and len(result) == 2:
                self.unneeded.append((row[ROW_EPOCH], row[ROW_NUMBER], "r"))
            return
        if result.__class__ is list and len(result) == 1:
            self._watch(node, result[0]).slot = slot
            return
        slot.source = source
        if result is None:
            slot.kind = VALUE_NONE
        elif result is True:
            slot.kind = VALUE_INLINE
        else:
            slot.kind = VALUE_BLOB
            slot.argument = [*result, row[ROW_EPOCH], row[ROW_NUMBER]]
        if row[ROW_EMBEDS]:
            slot.embeds = self._takes(node, spread(row[ROW_EMBEDS]))

    def _release(self, takes: Iterable[tuple[tuple[int, int, int], Slot]]) -> None:
        """A taker has committed; a result without takers left needs its blob no more."""
        todo = [slot for _, slot in takes]
        while todo:
            slot = todo.pop()
            slot.uses -= 1
            if slot.uses:
                continue
            if slot.kind == VALUE_BLOB:
                _, _, epoch, number = slot.argument
                self.unneeded.append((epoch, number, "r"))
            todo += [embedded for _, embedded in slot.embeds]
            slot.embeds = []

    # -- the way upward -------------------------------------------------------------------------------------------

    def _go_up(self, node: Node, why: dict[str, Any] | None, at: float) -> None:
        """``node`` has no open children left (``why`` is None), or its chain can't go on; settle that, and all it leads to."""
        todo = [(node, why)]
        while todo:
            node, why = todo.pop()
            if why is None:
                follow = self._finish(node, at)
                if follow is not None:
                    continue
                parent = self._end_chain(node, at)
            elif node.parent is None:
                self._end_run("failed")
                continue
            elif node.stuck_flag:
                continue
            elif self.tolerates(node):
                self._fail_softly(node, why)
                parent = self._end_chain(node, at)
            else:
                parent = node.parent
                node.stuck_flag = True
                parent.stuck += 1
                self._whys.setdefault(parent.id, why)
                todo += [(taker, why) for taker in self._block_takers(parent, node.founder_n)]
            if parent is None or parent.phase is not Phase.WAITING or parent.open != parent.stuck:
                continue
            todo.append((parent, None) if not parent.open else (parent, why or self._whys.get(parent.id, _FAILED_BELOW)))

    def _finish(self, node: Node, at: float) -> Node | None:
        """``node`` is done; its follow-on, if it has one, takes its place."""
        tally = node.form.tally
        tally[node.phase] -= 1
        tally[Phase.DONE] += 1
        node.phase = Phase.DONE
        self.nodes.pop(node.id, None)
        follow = node.follow
        if follow is None:
            return None
        follow.chain = node.chain
        follow.founder_n = node.founder_n
        follow.tolerant = node.tolerant
        follow.temp = node.temp
        follow.ready_at = at
        if node is self.root:
            self.root = follow
        node.follow = None
        self._move(follow, Phase.READY)
        self.fresh.append(follow)
        return follow

    def _end_chain(self, node: Node, at: float) -> Node | None:
        """The chain that ``node`` closes has ended: siblings that waited for it go on; the parent has one open child less."""
        if node.temp is not None:
            self.ended_chains.append(node.chain)
        parent = node.parent
        if parent is None:
            self._end_run("complete")
            return None
        parent.open -= 1
        watch = parent.promises.pop(node.founder_n, None) if parent.promises is not None else None
        for taker in watch.takers if watch is not None else ():
            taker.waits -= 1
            if not taker.waits and taker.phase is Phase.HELD:
                taker.ready_at = at
                self._move(taker, Phase.READY)
                self.fresh.append(taker)
        return parent

    def _end_run(self, outcome: str) -> None:
        self.outcome = outcome
        if outcome == "failed":
            return
        # What is left lies in subtrees whose failure was allowed, or that were cancelled: nothing of it will ever run.
        for node in self.nodes.values():
            if node.phase not in (Phase.FAILED, Phase.CANCELLED):
                self._move(node, Phase.CANCELLED)
        for run in self._runs.values():
            run.form.tally[Phase.READY] -= run.count
            run.form.tally[Phase.CANCELLED] += run.count
        self.nodes.clear()
        self._runs.clear()
        self._run_keys.clear()

    def _fail_softly(self, node: Node, why: dict[str, Any]) -> None:
        """A tolerant chain is stuck: whoever was promised its result gets the failure instead."""
        parent = node.parent
        watch = parent.promises.get(node.founder_n) if parent is not None and parent.promises else None
        slot = watch.slot if watch is not None else None
        if slot is not None:
            if slot.kind == VALUE_BLOB:
                self.unneeded.append((slot.argument[2], slot.argument[3], "r"))
            slot.kind = VALUE_CANCELLED if why["cause"] == "cancelled" else VALUE_FAILURE
            slot.argument = why
            slot.embeds = []
        follow, node.follow = node.follow, None
        if follow is not None:
            self._move(follow, Phase.CANCELLED)
            self.nodes.pop(follow.id, None)
        if node.phase is Phase.WAITING:
            self._move(node, Phase.DONE)  # its own work is done; what failed lies below it
        self.nodes.pop(node.id, None)
        self._whys.pop(node.id, None)

    def _block_takers(self, parent: Node, founder_n: int) -> list[Node]:
        watch = parent.promises.get(founder_n) if parent.promises else None
        blocked = []
        for taker in watch.takers if watch is not None else ():
            taker.vain += 1
            if taker.phase is Phase.HELD:
                self._move(taker, Phase.BLOCKED)
                blocked.append(taker)
        return blocked

    # -- by hand --------------------------------------------------------------------------------------------------

    def _targets_retried(self, record: r.TargetsRetried) -> None:
        for target in record.targets:
            node = self.nodes[target]
            self.failed.pop(target, None)
            node.tries = node.losses = 0
            self._free(node)
            self._make_ready(node, record.at)

    def _free(self, node: Node) -> None:
        """The chain of ``node`` may go on again, and with it all that was stuck because of it."""
        if self.outcome == "failed":
            self.outcome = None
        todo = [node]
        while todo:
            node = todo.pop()
            parent = node.parent
            if parent is None or not node.stuck_flag:
                continue
            node.stuck_flag = False
            parent.stuck -= 1
            if not parent.stuck:
                self._whys.pop(parent.id, None)
            todo.append(parent)
            watch = parent.promises.get(node.founder_n) if parent.promises else None
            for taker in watch.takers if watch is not None else ():
                taker.vain -= 1
                if not taker.vain and taker.phase is Phase.BLOCKED and taker.id in self.nodes:
                    self._move(taker, Phase.HELD)
                    todo.append(taker)

    def _targets_refused(self, record: r.TargetsRefused) -> None:
        for target in record.targets:
            node = self._single(target)
            if node is None or node.phase is not Phase.READY:
                continue
            self._move(node, Phase.FAILED)
            why = {"name": node.form.name, "id": node.id, "cause": record.cause, "message": record.message}
            self.failed[node.id] = why
            self._go_up(node, why, record.at)

    def _subtrees_cancelled(self, record: r.SubtreesCancelled) -> None:
        for target in record.targets:
            node = self._single(target)
            if node is None or node.phase is Phase.CANCELLED:
                continue
            if node.phase is Phase.RUNNING:
                self._end_attempt(*node.attempt)
            self._move(node, Phase.CANCELLED)
            why = {"name": node.form.name, "id": node.id, "cause": "cancelled", "message": "cancelled"}
            self.failed[node.id] = why
            self._go_up(node, why, record.at)

    # -- small things ---------------------------------------------------------------------------------------------

    def _move(self, node: Node, phase: Phase) -> None:
        tally = node.form.tally
        tally[node.phase] -= 1
        tally[phase] += 1
        node.phase = phase

    def _single(self, target: int) -> Node | None:
        """The node of a target that is not done, made out of its run if it is one of many; None if there is no such target."""
        node = self.nodes.get(target)
        if node is None:
            run = self.find_run(target)
            if run is None:
                return None
            self._split(run, target)
            (node,) = self._take(target, 1)
        return node

    def _add_run(self, run: Run) -> None:
        insort(self._run_keys, run.first)
        self._runs[run.first] = run

    def _split(self, run: Run, target: int) -> None:
        """Make ``target`` the first of its run, if need be by cutting the run in two."""
        skip = target - run.first
        if not skip:
            return
        rest = Run(
            run.parent, run.creator, run.form, target, run.first_n + skip, run.count - skip,
            Source(run.record, run.index + skip), run.mean, run.ready_at,
        )  # fmt: skip
        run.count = skip
        self._add_run(rest)
        self.fresh.append(rest)

    def _root_id(self) -> int:
        return self.root.chain if self.root is not None else 0

    def _nothing(self, record: r.Record) -> None:
        """Records about blocks, workers and runs say nothing about targets."""


_FAILED_BELOW: dict[str, Any] = {"name": "", "id": 0, "cause": "exception", "message": "all that was left to do had failed"}

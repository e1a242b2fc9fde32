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

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..ids import FOLLOW_ON, NOBODY, Attempt
from ..protocol.messages import (
    FLAG_FOLLOW_ON,
    FLAG_NAMED,
    FLAG_TEMP,
    ROW_CANCELS,
    ROW_CAUSE,
    ROW_CREATED,
    ROW_EMBEDS,
    ROW_EPOCH,
    ROW_FAILURE,
    ROW_FLAGS,
    ROW_NUMBER,
    ROW_RESULT,
    VALUE_NONE,
    default_temp,
)
from . import records as r
from .nodes import PHASES, Form, Node, Phase, Piece, Run, Slot, Source, spread
from .promises import keep, release, takes_of, watch_of
from .withdrawal import Withdrawal


class Tree(Withdrawal):
    """The state of all targets after the records applied so far."""

    def __init__(self) -> None:
        super().__init__()
        self.about: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.epoch = 0
        self.epochs: list[list[int]] = []  # each epoch, and the number of the record that began it
        self.forgiven = 0  # the last epoch that began with a loss that was accepted
        self.intact = 0  # so many records are what they were before that
        self.next_id = 1
        self.next_number = 1  # of attempts in this epoch
        self.records = 0  # applied so far; the number of the next one
        self.current: dict[tuple[int, int], Node] = {}  # by attempt: what is running
        self.tallies: dict[str, list[int]] = {}  # by name: how many targets stand in each phase
        self.codes: dict[str, Source] = {}  # code pickled by value, by SHA-256
        self._forms: dict[str, Form] = {}
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
            r.BlockNoted: self._nothing,
            r.BlockKnown: self._nothing,
            r.BlockEnded: self._nothing,
            r.WorkerJoined: self._nothing,
            r.WorkerLeft: self._nothing,
            r.RunEnded: self._nothing,
            r.Summary: self._nothing,
            r.SnapshotTaken: self._nothing,
            r.LossAccepted: self._loss_accepted,
            r.DoorClosed: self._door_closed,
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

    def forms(self) -> Iterable[Form]:
        """All forms that were ever met."""
        return self._forms.values()

    def has_form(self, wire: list[Any]) -> bool:
        """Whether targets that are described so were met."""
        return repr(wire) in self._forms

    def knows(self, epoch: int, records: int) -> bool:
        """Whether the master of ``epoch`` can have acknowledged so many records, by all that the journal has."""
        if epoch > self.epoch or (epoch < self.forgiven and records > self.intact):
            return False
        later = next((began for other, began in self.epochs if other > epoch), self.records)
        return records <= later

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
        self.epochs.append([record.epoch, self.records])
        self.options = record.options
        self.keep_going = bool(record.options.get("keep_going"))
        self.next_number = 1

    def _loss_accepted(self, record: r.LossAccepted) -> None:
        self.forgiven = record.epoch
        self.intact = record.records

    def _code_added(self, record: r.CodeAdded) -> None:
        self.codes.setdefault(record.sha, Source(self.records, 0))

    def _targets_created(self, record: r.TargetsCreated) -> None:
        count = len(record.lengths)
        assert record.first >= self.next_id, "an id is given twice"  # what was lost and salvaged has gaps
        self.next_id = record.first + count
        forms = [self.form(form) for form in record.forms]
        mean = sum(record.lengths) // count
        piece = Piece(self.records, record.first, record.first_n, count, forms, record.runs, record.extras, mean)
        if (record.epoch, record.number) == NOBODY:
            if self.root is None:
                self._plant(piece, record.at)
            else:
                self._submitted(self.root, piece, record.at)
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
        self.root = root
        self.nodes[root.id] = root
        if self.about.get("session"):
            self._open_door(root)
            return
        form.tally[Phase.READY] += 1
        self.fresh.append(root)

    def _open_door(self, root: Node) -> None:
        """The root of a session runs nothing: it waits for what clients submit, and for the door to be closed."""
        root.phase = Phase.WAITING
        root.form.tally[Phase.WAITING] += 1
        root.open = self.door = 1
        self.result.kind = VALUE_NONE

    def _submitted(self, root: Node, piece: Piece, at: float) -> None:
        """Children of a session's root are there at once, and somebody waits for each one's result."""
        forms = [form for form, count in zip(piece.runs[::2], piece.runs[1::2], strict=True) for _ in range(count)]
        for index in range(piece.size):
            form = piece.forms[forms[index]]
            n = piece.first_n + index
            node = Node(piece.first + index, root, form, Source(piece.record, index), NOBODY, n, 1)
            watch = watch_of(root, n)
            watch.slot = node.slot = Slot()
            node.slot.uses = 1  # until the client has it
            extra = piece.extras.get(index)
            node.blob = extra[2] if extra else None
            node.mean = piece.mean
            node.ready_at = at
            form.tally[Phase.READY] += 1
            root.open += 1
            self.nodes[node.id] = node
            self.fresh.append(node)
        self.submitted = piece.first_n + piece.size - 1

    def _door_closed(self, record: r.DoorClosed) -> None:
        root = self.root
        if root is None or not self.door:
            return
        self.door = 0
        root.open -= 1
        if not root.open:
            self._go_up(root, None, record.at)

    def form(self, wire: list[Any]) -> Form:
        """The one form of targets that are described so."""
        key = repr(wire)
        form = self._forms.get(key)
        if form is None:
            name, tolerant, requests = wire
            tally = self.tallies.setdefault(name, [0] * PHASES)
            form = self._forms[key] = Form(name, tolerant, requests, tally)
        return form

    def _with_memory(self, form: Form, memory: int) -> Form:
        """The same with another request; the counts of a name are shared by all its forms."""
        return self.form([form.name, form.tolerant, {**form.requests, "memory": memory}])

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
        run = self.runs.find(first)
        assert run is not None, f"target {first} does not wait"
        assert run.first == first, "targets leave a run from its front"
        assert count <= run.count, "a run gives no more than it has"
        parent, form, creator, promises = run.parent, run.form, run.creator, run.parent.promises
        depth = parent.depth + 1
        for offset in range(count):
            node = Node(
                first + offset, parent, form, Source(run.record, run.index + offset), creator, run.first_n + offset, depth
            )
            node.ready_at = run.ready_at
            node.mean = run.mean
            if run.withdrawn:
                node.phase, node.stuck_flag = Phase.CANCELLED, True
            if promises is not None:
                watch = promises.get(node.n)
                if watch is not None:
                    node.slot = watch.slot
            self.nodes[node.id] = node
            yield node
        self.runs.shrink(run, count)

    def _attempts_returned(self, record: r.AttemptsReturned) -> None:
        for epoch, number in record.attempts:
            self._again(self._end_attempt(epoch, number), record.at)

    def _attempts_lost(self, record: r.AttemptsLost) -> None:
        for epoch, number, counts in record.attempts:
            if self.current[epoch, number].created:
                self._never_again(epoch, number)  # the blobs of its creations go, and its worker may have forgotten the rest
            node = self._end_attempt(epoch, number)
            node.losses += counts
            node.begun += counts
            node.littered = True
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
        self._commit(record, range(len(record.rows)))

    def _commit(self, record: r.AttemptsCommitted, places: Iterable[int]) -> None:
        """The rows at ``places`` of a record become part of the tree."""
        dropped: list[int] = []
        for index in places:
            row = record.rows[index]
            node = self.current.pop((row[ROW_EPOCH], row[ROW_NUMBER]))
            flags = row[ROW_FLAGS]
            assert node.created == row[ROW_CREATED] + (flags & FLAG_FOLLOW_ON), f"{node} has lost or gained children"
            if flags & FLAG_TEMP and node.temp is None:
                node.temp = default_temp(node.chain, *node.attempt)
            if node.slot is not None or row[ROW_RESULT].__class__ is list or row[ROW_EMBEDS]:
                self.unneeded += keep(node, row, Source(self.records, index), record.lengths[index])
            if len(row) > ROW_CANCELS:
                dropped += self._named(node, row[ROW_CANCELS])
            if node.pieces is not None:
                if flags & FLAG_NAMED:
                    self.spans[node.id] = [(piece.first_n, piece.first, piece.size) for piece in node.pieces]
                self._realise(node, record.at)
            if node.takes is not None:
                self.unneeded += release(node.takes)
                node.takes = None
            if node.blob is not None:
                self.unneeded.append((node.creator.epoch, node.creator.number, str(node.n)))
            tally = node.form.tally
            tally[Phase.RUNNING] -= 1
            tally[Phase.WAITING] += 1
            node.phase = Phase.WAITING
            if not node.open:
                self._go_up(node, None, record.at)
        for target in dropped:
            top = self.places.get(target) or self._single(target)
            if top is not None and top.parent is not None:
                self.drop(top, record.at)

    def _named(self, node: Node, keys: list[list[int]]) -> Iterator[int]:
        """The ids of children and siblings of ``node``, by the attempt that made them and their n there."""
        parent = node.parent
        for epoch, number, n in keys:
            if (epoch, number) == node.attempt:
                spans = [(piece.first_n, piece.first, piece.size) for piece in node.pieces or ()]
            elif parent is not None and (epoch, number) == parent.attempt:
                spans = self.spans.get(parent.id, [])
            else:
                continue
            for first_n, first, count in spans:
                if first_n <= n < first_n + count and n != FOLLOW_ON and first + n - first_n != node.chain:
                    yield first + n - first_n

    def _attempts_failed(self, record: r.AttemptsFailed) -> None:
        for place, (row, verdict) in enumerate(zip(record.rows, record.verdicts, strict=True)):
            self._never_again(row[ROW_EPOCH], row[ROW_NUMBER])
            node = self._end_attempt(row[ROW_EPOCH], row[ROW_NUMBER])
            node.begun += 1
            if place in record.memory:
                node.form = self._with_memory(node.form, record.memory[place])
                node.grown += 1
            else:
                node.tries += row[ROW_EPOCH] == self.epoch  # an adopted one ran the code as it was before the restart
            node.littered = node.littered or bool(row[ROW_FLAGS] & FLAG_TEMP)
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

    def _never_again(self, epoch: int, number: int) -> None:
        """Nobody may adopt this attempt; that is forgotten with its target, of which nothing can be adopted then."""
        node = self.current[epoch, number]
        if node.over is None:
            node.over = []
        node.over.append((epoch, number))

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
        follow.mean = piece.mean
        form.tally[Phase.HELD] += 1
        extra = piece.extras.get(0)
        if extra:
            follow.blob = extra[2]
            follow.takes = takes_of(node, spread(extra[0])) if extra[0] else None
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
            self.runs.add(run)
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
            child.mean = piece.mean
            child.ready_at = at
            taken = spread(takes) if takes else []
            child.takes = takes_of(node, taken) if taken else None
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
            watch_of(creator, n).takers.append(taker)
        taker.waits = len(waits_for)
        watch = (creator.promises or {}).get(taker.n)
        if watch is not None:
            taker.slot = watch.slot
        if not taker.waits:
            self._move(taker, Phase.READY)
            self.fresh.append(taker)

    # -- by hand --------------------------------------------------------------------------------------------------

    def _targets_retried(self, record: r.TargetsRetried) -> None:
        for target in record.targets:
            node = self._single(target)
            assert node is not None, f"target {target} is not there to be retried"
            if record.memory is not None:
                node.form = self._with_memory(node.form, record.memory)
            if node.phase in (Phase.CANCELLED, Phase.WAITING):
                self.revive(node, record.at)
            if node.phase is not Phase.FAILED:
                continue  # it came back with one above it
            self.failed.pop(target, None)
            node.tries = node.losses = node.grown = 0
            self._free(node)
            self._make_ready(node, record.at)

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
            if node is not None:
                self.withdraw(node, record.at)

    # -- small things ---------------------------------------------------------------------------------------------

    def _single(self, target: int) -> Node | None:
        """The node of a target that is not done, made out of its run if it is one of many; None if there is no such target."""
        node = self.nodes.get(target)
        if node is None:
            run = self.runs.find(target)
            if run is None:
                return None
            rest = self.runs.split(run, target)
            if rest is not None and not rest.withdrawn:
                self.fresh.append(rest)
            (node,) = self._take(target, 1)
        return node

    def forget_news(self) -> None:
        """Nobody acts on what the records so far have led to: they were read, not decided."""
        for news in (self.fresh, self.ended_chains, self.unneeded, self.revoked, self.unqueued, self.answers):
            news.clear()

    def _nothing(self, record: r.Record) -> None:
        """Records about blocks, workers, runs and snapshots say nothing about targets."""

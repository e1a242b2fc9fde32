"""What workers report of their attempts: begun, created, ended, given back; and what becomes of attempts whose worker is gone."""

from __future__ import annotations

from typing import Any

from ..errors import Cause
from ..ids import Attempt
from ..protocol.messages import (
    FLAG_FOLLOW_ON,
    FOLLOW_ON_N,
    ROW_CAUSE,
    ROW_CREATED,
    ROW_EPOCH,
    ROW_FAILURE,
    ROW_FLAGS,
    ROW_MEMORY,
    ROW_MESSAGES,
    ROW_NUMBER,
    ROW_RESULT,
    ROW_SYSTEM,
    ROW_USER,
    ROW_WALL,
    Type,
    failure_row,
)
from . import claims
from . import records as r
from .core import Core
from .effects import EndSession, Fetch, Output, TellFailure
from .nodes import Node, Piece
from .roster import Worker
from .verdicts import Verdicts

#: Workers lost with the same target running after which the target fails.
POISON_AFTER = 4
#: A worker that is lost so near the end of its time in the queue (seconds), or after it, was ended by the batch system.
NEAR_THE_END = 30.0
#: Exceptions that are remembered for the client of a session; of more, nested ones mostly, the oldest have only their words.
MOST_EXCEPTIONS = 10_000
#: The number of the stream that ``Target.log`` writes to.
SAID = 0


class Work:
    """Takes in the messages about attempts."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.verdicts = Verdicts(core)
        self._told: dict[tuple[int, int], float] = {}  # by attempt: up to when what it says has been passed on to people
        self.mismatched: set[Attempt] = set()  # ends whose count of creations did not fit, once

    def received(self, worker: Worker, kind: Type, body: list[Any], data: bytes) -> None:
        """One message of a worker in contact."""
        match kind:
            case Type.DONE:
                self._done(worker, body[0], body[1], data)
            case Type.CHILDREN:
                self._children(worker, body[0], body[1], data)
            case Type.STARTED:
                self._started(worker, body[0])
            case Type.RETURNED:
                if body[1] and not worker.draining:
                    self.core.roster.drain(worker)
                self.given_back(worker, [Attempt(epoch, number) for epoch, number in body[0]])
            case Type.LOG:
                self._log(worker, body[0], data)
            case Type.NEED:
                self._need(worker, body[0])
            case _:
                raise AssertionError(f"{kind.name} is not about attempts")

    # -- creations ------------------------------------------------------------------------------------------------

    def _children(self, worker: Worker, codes: list[list[Any]], pieces: list[list[Any]], data: bytes) -> None:
        place = 0
        for sha, length in codes:
            if sha not in self.core.tree.codes:
                self.core.tell_of_code()
                self.core.emit(r.CodeAdded([length], data[place : place + length], sha))
            place += length
        for piece in pieces:
            size = sum(piece[6])
            content = data if size == len(data) else data[place : place + size]
            place += size
            if not self._piece(worker, piece, content):
                return

    def _piece(self, worker: Worker, piece: list[Any], data: bytes) -> bool:
        """Journal one piece; False if something before it is missing, which ends the session."""
        epoch, number, first_n, forms, runs, extras, lengths = piece
        node = worker.held.get((epoch, number))
        if node is None:
            return True  # fenced: another attempt is the current one
        expected = _next_n(node)
        if first_n == FOLLOW_ON_N:
            if any(known.first_n == FOLLOW_ON_N for known in node.pieces or ()):
                return True
        elif first_n < expected:
            return True
        elif first_n > expected:
            self.core.do(EndSession(worker.peer or 0))
            return False
        wrong = claims.of_piece(self.core.tree, node, piece, expected)
        if wrong:
            self._mismatch(worker, node, wrong)
            return False
        record = r.TargetsCreated(
            lengths, data, self.core.now, epoch, number, self.core.tree.next_id, first_n, forms, runs, extras
        )
        self.core.emit(record)
        return True

    # -- ends -----------------------------------------------------------------------------------------------------

    def _done(self, worker: Worker, rows: list[list[Any]], lengths: list[int], data: bytes) -> None:
        good: list[int] = []
        bad: list[int] = []
        for place, row in enumerate(rows):
            node = worker.held.get((row[ROW_EPOCH], row[ROW_NUMBER]))
            if node is None:
                continue  # fenced
            if node.created != row[ROW_CREATED] + (row[ROW_FLAGS] & FLAG_FOLLOW_ON) and not row[ROW_CAUSE]:
                self._mismatch(worker, node)
                continue
            wrong = claims.of_row(node, row, _next_n(node))
            if wrong:
                self._mismatch(worker, node, wrong)
                continue
            for at, level, text in row[ROW_MESSAGES] or ():
                self._say(node, at, level, text)
            if row[ROW_CAUSE] == Cause.WORKER_LOST:
                # Its runner went down through no fault of its own: it is free, as if the whole worker had.
                failure = row[ROW_FAILURE] or {}
                self.lose(worker, [node], str(failure.get("message", "its runner was lost")))
                continue
            self.drop(worker, node)
            if row[ROW_CAUSE]:
                bad.append(place)
            else:
                good.append(place)
                self.core.scheduler.learn(node.form, row[ROW_WALL], row[ROW_USER] + row[ROW_SYSTEM], row[ROW_MEMORY])
        if good:
            if len(good) == len(rows):
                self.core.emit(r.AttemptsCommitted(lengths, data, self.core.now, worker.number, rows))
            else:
                chosen, chosen_lengths, chosen_data = _choose(good, rows, lengths, data)
                self.core.emit(r.AttemptsCommitted(chosen_lengths, chosen_data, self.core.now, worker.number, chosen))
        # (What has ended well may have cancelled a sibling that has ended badly.)
        bad = [place for place in bad if (rows[place][ROW_EPOCH], rows[place][ROW_NUMBER]) in self.core.tree.current]
        if bad:
            chosen, chosen_lengths, chosen_data = _choose(bad, rows, lengths, data)
            self.fail(worker.number, chosen, chosen_lengths, chosen_data)

    def _mismatch(self, worker: Worker, node: Node, wrong: str = "") -> None:
        """What is said of an attempt does not go with what is on disk: reconcile once; if it stays, the attempt is lost."""
        if wrong:
            self.core.tell("WARNING", f"{worker.name} says of {node.form.name}:{node.id} what can't be: {wrong}")
        if node.attempt in self.mismatched:
            self.lose(worker, [node], wrong or "what it created could not be delivered")
        else:
            self.mismatched.add(node.attempt)
        self.core.do(EndSession(worker.peer or 0))

    def fail(self, worker: int, rows: list[list[Any]], lengths: list[int], data: bytes) -> None:
        """Attempts have ended badly: decide for each whether its target is tried again."""
        verdicts: list[float | None] = []
        memory: dict[int, int] = {}
        told: list[TellFailure] = []
        for place, row in enumerate(rows):
            node = self.core.tree.current[row[ROW_EPOCH], row[ROW_NUMBER]]
            verdict = self.verdicts.of(node, row)
            verdicts.append(verdict.at)
            if verdict.at is not None:
                self.core.retried[node.form.name] += 1
            if verdict.memory is not None:
                memory[place] = verdict.memory
            if self.core.settings.tell_failures:
                left = self.verdicts.allowed(node) - node.tries if verdict.at is not None else 0
                told.append(TellFailure(node.form.name, node.id, row[ROW_FAILURE] or {}, left))
        if self.core.tree.submitted:
            self._keep_exceptions(rows, verdicts)
        self.core.emit(r.AttemptsFailed(lengths, data, self.core.now, worker, rows, verdicts, memory))
        for failure in told:
            self.core.do(failure)

    def _keep_exceptions(self, rows: list[list[Any]], verdicts: list[float | None]) -> None:
        """The client of a session will want to have them; they are in the record that comes next."""
        core = self.core
        for place, row in enumerate(rows):
            result = row[ROW_RESULT]
            if verdicts[place] is None and result is not None:
                target = core.tree.current[row[ROW_EPOCH], row[ROW_NUMBER]].id
                named = [*result, row[ROW_EPOCH], row[ROW_NUMBER]] if result is not True else None
                core.exceptions[target] = named or Fetch(core.tree.records, place, 1)
        while len(core.exceptions) > MOST_EXCEPTIONS:
            del core.exceptions[next(iter(core.exceptions))]

    # -- begun, given back, lost ----------------------------------------------------------------------------------

    def _started(self, worker: Worker, attempts: list[list[Any]]) -> None:
        known = [item for item in attempts if (item[0], item[1]) in worker.held]
        worker.begun.update({(item[0], item[1]): self.core.now for item in known})
        if known:
            self.core.emit(r.AttemptsStarted(known))
            if self.core.tree.submitted:
                nodes = [worker.held[item[0], item[1]] for item in known]
                self.core.begun += [node.n for node in nodes if node.parent is self.core.tree.root]

    def given_back(self, worker: Worker, attempts: list[Attempt]) -> None:
        """A worker does not hold these, and has not begun them: others may have them."""
        known = [attempt for attempt in dict.fromkeys(attempts) if attempt in worker.held]
        for attempt in known:
            self.drop(worker, worker.held[attempt])
        for some in r.batched(known, r.MOST_LISTED):
            self.core.emit(r.AttemptsReturned(self.core.now, [list(attempt) for attempt in some]))

    def lose(self, worker: Worker, nodes: list[Node], reason: str, cause: Cause = Cause.WORKER_LOST) -> None:
        """Attempts went down with their worker; a target that has seen too many workers go down fails."""
        counted = set() if self.core.ending else set(worker.begun) or {node.attempt for node in nodes[: max(1, int(worker.cpus))]}
        if worker.until is not None and self.core.now >= worker.until - NEAR_THE_END:
            cause = Cause.WALLTIME
        free: list[list[int]] = []
        for node in nodes:
            counts = node.attempt in counted
            self.drop(worker, node)
            if counts and node.losses + 1 >= POISON_AFTER:
                text = f"{POISON_AFTER} workers were lost while running it, the last one {worker.name} ({cause.value}): {reason}"
                row = failure_row(node.attempt, "poison", {"message": text, "host": worker.host}, created=node.created)
                self.fail(worker.number, [row], [0], b"")
            else:
                free.append([*node.attempt, int(counts)])
        for some in r.batched(free, r.MOST_LISTED):
            self.core.emit(r.AttemptsLost(self.core.now, worker.number, reason, list(some), cause.value))

    def drop(self, worker: Worker, node: Node) -> None:
        """``worker`` does not hold the attempt of ``node`` any more."""
        self._told.pop(node.attempt, None)
        self.core.drop(worker, node)

    # -- the rest -------------------------------------------------------------------------------------------------

    def _log(self, worker: Worker, chunks: list[list[Any]], data: bytes) -> None:
        place = 0
        for epoch, number, stream, offset, length, at in chunks:
            node = worker.held.get((epoch, number))
            content = data[place : place + length]
            place += length
            if node is not None:
                name = node.form.name
                self.core.do(Output(node.id, name, node.begun + 1, epoch, number, stream, offset, at, content))
                if stream == SAID:
                    level, _, text = content.decode(errors="replace").rstrip("\n").partition(" ")
                    self._say(node, at, level, text)

    def _say(self, node: Node, at: float, level: str, text: str) -> None:
        """Pass on a line of ``Target.log``, which comes live and with the attempt's end, and may have been heard already."""
        if at > self._told.get(node.attempt, 0.0):
            self._told[node.attempt] = at
            self.core.tell(level, f"{node.form.name}:{node.id}: {text}")

    def _need(self, worker: Worker, names: list[str]) -> None:
        known = [sha for sha in dict.fromkeys(names) if sha in self.core.tree.codes]
        fetches = [Fetch(*self.core.tree.codes[sha], 1) for sha in known]
        if known and worker.peer is not None:
            self.core.send(worker.peer, Type.BLOB, [known], fetches)


def _next_n(node: Node) -> int:
    """The ``n`` of the next child of the attempt that ``node`` is running."""
    piece: Piece
    for piece in reversed(node.pieces or ()):
        if piece.first_n != FOLLOW_ON_N:
            return piece.first_n + piece.size
    return 1


def _choose(
    places: list[int], rows: list[list[Any]], lengths: list[int], data: bytes
) -> tuple[list[list[Any]], list[int], bytes]:
    """Some of the rows, with their payloads."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    content = b"".join(data[starts[place] : starts[place + 1]] for place in places)
    return [rows[place] for place in places], [lengths[place] for place in places], content

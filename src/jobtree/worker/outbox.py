"""What a worker has to tell the master: gathered over a turn into as few messages as may be, and kept until it is on disk.

Creations go before the ends that count them, code before whatever needs it. Nothing survives a session here: what the master has
got is in its WELCOME, and the rest is put in again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ..ids import Attempt
from ..protocol.codec import packed_size
from ..protocol.messages import DATA_LIMIT, ROW_EMBEDS, ROW_FAILURE, ROW_MESSAGES, Type
from .events import Printed
from .held import Held, Holdings, PieceKept

#: Output that may be on its way to the master, and that is kept back beyond that (bytes).
LOG_WINDOW = 4 << 20
LOG_KEPT = 4 << 20
#: Pieces or ends in one message, at most.
GATHER_LIMIT = 500
#: What a row without promises, messages and a failure has beside its payload, at most (bytes).
PLAIN_ROW = 200

Transmitter = Callable[[Type, list[Any], bytes], int]


class Outbox:
    """``transmit`` sends a message and gives its number in the session."""

    def __init__(self, holdings: Holdings, transmit: Transmitter) -> None:
        self._holdings = holdings
        self._transmit = transmit
        self._pieces: list[tuple[Held, PieceKept]] = []
        self._ended: list[Held] = []
        self._started: list[list[Any]] = []
        self._returned: list[list[int]] = []
        self._codes: dict[str, bytes] = {}  # found by runners here, and not known to be on the master's disk
        self._codes_unsent: list[str] = []
        self._codes_sent: deque[tuple[int, str]] = deque()
        self._log: deque[tuple[list[Any], bytes]] = deque()
        self._log_size = 0
        self._log_sent: deque[tuple[int, int]] = deque()
        self._log_flying = 0
        self._drain_told = False

    def begin_session(self, adopted: list[Held]) -> None:
        """A new session: all that the master has not got of what it wants, and nothing that was put in before."""
        self._pieces = [(held, piece) for held in adopted for piece in held.pieces]
        self._ended = [held for held in adopted if held.row is not None]
        self._started = [[*held.attempt, held.begun] for held in adopted if held.begun is not None and held.row is None]
        self._returned = []
        self._codes_unsent = list(self._codes)
        self._drain_told = False

    def end_session(self) -> None:
        """Nothing that was sent will be acknowledged any more."""
        self._holdings.session_over()
        self._codes_sent.clear()
        self._log_sent.clear()
        self._log_flying = 0

    def piece(self, held: Held, piece: PieceKept) -> None:
        """An attempt has created targets."""
        self._pieces.append((held, piece))

    def ended(self, held: Held) -> None:
        """An attempt has ended."""
        self._ended.append(held)

    def started(self, attempt: Attempt, at: float) -> None:
        """An attempt has begun."""
        self._started.append([*attempt, at])

    def returned(self, attempt: Attempt) -> None:
        """An attempt was not begun and will not be."""
        self._returned.append(list(attempt))

    def code(self, sha: str, data: bytes) -> None:
        """A runner has pickled code by value; what comes next may need it."""
        self._codes[sha] = data
        self._codes_unsent.append(sha)

    def printed(self, event: Printed) -> None:
        """An attempt has printed something; the oldest output is dropped where too much waits."""
        chunk = [*event.attempt, event.stream, event.offset, len(event.data), event.at]
        self._log.append((chunk, event.data))
        self._log_size += len(event.data)
        while self._log_size > LOG_KEPT:
            _, dropped = self._log.popleft()
            self._log_size -= len(dropped)

    def flush(self, *, leaving: bool) -> None:
        """Send it all; ``leaving`` says that nothing new is begun here."""
        live = [item for item in self._started if self._is_running(Attempt(item[0], item[1]))]
        if live:
            self._transmit(Type.STARTED, [live], b"")
        self._flush_log()
        self._flush_codes()
        self._flush_pieces()
        held_back = self._with_output_waiting()
        self._flush_ended()
        if self._returned or (leaving and not self._drain_told):
            self._drain_told = leaving
            self._transmit(Type.RETURNED, [self._returned, leaving], b"")
        self._started, self._pieces, self._ended, self._returned = [], [], held_back, []

    def acknowledged(self, number: int) -> list[Held]:
        """Messages up to ``number`` are on the master's disk; returns the throttled attempts that have room again."""
        while self._log_sent and self._log_sent[0][0] <= number:
            self._log_flying -= self._log_sent.popleft()[1]
        while self._codes_sent and self._codes_sent[0][0] <= number:
            self._codes.pop(self._codes_sent.popleft()[1], None)
        return self._holdings.acknowledged(number)

    def _with_output_waiting(self) -> list[Held]:
        """Hold back the ends of attempts whose output has not all gone: what comes behind an end, the master drops."""
        if not self._log:
            return []
        waiting = {(chunk[0], chunk[1]) for chunk, _ in self._log}
        held_back = [held for held in self._ended if held.attempt in waiting]
        self._ended = [held for held in self._ended if held.attempt not in waiting]
        return held_back

    def _is_running(self, attempt: Attempt) -> bool:
        held = self._holdings.get(attempt)
        return held is not None and held.row is None

    def _flush_log(self) -> None:
        """Output goes out as far as the master keeps up."""
        while self._log and self._log_flying < LOG_WINDOW:
            chunks: list[list[Any]] = []
            parts: list[bytes] = []
            size = 0
            while self._log and size < DATA_LIMIT:
                chunk, data = self._log.popleft()
                chunks.append(chunk)
                parts.append(data)
                size += len(data)
            self._log_size -= size
            self._log_flying += size
            self._log_sent.append((self._transmit(Type.LOG, [chunks], b"".join(parts)), size))

    def _flush_codes(self) -> None:
        unsent, self._codes_unsent = self._codes_unsent, []
        for sha in unsent:
            code = self._codes[sha]
            number = self._transmit(Type.CHILDREN, [[[sha, len(code)]], []], code)
            self._codes_sent.append((number, sha))

    def _flush_pieces(self) -> None:
        batch: list[tuple[Held, PieceKept]] = []
        size = 0
        for held, piece in self._pieces:
            more = len(piece.data) + packed_size(piece.piece)
            if batch and (size + more > DATA_LIMIT or len(batch) >= GATHER_LIMIT):
                self._send_pieces(batch)
                batch, size = [], 0
            batch.append((held, piece))
            size += more
        if batch:
            self._send_pieces(batch)

    def _send_pieces(self, batch: list[tuple[Held, PieceKept]]) -> None:
        body = [[], [piece.piece for _, piece in batch]]
        number = self._transmit(Type.CHILDREN, body, b"".join([piece.data for _, piece in batch]))
        self._holdings.sent(number, [], [(held, piece.size) for held, piece in batch])

    def _flush_ended(self) -> None:
        batch: list[Held] = []
        size = 0
        for held in self._ended:
            assert held.row is not None, f"{held.attempt} has no end to be told"
            more = len(held.data) + _size_of_row(held.row)
            if batch and (size + more > DATA_LIMIT or len(batch) >= GATHER_LIMIT):
                self._send_ended(batch)
                batch, size = [], 0
            batch.append(held)
            size += more
        if batch:
            self._send_ended(batch)

    def _send_ended(self, batch: list[Held]) -> None:
        body = [[held.row for held in batch], [len(held.data) for held in batch]]
        number = self._transmit(Type.DONE, body, b"".join([held.data for held in batch]))
        self._holdings.sent(number, batch, [])


def _size_of_row(row: list[Any]) -> int:
    """The master puts what one message brings into one frame of the journal, so it counts; most rows need no look."""
    return packed_size(row) if row[ROW_EMBEDS] or row[ROW_MESSAGES] or row[ROW_FAILURE] else PLAIN_ROW

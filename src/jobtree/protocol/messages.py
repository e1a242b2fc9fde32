"""Every message that crosses the wire: its type, who may send it, and the shape of its body.

A message is two frames at most: an envelope (a msgpack array, see ``codec``) and, where the type carries payloads, one frame of
raw bytes that nobody on the way looks into. Bodies are plain lists, because the hot ones (RUN, CHILDREN, DONE) travel on into the
journal or the runner as they are.

Shapes used by several types:

*form*, what is the same for many targets
    ``[name, tolerant, requests]``: a string; ``allow_failure`` as True, False or None (not given); a map of the requests given.
*ranges* of promises, each an ``n`` of the creating attempt
    ``[n, count, n, count, ...]``.
*blob*, a payload over 64 KiB, which lies in TREE/blobs
    ``[size in bytes, SHA-256 in hex]``.
*piece*, targets that one attempt created, with consecutive ``n``
    ``[epoch, number, first_n, forms, runs, extras, lengths]``; ``runs`` is ``[form index, count, ...]``; ``extras`` maps an
    index in the piece to ``[takes, after, blob or None]``, the first two being ranges; ``lengths`` are the payloads' sizes.
*row*, the end of an attempt
    a list with the ``ROW_*`` fields below.
*group*, targets to run that differ in their payloads only
    ``[first_number, first_target, count, form index, ordinal, temp, extra]``; attempt numbers and target ids count up from the
    first ones; ``temp`` is the chain's global temp dir below TREE/tmp, or None for the one that ``default_temp`` gives; ``extra``
    is None, or, in a group of one, ``[blob and who wrote it (size, sha256, epoch, number, n) or None, values]``.
*value*, a kept promise
    ``[epoch, number, n, kind, argument]``: the promise's key; a ``VALUE_*`` kind; the blob and the attempt that wrote it
    (``[size, sha256, epoch, number]``) or the words of a failure (a map: name, id, cause, message).

The body of RUN is ``[forms, groups, lengths]``; its forms are ``[name, cpus, memory bytes, gpus, time limit or None, isolate]``,
and ``lengths`` are those of all payloads in the data frame: for each group those of its targets, then those of its inline
values. That of BLOB is ``[names, lengths]``. The master's journal fills in both ``lengths``, which nobody else in it knows.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Any, Final

#: Raised with every change that an older peer would misread.
PROTOCOL: Final = 1

#: Payloads over this many bytes are written to TREE/blobs by the process that made them.
INLINE_LIMIT: Final = 64 * 1024

#: A message's data frame stays below this many bytes, but for a single target with many values; libzmq's limit is a backstop.
DATA_LIMIT: Final = 512 * 1024
MESSAGE_LIMIT: Final = 64 * 1024 * 1024

#: What a worker says in one message: its envelope, and all of a message that is journaled, which has to fit into one frame there.
ENVELOPE_LIMIT: Final = 2 * 1024 * 1024
JOURNALED_LIMIT: Final = 1024 * 1024 - 512


@unique
class Type(IntEnum):
    """The types of messages."""

    # worker -> master
    HELLO = 1
    STARTED = 2
    CHILDREN = 3
    DONE = 4
    LOG = 5
    BEAT = 6  # both ways
    RETURNED = 7
    NEED = 8
    BYE = 9
    STACKED = 10
    # master -> worker
    WELCOME = 20
    REJECT = 21
    BUSY = 22
    NOSESSION = 23
    RUN = 24
    BLOB = 25
    ACK = 26
    CANCEL = 27
    RECALL = 28
    STOP = 31
    STACK = 32
    # between a client and the master
    REQUEST = 40
    REPLY = 41
    SUBMIT = 42
    RESULT = 43
    EVENT = 44


@unique
class Role(IntEnum):
    """Whose key a peer holds."""

    MASTER = 0
    WORKER = 1
    CLIENT = 2


MAY_SEND: Final[dict[Role, frozenset[Type]]] = {
    Role.WORKER: frozenset(
        {Type.HELLO, Type.STARTED, Type.CHILDREN, Type.DONE, Type.LOG, Type.BEAT, Type.RETURNED, Type.NEED, Type.BYE,
         Type.STACKED}
    ),
    Role.CLIENT: frozenset({Type.REQUEST, Type.SUBMIT}),
    Role.MASTER: frozenset(
        {
            Type.WELCOME, Type.REJECT, Type.BUSY, Type.NOSESSION, Type.BEAT, Type.RUN, Type.BLOB, Type.ACK, Type.CANCEL,
            Type.RECALL, Type.STOP, Type.STACK, Type.REPLY, Type.RESULT, Type.EVENT,
        }
    ),
}  # fmt: skip

# The end of an attempt, as the runner writes it, the wire carries it and the journal keeps it.
ROW_EPOCH: Final = 0
ROW_NUMBER: Final = 1
ROW_CAUSE: Final = 2  # "" for success, else a cause of death
ROW_CREATED: Final = 3  # children created, the follow-on not counted
ROW_FLAGS: Final = 4  # FLAG_*
ROW_RESULT: Final = 5  # None | True (inline payload) | [n] (the promise of that target) | blob
ROW_EMBEDS: Final = 6  # None | ranges of the promises inside the result's payload
ROW_STARTED: Final = 7  # unix seconds
ROW_WALL: Final = 8  # seconds
ROW_USER: Final = 9  # cpu seconds, subprocesses included
ROW_SYSTEM: Final = 10  # cpu seconds, subprocesses included
ROW_MEMORY: Final = 11  # bytes, peak resident
ROW_MESSAGES: Final = 12  # None | [[unix seconds, level, text], ...] of Target.log
ROW_FAILURE: Final = 13  # None | map: message, host, exit, output, type, where
ROW_FIELDS: Final = 14
ROW_CANCELS: Final = 14  # may be left out: [[epoch, number, n], ...], the children and siblings that it has cancelled

#: ``first_n`` of a piece that is a follow-on.
FOLLOW_ON_N: Final = 0

FLAG_FOLLOW_ON: Final = 1  # the attempt has set a follow-on
FLAG_TEMP: Final = 2  # it has asked for the global temp dir
FLAG_HIGH_WATER: Final = 4  # ROW_MEMORY is the runner's high-water mark, not this attempt's own
FLAG_NAMED: Final = 8  # it has made handles of its children, by which others may cancel them

VALUE_NONE: Final = 0
VALUE_INLINE: Final = 1
VALUE_BLOB: Final = 2
VALUE_FAILURE: Final = 3
VALUE_CANCELLED: Final = 4


def default_temp(target: int, epoch: int, number: int) -> str:
    """Where the global temp dir of a chain lies below TREE/tmp, if the founder's attempt (epoch, number) is the first to ask."""
    return f"{target & 0xFF:02x}/{target}-{epoch}.{number}"


# What WELCOME says of an attempt that the worker holds.
VERDICT_ADOPT: Final = 0  # go on; it is the current one
VERDICT_CANCEL: Final = 1  # stop it and forget it

# What a worker says of an attempt in HELLO.
HELD_WAITING: Final = 0  # not begun
HELD_RUNNING: Final = 1
HELD_ENDED: Final = 2  # its row will be sent again


def failure_row(
    attempt: tuple[int, int], cause: str, failure: dict[str, Any], *, created: int = 0, started: float = 0.0, wall: float = 0.0
) -> list[Any]:
    """The end of an attempt that its runner could not report itself."""
    return [*attempt, cause, created, 0, None, None, started, wall, 0.0, 0.0, 0, None, failure]

"""Envelopes to bytes and back, checked and limited: nothing that a peer sends is believed before it has passed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from ..errors import Cause, ProtocolError
from .messages import ENVELOPE_LIMIT, JOURNALED_LIMIT, MAY_SEND, MESSAGE_LIMIT, PROTOCOL, ROW_FIELDS, Role, Type

_ENVELOPE_FIELDS = 6
_CONTAINERS = bytes(range(0x80, 0xA0))  # how msgpack's short lists and maps begin
_CONTAINERS_MOST = 300_000
_WORDS_MOST = 4096
_CAUSES = frozenset(cause.value for cause in Cause)
_JOURNALED = frozenset({Type.SUBMIT, Type.CHILDREN, Type.DONE, Type.STARTED, Type.RETURNED})
_FLOAT = (int, float)
#: No time, and no duration, is as many seconds: what says so would be no date.
_LONGEST = 2.0**37
_LARGEST = 2**62
#: What the journal adds to an attempt's end that is bad: when it is tried again, and with how much memory.
_VERDICT_BYTES = 48
_SCALARS = (str, int, float, bytes, type(None))
#: Environments, arguments and paths may hold bytes that are no UTF-8: what Python makes of them goes there and back.
_TEXT_ERRORS = "surrogateescape"


@dataclass(slots=True)
class Message:
    """One message: its type, the sender's epoch, session and number, its body and its data frame."""

    type: Type
    epoch: int
    session: int
    number: int
    body: list[Any]
    data: bytes = b""


def encode(message: Message) -> list[bytes]:
    """The frames of ``message``: the envelope, and the data where there is some."""
    envelope = msgpack.packb(
        (PROTOCOL, int(message.type), message.epoch, message.session, message.number, message.body), unicode_errors=_TEXT_ERRORS
    )
    return [envelope, message.data] if message.data else [envelope]


def packed_size(value: Any) -> int:
    """Bytes that a part of a body takes in an envelope."""
    return len(msgpack.packb(value, unicode_errors=_TEXT_ERRORS))


def decode(frames: list[bytes], sender: Role) -> Message:
    """The message in ``frames``; ProtocolError, in words, for anything that ``sender`` may not send."""
    if not 1 <= len(frames) <= 2:
        raise ProtocolError("", f"a message has one or two frames, this one has {len(frames)}")
    envelope = _unpack(frames[0], sender)
    if not isinstance(envelope, list) or len(envelope) != _ENVELOPE_FIELDS:
        raise ProtocolError("", "the envelope is not an array of six")
    protocol, kind, epoch, session, number, body = envelope
    if protocol != PROTOCOL:
        raise ProtocolError("", f"the peer speaks protocol {protocol!r}, this side {PROTOCOL}")
    for value in (kind, epoch, session, number):
        if type(value) is not int or value < 0:
            raise ProtocolError("", "type, epoch, session and number must be whole numbers")
    try:
        known = Type(kind)
    except ValueError:
        raise ProtocolError("", f"message type {kind} is unknown") from None
    if known not in MAY_SEND[sender]:
        raise ProtocolError("", f"a {sender.name.lower()} may not send {known.name}")
    if not isinstance(body, list):
        raise ProtocolError("", f"the body of {known.name} is not an array")
    data = frames[1] if len(frames) == 2 else b""
    if known in _JOURNALED and (size := len(frames[0]) + len(data)) > JOURNALED_LIMIT:
        raise ProtocolError("", f"{known.name} has {size} bytes, and may have {JOURNALED_LIMIT}")
    check = _CHECKS.get(known)
    if check is not None:
        check(body, data)
    if known in _JOURNALED and size > JOURNALED_LIMIT // 3 and (size := _journaled_size(body, data)) > JOURNALED_LIMIT:
        raise ProtocolError("", f"{known.name} would have {size} bytes in the journal, and may have {JOURNALED_LIMIT}")
    return Message(known, epoch, session, number, body, data)


def _unpack(frame: bytes, sender: Role) -> Any:
    most = MESSAGE_LIMIT if sender is Role.MASTER else ENVELOPE_LIMIT
    if len(frame) > most:
        raise ProtocolError("", f"an envelope of {len(frame)} bytes is over the limit of {most}")
    if len(frame) > _CONTAINERS_MOST and sender is not Role.MASTER:
        # An empty list takes 1 byte here and 64 in memory. What is counted may stand in texts or numbers as well.
        containers = len(frame) - len(frame.translate(None, _CONTAINERS))
        if containers > _CONTAINERS_MOST:
            raise ProtocolError("", "the envelope may have too many lists and maps")
    # Every element of an array takes a byte at least, but a nested empty one costs 56 in memory: a bound on
    # the arrays' lengths bounds what a small frame can blow up to.
    limit = min(len(frame), 1 << 20)
    try:
        return msgpack.unpackb(
            frame, raw=False, strict_map_key=False, max_array_len=limit, max_map_len=limit, max_ext_len=0,
            max_str_len=len(frame), max_bin_len=len(frame), unicode_errors=_TEXT_ERRORS,
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError("", f"the envelope is not msgpack: {error}") from None


def _journaled_size(body: list[Any], data: bytes) -> int:
    """Bytes that it may take there at the most: what came packed tightly (short floats, say) is packed as we do it."""
    return packed_size(body) + len(data) + _VERDICT_BYTES * len(body[0])


def _fail(kind: Type, what: str) -> None:
    raise ProtocolError("", f"{kind.name}: {what}")


def _is_time(value: object) -> bool:
    """Whether it is a number of seconds, and not too many (what is no number at all is in no range)."""
    return isinstance(value, _FLOAT) and -_LONGEST < value < _LONGEST


def _naturals(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _attempts(kind: Type, body: list[Any], fields: int = 1, width: int = 2) -> None:
    """``[[[epoch, number, ...], ...], ...]``"""
    if len(body) != fields or not isinstance(body[0], list):
        _fail(kind, "the body must begin with one array of attempts")
    for item in body[0]:
        if not isinstance(item, list) or len(item) != width or not _naturals(item[:2]):
            _fail(kind, f"an attempt is two whole numbers{', and a time' if width > 2 else ''}")


def _children(body: list[Any], data: bytes) -> None:
    kind = Type.CHILDREN
    if len(body) != 2 or not isinstance(body[0], list) or not isinstance(body[1], list):
        _fail(kind, "the body must be code blobs and pieces")
    total = 0
    for code in body[0]:
        if not (isinstance(code, list) and len(code) == 2 and isinstance(code[0], str) and _naturals(code[1:])):
            _fail(kind, "a code blob is its SHA-256 and its length")
        total += code[1]
    for piece in body[1]:
        total += _check_piece(piece)
    if total != len(data):
        _fail(kind, f"{len(data)} bytes of payload where {total} are named")


def _check_piece(piece: Any) -> int:
    kind = Type.CHILDREN
    if not isinstance(piece, list) or len(piece) != 7 or not _naturals(piece[:3]):
        _fail(kind, "a piece is an array of seven that begins with three whole numbers")
    _, _, first_n, forms, runs, extras, lengths = piece
    if not _naturals(lengths) or not lengths or not _naturals(runs) or len(runs) % 2:
        _fail(kind, "runs and lengths must be whole numbers, in pairs and at least one")
    if first_n == 0 and len(lengths) != 1:
        _fail(kind, "a target has one follow-on")
    if not isinstance(forms, list) or not all(check_form(form) for form in forms):
        _fail(kind, "a form is a name, a tolerance and a map of requests")
    if sum(runs[1::2]) != len(lengths) or any(index >= len(forms) for index in runs[::2]):
        _fail(kind, "the runs do not cover the piece")
    if not isinstance(extras, dict) or not all(_check_extra(i, e, len(lengths)) for i, e in extras.items()):
        _fail(kind, "an extra is an index, two lists of ranges and a blob")
    return sum(lengths)


def check_form(form: Any) -> bool:
    """Whether ``form`` has the shape of one."""
    return (
        isinstance(form, list)
        and len(form) == 3
        and isinstance(form[0], str)
        and form[1] in (None, True, False)
        and isinstance(form[2], dict)
        and all(isinstance(key, str) for key in form[2])
    )


def _check_extra(index: Any, extra: Any, count: int) -> bool:
    return (
        type(index) is int
        and 0 <= index < count
        and isinstance(extra, list)
        and len(extra) == 3
        and _ranges(extra[0])
        and _ranges(extra[1])
        and (extra[2] is None or _blob(extra[2]))
    )


def _ranges(ranges: Any) -> bool:
    return _naturals(ranges) and len(ranges) % 2 == 0


def _blob(blob: Any) -> bool:
    return isinstance(blob, list) and len(blob) == 2 and _naturals(blob[:1]) and isinstance(blob[1], str)


def _done(body: list[Any], data: bytes) -> None:
    kind = Type.DONE
    if len(body) != 2 or not isinstance(body[0], list) or not _naturals(body[1]) or len(body[0]) != len(body[1]):
        _fail(kind, "the body must be rows and their lengths")
    for row in body[0]:
        if not check_row(row):
            _fail(kind, "a row has the wrong shape")
    if sum(body[1]) != len(data):
        _fail(kind, f"{len(data)} bytes of payload where {sum(body[1])} are named")


def check_row(row: Any) -> bool:
    """Whether ``row`` has the shape of an attempt's end."""
    if type(row) is not list or len(row) not in (ROW_FIELDS, ROW_FIELDS + 1):
        return False
    epoch, number, cause, created, flags, result, embeds, started, wall, user, system, memory, messages, failure, *more = row
    return (
        type(epoch) is type(number) is type(created) is type(flags) is int
        and created >= 0
        and type(cause) is str
        and (result is None or result is True or (type(result) is list and (_blob(result) or _is_name(result))))
        and (embeds is None or _ranges(embeds))
        and _is_time(started)
        and _is_time(wall)
        and _is_time(user)
        and _is_time(system)
        and isinstance(memory, _FLOAT)
        and 0 <= memory < _LARGEST
        and (messages is None or (type(messages) is list and all(map(_is_said, messages))))
        and (failure is None or (cause in _CAUSES and _is_failure(failure)))
        and (not cause) == (failure is None)
        and all(map(_check_cancels, more))
    )


def _is_name(result: list[Any]) -> bool:
    """The number of a target that the attempt has created."""
    return len(result) == 1 and _naturals(result)


def _is_said(said: Any) -> bool:
    """Unix seconds, level and text of a message of ``Target.log``."""
    return type(said) is list and len(said) == 3 and _is_time(said[0]) and type(said[1]) is str and type(said[2]) is str


def _is_failure(failure: Any) -> bool:
    if type(failure) is not dict or not all(type(key) is str for key in failure):
        return False
    flat = all(isinstance(value, _SCALARS) for key, value in failure.items() if key != "types")
    types = failure.get("types", [])
    return flat and isinstance(types, list) and all(isinstance(name, str) for name in types)


def _check_cancels(cancels: Any) -> bool:
    return type(cancels) is list and all(isinstance(key, list) and len(key) == 3 and _naturals(key) for key in cancels)


def _hello(body: list[Any], data: bytes) -> None:
    if len(body) != 1 or not isinstance(body[0], dict):
        _fail(Type.HELLO, "the body must be one map")
    hello = body[0]
    for key, kinds in HELLO_FIELDS.items():
        if not isinstance(hello.get(key), kinds):
            _fail(Type.HELLO, f"{key} is missing or of the wrong type")
    if any(len(value) > _WORDS_MOST for value in hello.values() if isinstance(value, str)):
        _fail(Type.HELLO, f"its words may have {_WORDS_MOST} characters")
    if not all(0 <= hello[key] < 2**62 for key in ("index", "pid", "cpus", "memory", "gpus")):
        _fail(Type.HELLO, "what a worker has is not below zero, and not without end")
    if not _is_time(hello["left"]):
        _fail(Type.HELLO, "left is a number of seconds")
    if not _naturals(hello["seen"]) or len(hello["seen"]) != 2:
        _fail(Type.HELLO, "seen is two whole numbers")
    for held in hello["held"]:
        if not isinstance(held, list) or len(held) != 5 or not _naturals(held):
            _fail(Type.HELLO, "an attempt held is five whole numbers")
        if not all(held[:3]):
            _fail(Type.HELLO, "epochs, attempts and targets are counted from 1")


#: What HELLO must say, with the types of the values.
HELLO_FIELDS: dict[str, type | tuple[type, ...]] = {
    "version": str,  # jobtree's
    "python": str,  # major.minor
    "run": str,  # the run's id, from the connection file
    "uid": str,  # the worker's own name, unique for ever
    "block": str,  # the name of the block that brought it, "" for one started by hand
    "index": int,  # its place in the block
    "host": str,
    "pid": int,
    "cpus": (int, float),
    "memory": int,  # bytes
    "gpus": (int, float),
    "left": (int, float),  # seconds until the batch system ends it; 0 if nobody does
    "seen": list,  # [epoch, sequence] of the highest acknowledgement
    "held": list,  # [[epoch, number, target, created so far (follow-on counted), HELD_*], ...]
}


def _log(body: list[Any], data: bytes) -> None:
    kind = Type.LOG
    if len(body) != 1 or not isinstance(body[0], list):
        _fail(kind, "the body must be one array of chunks")
    total = 0
    for chunk in body[0]:
        # epoch, number, stream (0 log, 1 stdout, 2 stderr), byte offset in the stream, length, unix seconds
        if not isinstance(chunk, list) or len(chunk) != 6 or not _naturals(chunk[:5]) or not _is_time(chunk[5]):
            _fail(kind, "a chunk is five whole numbers and a time")
        if chunk[2] > 2 or chunk[3] >= _LARGEST:
            _fail(kind, "there are three streams, and none is as long")
        total += chunk[4]
    if total != len(data):
        _fail(kind, f"{len(data)} bytes of output where {total} are named")


def _started(body: list[Any], data: bytes) -> None:
    _attempts(Type.STARTED, body, width=3)
    if not all(_is_time(item[2]) for item in body[0]):
        _fail(Type.STARTED, "a started attempt is its identity and a time")


def _returned(body: list[Any], data: bytes) -> None:
    """The attempts, and whether the worker drains: it begins nothing any more."""
    _attempts(Type.RETURNED, body, fields=2)
    if not isinstance(body[1], bool):
        _fail(Type.RETURNED, "a worker drains, or it does not")


def _need(body: list[Any], data: bytes) -> None:
    if len(body) != 1 or not isinstance(body[0], list) or not all(isinstance(sha, str) for sha in body[0]):
        _fail(Type.NEED, "the body must be one array of SHA-256 names")


def _beat(body: list[Any], data: bytes) -> None:
    if len(body) != 1 or not _naturals(body):
        _fail(Type.BEAT, "the body must be the number of messages taken so far")


def _bye(body: list[Any], data: bytes) -> None:
    if len(body) != 1 or not isinstance(body[0], str):
        _fail(Type.BYE, "the body must be a reason")


def _stacked(body: list[Any], data: bytes) -> None:
    if len(body) != 3 or not _naturals(body[:2]) or not isinstance(body[2], str):
        _fail(Type.STACKED, "the body must be an attempt and a text")


def _request(body: list[Any], data: bytes) -> None:
    if len(body) != 2 or not isinstance(body[0], str) or not isinstance(body[1], dict):
        _fail(Type.REQUEST, "the body must be a verb and a map")


def _reply(body: list[Any], data: bytes) -> None:
    if len(body) != 2 or not _naturals(body[:1]) or not isinstance(body[1], dict):
        _fail(Type.REPLY, "the body must be a request's number and a map")


def _result(body: list[Any], data: bytes) -> None:
    if len(body) != 2 or not isinstance(body[0], list) or not _naturals(body[1]) or sum(body[1]) != len(data):
        _fail(Type.RESULT, "the body must be results and the lengths of their bytes")


def _event(body: list[Any], data: bytes) -> None:
    if len(body) != 2 or not isinstance(body[0], str) or not isinstance(body[1], list):
        _fail(Type.EVENT, "the body must be a word and a list")


_CHECKS = {
    Type.STACKED: _stacked,
    Type.REQUEST: _request,
    Type.SUBMIT: _children,
    Type.RESULT: _result,
    Type.EVENT: _event,
    Type.REPLY: _reply,
    Type.HELLO: _hello,
    Type.STARTED: _started,
    Type.CHILDREN: _children,
    Type.DONE: _done,
    Type.LOG: _log,
    Type.RETURNED: _returned,
    Type.NEED: _need,
    Type.BEAT: _beat,
    Type.BYE: _bye,
}

"""What both decoders are fed with: anything at all; they refuse in their own words, or what they give back is sound."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgpack

from jobtree.errors import ProtocolError
from jobtree.master.journal import frames
from jobtree.master.journal.frames import BadFrame, Incomprehensible
from jobtree.protocol.codec import decode, encode
from jobtree.protocol.messages import MAY_SEND, PROTOCOL, Role

SEED = frames.seed_of(bytes(16), 1)
KINDS = sorted(kind for kinds in MAY_SEND.values() for kind in kinds)


def envelopes(data: bytes) -> None:
    """A message of anybody: as it came, and as the body of each known type."""
    for sender in Role:
        _message([data], sender)
        _message([data[: len(data) // 2], data[len(data) // 2 :]], sender)
    try:
        body = msgpack.unpackb(data[1:], strict_map_key=False, max_ext_len=0)
        frame = msgpack.packb([PROTOCOL, KINDS[data[0] % len(KINDS)], 1, 1, 1, body])
    except (ValueError, TypeError, IndexError, OverflowError, RecursionError, msgpack.UnpackException):
        return
    for sender in Role:
        _message([frame], sender)


def _message(found: list[bytes], sender: Role) -> None:
    try:
        message = decode(found, sender)
    except ProtocolError:
        return
    assert message.type in MAY_SEND[sender]
    assert encode(message)


def journal(data: bytes) -> None:
    """Bytes where a frame should be, and the payload of a frame whose checksum is right."""
    try:
        header = frames.parse(data, 0, SEED)
        assert header.length + frames.HEADER_BYTES <= len(data)
    except BadFrame:
        pass
    frames.search(data, SEED, 0)
    for read in (frames.decode_records, frames.decode_segment):
        _payload(read, data)


def _payload(read: Callable[[bytes], object], data: bytes) -> None:
    try:
        read(data)
    except Incomprehensible:
        pass


def fuzz() -> None:
    """Run under atheris: `python -m tests.fuzz.decoders -max_total_time=60`."""
    import atheris

    def one(data: bytes) -> None:
        envelopes(data)
        journal(data)

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz()

"""The decoders under fire: by Hypothesis always, by a fuzzer that follows their branches where it can be had."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobtree.errors import ProtocolError
from jobtree.protocol.codec import decode
from jobtree.protocol.messages import ENVELOPE_LIMIT, Role
from tests.fuzz.decoders import envelopes, journal

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=5),
    max_leaves=40,
)


@given(st.binary(max_size=400))
def test_noise_is_refused_by_both_decoders(data: bytes) -> None:
    envelopes(data)
    journal(data)


@settings(max_examples=300)
@given(st.integers(0, 255), ANYTHING)
def test_well_packed_nonsense_is_refused_by_both_decoders(kind: int, value: object) -> None:
    data: bytes = msgpack.packb(value)
    envelopes(bytes([kind]) + data)
    journal(data)


BOMBS = {
    "empty lists": b"\x90" * ENVELOPE_LIMIT,
    "empty maps": b"\x80" * ENVELOPE_LIMIT,
    "a long list of empty lists": b"\xdd" + (ENVELOPE_LIMIT - 5).to_bytes(4, "big") + b"\x90" * (ENVELOPE_LIMIT - 5),
    "two long lists of empty lists": b"\x92" + 2 * (b"\xdd" + (1 << 20).to_bytes(4, "big") + b"\x90" * ((1 << 20) - 6)),
    "a list that claims four thousand million members": b"\xdd\xff\xff\xff\xff" + bytes(1000),
    "a text that claims four gigabytes": b"\xdb\xff\xff\xff\xff" + bytes(1000),
    "lists in lists": b"\x91" * ENVELOPE_LIMIT,
    "short texts": b"\x96" + b"\xdd" + (600_000).to_bytes(4, "big") + b"\xa2xy" * 600_000,
    "numbers": b"\x96" + b"\xdd" + (600_000).to_bytes(4, "big") + b"\xcd\xff\xff" * 600_000,
    "floats": b"\x96" + b"\xdd" + (200_000).to_bytes(4, "big") + b"\xcb" + bytes(8) * 200_000,
    "too long": bytes(ENVELOPE_LIMIT + 1),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_no_envelope_of_a_worker_takes_more_than_64_mib_to_refuse(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decode([bomb], Role.WORKER)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 64 << 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fuzzer_finds_nothing_in_a_minute(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris can't be imported here (pip install jobtree[fuzz])")
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.decoders",
        "-max_total_time=60",
        "-max_len=4096",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr

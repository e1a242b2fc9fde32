"""The log store: what is written is read back, each byte once, whatever the disk does."""

from __future__ import annotations

import errno
import random

import pytest

from jobtree.master import logstore
from jobtree.master.effects import Output
from jobtree.master.journal.files import Files
from jobtree.master.logstore import OutputName
from jobtree.master.outputs import Outputs
from jobtree.views.output import OutputReader, Piece
from tests.support.faulty_files import FaultyFiles
from tests.support.memory_files import MemoryFiles

TREE = "/tree"
RUN = bytes(range(16))


@pytest.fixture
def files() -> FaultyFiles:
    disk = FaultyFiles()
    disk.make_directory(TREE)
    return disk


class Words(list[str]):
    """What the store had to say."""


def store(files: Files, epoch: int = 1, said: Words | None = None, **sizes: int) -> Outputs:
    return Outputs(files, TREE, RUN, epoch, (said if said is not None else Words()).append, **sizes)


def output(data: bytes, *, target: int = 1, number: int = 1, offset: int = 0, stream: int = 1) -> Output:
    return Output(target, f"name{target}", 1, 1, number, stream, offset, 5.0, data)


def read(files: Files) -> list[Piece]:
    return list(OutputReader(files, TREE, RUN).poll(final=True))


def texts(files: Files) -> list[bytes]:
    return [piece.chunk.data for piece in read(files)]


def segments(files: MemoryFiles) -> list[str]:
    return [name for name in files.names(f"{TREE}/logs") if name.endswith(".log")]


def test_what_is_written_is_read_back_with_all_that_is_known_of_it(files: FaultyFiles) -> None:
    outputs = store(files)
    outputs.write(Output(7, "align", 2, 3, 44, 2, 100, 12.5, b"some text"))
    outputs.flush()
    (piece,) = read(files)
    assert piece.chunk == logstore.Chunk(7, "align", 2, 3, 44, 2, 100, 12.5, b"some text")
    assert piece.missing == 100


def test_nothing_is_on_disk_before_a_flush_and_no_directory_is_made_for_silent_targets(files: FaultyFiles) -> None:
    outputs = store(files)
    outputs.flush()
    outputs.close()
    assert files.names(TREE) == []
    assert read(files) == []


def test_a_reader_follows_what_is_being_written(files: FaultyFiles) -> None:
    outputs, reader = store(files, segment_bytes=300), OutputReader(files, TREE, RUN)
    seen = []
    for number in range(1, 20):
        outputs.write(output(b"line %d" % number, number=number))
        outputs.flush()
        seen += [piece.chunk.data for piece in reader.poll()]
        assert seen[-1] == b"line %d" % number
    assert len(seen) == 19
    assert len(segments(files)) > 3
    assert list(reader.poll(final=True)) == []


def test_bytes_that_come_twice_are_given_once(files: FaultyFiles) -> None:
    outputs = store(files)
    for data, offset in ((b"abc", 0), (b"abc", 0), (b"bcdef", 1), (b"xyz", 0)):
        outputs.write(output(data, offset=offset))
    outputs.write(output(b"other attempt", number=2))
    outputs.close()
    assert texts(files) == [b"abc", b"def", b"other attempt"]


def test_a_gap_is_counted(files: FaultyFiles) -> None:
    outputs = store(files)
    outputs.write(output(b"abc"))
    outputs.write(output(b"xyz", offset=1003))
    outputs.close()
    assert [piece.missing for piece in read(files)] == [0, 1000]


def test_a_chunk_of_any_size_fits(files: FaultyFiles) -> None:
    data = random.Random(1).randbytes(3_000_000)
    outputs = store(files)
    outputs.write(output(data))
    outputs.close()
    assert b"".join(texts(files)) == data


def test_output_of_one_target_is_found_by_the_index_as_by_reading_all(files: FaultyFiles) -> None:
    outputs = store(files, segment_bytes=2000)
    for number in range(200):
        outputs.write(output(b"%d" % number, target=number % 7, number=number))
        if number % 3 == 0:
            outputs.flush()
    outputs.close()
    expected = [b"%d" % number for number in range(200) if number % 7 == 4]
    assert [piece.chunk.data for piece in OutputReader(files, TREE, RUN).of_target(4)] == expected
    for name in files.names(f"{TREE}/logs"):
        if name.endswith(".idx"):
            files.damage(f"{TREE}/logs/{name}", b"nonsense")
    assert [piece.chunk.data for piece in OutputReader(files, TREE, RUN).of_target(4)] == expected


def test_a_later_master_writes_beside_what_there_is(files: FaultyFiles) -> None:
    for epoch in (1, 2, 3):
        outputs = store(files, epoch)
        outputs.write(output(b"epoch %d" % epoch, number=epoch))
        outputs.close()
    assert texts(files) == [b"epoch 1", b"epoch 2", b"epoch 3"]


def test_the_oldest_segments_go_when_there_are_too_many_bytes(files: FaultyFiles) -> None:
    outputs = store(files, segment_bytes=1000, most_bytes=5000)
    for number in range(100):
        outputs.write(output(bytes(500), number=number))
        outputs.flush()
        assert sum(files.status(f"{TREE}/logs/{name}").bytes for name in segments(files)) < 6000
    numbers = [piece.chunk.number for piece in read(files)]
    assert numbers == list(range(numbers[0], 100))
    assert 0 < numbers[0] < 95


@pytest.mark.parametrize("kind", ["create", "write"])
def test_a_disk_that_refuses_costs_output_and_nothing_else(files: FaultyFiles, kind: str) -> None:
    said = Words()
    outputs = store(files, said=said)
    outputs.write(output(b"before", number=1))
    outputs.flush()
    if kind == "create":
        outputs.close()
    files.fail((kind,), 0, errno.ENOSPC, times=1000)
    for number in (2, 3):
        outputs.write(output(b"lost", number=number))
        outputs.flush()
    assert len(said) == 1
    assert "cannot be kept" in said[0]
    files.recover()
    outputs.write(output(b"after", number=4))
    outputs.close()
    assert texts(files) == [b"before", b"after"]
    assert "8 bytes were lost" in said[1]
    assert outputs.lost_bytes == 8


def test_an_index_that_cannot_be_written_is_done_without(files: FaultyFiles) -> None:
    said = Words()
    outputs = store(files, said=said)
    outputs.write(output(b"text"))
    outputs.flush()
    files.fail(("create",), 0, errno.ENOSPC)
    outputs.close()
    assert [piece.chunk.data for piece in OutputReader(files, TREE, RUN).of_target(1)] == [b"text"]
    assert said == []


def test_a_frame_that_is_not_whole_yet_is_waited_for(files: FaultyFiles) -> None:
    outputs = store(files)
    outputs.write(output(b"one", number=1))
    outputs.flush()
    outputs.write(output(b"two", number=2))
    outputs.flush()
    path = f"{TREE}/logs/{OutputName(1, 1)}"
    whole = files.contents(path)
    reader = OutputReader(files, TREE, RUN)
    files.damage(path, whole[:-5])
    assert [piece.chunk.data for piece in reader.poll()] == [b"one"]
    files.damage(path, whole)
    assert [piece.chunk.data for piece in reader.poll()] == [b"two"]


@pytest.mark.parametrize("damage", ["zeros", "noise", "cut"])
def test_what_a_power_cut_leaves_is_read_as_far_as_it_is_sound(files: FaultyFiles, damage: str) -> None:
    outputs = store(files)
    for number in range(1, 101):
        outputs.write(output(b"line %d" % number, number=number))
        outputs.flush()
    path = f"{TREE}/logs/{OutputName(1, 1)}"
    data = bytearray(files.contents(path))
    middle = len(data) // 2
    if damage == "cut":
        del data[middle:]
    else:
        data[middle : middle + 700] = bytes(700) if damage == "zeros" else random.Random(2).randbytes(700)
    files.damage(path, bytes(data))
    found = texts(files)
    assert set(found) <= {b"line %d" % number for number in range(1, 101)}
    assert len(found) > (40 if damage == "cut" else 80)
    if damage != "cut":
        assert found[-1] == b"line 100"


def test_files_of_others_are_left_alone(files: FaultyFiles) -> None:
    files.make_directory(f"{TREE}/logs")
    files.close(files.create(f"{TREE}/logs/notes.txt"))
    outputs = store(files, most_bytes=1)
    outputs.write(output(b"text"))
    outputs.close()
    assert "notes.txt" in files.names(f"{TREE}/logs")
    assert texts(files) == [b"text"]

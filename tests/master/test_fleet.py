"""The fleet's thread outlives whatever a launcher does, and tells what became of each request."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Collection, Iterator

import pytest

from jobtree.errors import LauncherError
from jobtree.launchers.base import Availability, BlockState, BlockStatus, SubmitBusy, SubmitRefused, WorkerSize
from jobtree.master.effects import CancelBlocks, Find, Submit
from jobtree.master.events import BlockGone, BlocksCancelled, BlockSeen, BlockSubmitted, Event, SubmitFailed
from jobtree.master.fleet import Fleet

SIZE = WorkerSize(1.0, 1 << 20)
ENDED = BlockStatus(BlockState.ENDED, "killed")


class Troublesome:
    """A launcher by a third party: each method raises what it is told to, as long as it is told."""

    def __init__(self) -> None:
        self.trouble: dict[str, Exception] = {}
        self.blocks: dict[str, list[str]] = {}
        self.states: dict[str, BlockStatus] = {}
        self.polls = 0

    def _raise(self, method: str) -> None:
        if method in self.trouble:
            raise self.trouble[method]

    def submit(self, name: str, n: int, size: WorkerSize) -> list[str]:
        self._raise("submit")
        self.blocks[name] = [f"{name}.{index}" for index in range(n)]
        return self.blocks[name]

    def poll(self) -> dict[str, BlockStatus]:
        self.polls += 1
        self._raise("poll")
        return self.states

    def cancel(self, blocks: Collection[str]) -> None:
        self._raise("cancel")

    def find(self, name: str) -> list[str]:
        self._raise("find")
        return self.blocks.get(name, [])

    def describe(self, name: str, n: int, size: WorkerSize) -> str:
        return ""

    def available(self) -> Availability:
        return Availability(True)

    def output_tail(self, block: str) -> str:
        self._raise("output_tail")
        return "last words"


@pytest.fixture
def launcher() -> Troublesome:
    return Troublesome()


@pytest.fixture
def fleet(launcher: Troublesome) -> Iterator[Fleet]:
    fleet = Fleet(launcher, SIZE, 0.01)
    yield fleet
    fleet.close(60)


def news(fleet: Fleet, n: int = 1) -> list[Event]:
    found: list[Event] = []
    deadline = time.monotonic() + 60
    while len(found) < n:
        assert select.select([fleet.descriptor], [], [], deadline - time.monotonic())[0], f"no more than {found}"
        found += fleet.news()
    return found


TROUBLE = [
    OSError(28, "No space left on device"),
    KeyError("x"),
    LauncherError(["qsub"], 1, "busy"),
    UnicodeDecodeError("utf-8", b"", 0, 1, "bad"),
]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_a_submission_that_fails_is_told_and_the_next_one_is_made(
    fleet: Fleet, launcher: Troublesome, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    launcher.trouble["submit"] = error
    fleet.post(Submit("a", 2))
    (failed,) = news(fleet)
    assert isinstance(failed, SubmitFailed)
    assert (failed.name, failed.reason) == ("a", _words(error))
    assert [_words(error) in record.message for record in caplog.records] == [True]
    launcher.trouble.clear()
    fleet.post(Submit("b", 2))
    assert news(fleet) == [BlockSubmitted("b", ["b.0", "b.1"])]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_what_can_not_be_found_is_told(fleet: Fleet, launcher: Troublesome, error: Exception) -> None:
    launcher.trouble["find"] = error
    fleet.post(Find("a"))
    (open_,) = news(fleet)
    assert isinstance(open_, BlockSeen)
    assert (open_.name, open_.state, open_.count) == ("a", "unknown", 0)
    assert _words(error) in open_.reason
    launcher.trouble["submit"] = OSError("first")
    fleet.post(Submit("b", 1))
    (open_,) = news(fleet)
    assert isinstance(open_, BlockSeen)
    assert _words(error) in open_.reason


def test_what_could_not_be_looked_up_is_looked_up_again_until_somebody_answers(
    fleet: Fleet, launcher: Troublesome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtree.master.fleet.FIND_AGAIN", 0.01)
    launcher.trouble = {"submit": OSError("timed out"), "find": OSError("no answer")}
    fleet.post(Submit("a", 1))
    assert all(isinstance(event, BlockSeen) for event in news(fleet))
    launcher.blocks["a"] = ["a.0"]
    launcher.trouble = {}
    deadline = time.monotonic() + 60
    while (heard := fleet.news()) != [BlockSubmitted("a", ["a.0"])]:
        assert all(isinstance(event, BlockSeen) for event in heard), "nothing is given up, and nothing submitted twice"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_nobody_has_taken_is_told_with_the_reason_of_the_submission(fleet: Fleet, launcher: Troublesome) -> None:
    launcher.trouble["submit"] = OSError("first")
    fleet.post(Submit("b", 1))
    (failed,) = news(fleet)
    assert isinstance(failed, SubmitFailed)
    assert (failed.name, failed.verdict) == ("b", "")
    assert "first" in failed.reason


@pytest.mark.parametrize(("error", "verdict"), [(SubmitRefused, "refused"), (SubmitBusy, "busy")])
def test_what_was_surely_not_taken_is_not_looked_up(
    fleet: Fleet, launcher: Troublesome, error: type[LauncherError], verdict: str
) -> None:
    launcher.trouble = {"submit": error(["qsub"], 1, "no"), "find": AssertionError("asked")}
    fleet.post(Submit("b", 1))
    (failed,) = news(fleet)
    assert isinstance(failed, SubmitFailed)
    assert failed.verdict == verdict


def test_a_block_that_stands_otherwise_is_told_of_once(fleet: Fleet, launcher: Troublesome) -> None:
    held = BlockStatus(BlockState.HELD, "by the user")
    launcher.states = {"a.0": BlockStatus(BlockState.RUNNING), "a.1": held, "a.2": held, "other": held}
    fleet.expect({"a.0": "a", "a.1": "a", "a.2": "a"})
    assert news(fleet) == [BlockSeen("a", "held", 2, "by the user")]
    seen = launcher.polls
    deadline = time.monotonic() + 60
    while launcher.polls < seen + 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    launcher.states = dict.fromkeys(launcher.states, BlockStatus(BlockState.RUNNING, "node1"))
    assert news(fleet) == [BlockSeen("a", "running", 3, "")]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_a_poll_or_cancellation_that_fails_is_logged_once_and_tried_again(
    fleet: Fleet, launcher: Troublesome, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "jobtree")
    launcher.trouble = {"poll": error, "cancel": error}
    fleet.expect({"a.0": "a"})
    fleet.post(CancelBlocks(["a.0"], True))
    seen = launcher.polls
    deadline = time.monotonic() + 60
    while launcher.polls < seen + 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    launcher.states = {"a.0": ENDED}
    launcher.trouble = {}
    assert news(fleet, 2) == [BlocksCancelled(["a.0"], _words(error)), BlockGone("a", "a.0", "killed", "last words")]
    assert sorted(record.message.partition(":")[0] for record in caplog.records) == [
        "the state of the workers is not known", "workers could not be ended",
    ]  # fmt: skip
    assert all(_words(error) in record.message for record in caplog.records)


def test_a_worker_whose_last_words_can_not_be_read_is_gone_all_the_same(fleet: Fleet, launcher: Troublesome) -> None:
    launcher.trouble["output_tail"] = PermissionError(13, "Permission denied")
    launcher.states = {"a.0": ENDED, "a.1": ENDED}
    fleet.expect({"a.0": "a", "a.1": "a"})
    assert news(fleet, 2) == [BlockGone("a", f"a.{index}", "killed", "") for index in (0, 1)]


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, LauncherError) else f"{type(error).__name__}: {error}"

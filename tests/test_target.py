"""What a target asks for, how it is named, and how functions become targets."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

import jobtree
from jobtree import Promise, Target, UsageError, _context
from jobtree._function import FunctionTarget, wants_target
from jobtree._recording import Creation, Recorder, ResultKind, ranges
from jobtree._target import requests_of
from jobtree.ids import Attempt, PromiseKey
from jobtree.protocol import payload

T = TypeVar("T")


class Setup(Target[str], memory="100M", cpus=2):
    def __init__(self, path: str, **requests: Any) -> None:
        super().__init__(**requests)
        self.path = path

    def run(self) -> str:
        return self.path


@dataclass
class Sized(Target[int], memory="1G", name="given"):
    name: str
    memory: int = 3
    attempt: int = 9


class Silent(Target[int], time_limit="1h"):
    def __init__(self) -> None:
        pass


@jobtree.target(memory="1G")
def count(path: str, *, n: int = 0) -> str:
    "Counts."
    return path * n


@jobtree.target
def unannotated(target, parts):  # type: ignore[no-untyped-def]
    return target, parts


class Notes:
    """Surroundings that only take notes."""

    def __init__(self) -> None:
        self.granted: dict[str, Any] = {"memory": 7}
        self.creations: list[Creation] = []
        self.lines: list[str] = []

    def create(self, creation: Creation) -> None:
        self.creations.append(creation)

    def log(self, text: str, level: str, *, live: bool = True) -> None:
        self.lines.append(f"{level}: {text}")

    def local_temp_dir(self) -> Path:
        return Path("local")

    def global_temp_dir(self) -> Path:
        return Path("global")

    def remaining_time(self) -> float | None:
        return 5.0

    def cancel(self, key: PromiseKey) -> None:
        self.lines.append(f"cancel {key[2]}")


def recorded(target: Target[Any]) -> tuple[Recorder, Notes]:
    notes = Notes()
    return Recorder(Attempt(2, 7), target, 1, notes), notes


def test_requests_of_the_class_are_defaults_of_those_of_the_instance() -> None:
    assert (Setup("x").cpus, Setup("x").memory, Setup("x").gpus) == (2.0, 100 << 20, None)
    target = Setup("x", cpus=1)
    assert (target.cpus, target.memory) == (1.0, 100 << 20)
    other = target.needs(memory="2G")
    assert (other.cpus, other.memory, other.path) == (1.0, 2 << 30, "x")
    assert target.memory == 100 << 20


def test_a_subclass_inherits_requests_but_not_the_name() -> None:
    class Deeper(Sized, cpus=3):
        pass

    requests = requests_of(Deeper("x"))
    assert (requests.cpus, requests.memory, requests.name) == (3.0, 1 << 30, None)


def test_init_may_be_left_out_and_dataclasses_may_use_the_names_of_requests() -> None:
    assert Silent().time_limit == 3600.0
    target = Sized("field")
    assert (target.name, target.memory, target.attempt) == ("field", 3, 9)
    assert (requests_of(target).name, requests_of(target).memory) == ("given", 1 << 30)
    assert target == Sized("field")
    with pytest.raises(TypeError, match="name"):
        Sized()  # type: ignore[call-arg]


def test_slotted_and_generic_targets_work() -> None:
    @dataclass(slots=True)
    class Slotted(Target[int]):
        x: int

    class Box(Target[T], Generic[T]):
        def __init__(self, content: T) -> None:
            self.content = content

    copied = Slotted(3).needs(cpus=2)
    assert (copied.x, copied.cpus) == (3, 2.0)
    pickled = payload.dumps([copied, Box[int](4)])
    slotted, box = payload.loads(pickled.data, code=pickled.codes.__getitem__)
    assert (slotted.x, slotted.cpus, box.content) == (3, 2.0, 4)


def test_wrong_requests_are_refused_where_they_are_written() -> None:
    with pytest.raises(UsageError, match="did you mean 'memory'"):

        class Wrong(Target[int], memroy=1):
            pass

    with pytest.raises(UsageError, match="cpus"):
        jobtree.target(cpus=-1)
    with pytest.raises(UsageError, match="is not a size"):
        count("x").needs(memory="big")


def test_a_target_is_named_after_its_code_unless_a_name_is_given() -> None:
    class Local(Target[int]):
        pass

    assert Setup("x").name == "Setup"
    assert Local().name.endswith("<locals>.Local")
    assert count("x").name == "count"
    assert jobtree.call(len, "abc").name == "len"
    assert jobtree.call("abc".upper).name == "str.upper"
    assert count("x").needs(name="other").name == "other"
    assert Setup("x", name="third").name == "third"


def test_signatures_are_those_of_the_users_code() -> None:
    assert list(inspect.signature(Setup).parameters) == ["path", "requests"]
    assert list(inspect.signature(Sized).parameters) == ["name", "memory", "attempt"]
    assert list(inspect.signature(count).parameters) == ["path", "n"]
    assert (count.__name__, count.__doc__) == ("count", "Counts.")


def test_the_plain_function_is_called_by_fn() -> None:
    assert count.fn("x", n=3) == "xxx"
    assert count("x", n=3).run() == "xxx"


def test_the_running_target_is_passed_to_a_first_parameter_that_asks_for_it() -> None:
    call = unannotated([1])
    assert call.run() == (call, [1])

    def annotated(me: Target[int], x: int) -> None: ...
    def quoted(me: jobtree.Target[int]) -> None: ...
    def other(target: str) -> None: ...
    def second(x, target): ...  # type: ignore[no-untyped-def]
    def subclass(me: Setup) -> None: ...

    class Holder:
        def method(self, target, x): ...  # type: ignore[no-untyped-def]
        def plain(self, x): ...  # type: ignore[no-untyped-def]

    assert wants_target(annotated)
    assert wants_target(quoted)
    assert wants_target(Holder().method)
    for no in (other, second, subclass, Holder().plain, len, print, str, Setup):
        assert not wants_target(no), no


def test_calling_what_cannot_be_called_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        jobtree.call(3)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="is a target already"):
        jobtree.target(memory=1)(Setup)
    with pytest.raises(UsageError, match="is not a function"):
        FunctionTarget.__call__(jobtree.target(memory=1)(3))  # type: ignore[call-overload]

    class Holder:
        @jobtree.target
        def method(self) -> None: ...

    with pytest.raises(UsageError, match="a method cannot be a target"):
        Holder().method  # noqa: B018


def test_what_is_added_is_numbered_and_carries_form_takes_and_after() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)
    with _context.running(recorder):
        first = target.add_child(count("a"))
        second, third = target.add_children([count(first.value), Setup("y", cpus=9)], allow_failure=True)
        target.add_child(count("b"), after=[third, first])
        target.set_follow_on(jobtree.call(list, [first, second, third]))
    assert [(c.n, c.takes, c.after) for c in notes.creations] == [
        (1, (), ()),
        (2, (1,), ()),
        (3, (), ()),
        (4, (), (1, 3)),
        (0, (1, 2, 3), ()),
    ]
    assert [c.form.to_wire() for c in notes.creations] == [
        ["count", None, {"memory": 1 << 30}],
        ["count", True, {"memory": 1 << 30}],
        ["Setup", True, {"memory": 100 << 20, "cpus": 9.0}],
        ["count", None, {"memory": 1 << 30}],
        ["list", None, {}],
    ]
    assert notes.creations[0].form is notes.creations[3].form
    assert payload.loads(notes.creations[1].data, {PromiseKey(2, 7, 1): "v"}).run() == ""


def test_equal_requests_of_many_instances_are_one_form() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)
    with _context.running(recorder):
        target.add_children(count("a").needs(resources={"licence": 1}) for _ in range(5))
    assert len({id(creation.form) for creation in notes.creations}) == 1


def test_children_are_serialised_one_by_one_as_an_iterable_gives_them() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)

    def stream() -> Any:
        for n in range(3):
            assert len(notes.creations) == n
            yield count(str(n))

    with _context.running(recorder):
        assert len(target.add_children(stream())) == 3


def test_a_promise_of_another_attempt_is_refused() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)
    foreign = Promise[str](PromiseKey(2, 6, 1))
    with _context.running(recorder):
        for use in (
            lambda: target.add_child(count(foreign.value)),
            lambda: target.add_child(count("x"), after=[foreign]),
            lambda: target.set_follow_on(count(foreign.value)),
            lambda: target.cancel(foreign),
            lambda: recorder.finish(foreign),
            lambda: recorder.finish([foreign]),
        ):
            with pytest.raises(UsageError, match="another target's run"):
                use()
    assert notes.creations == []


def test_what_run_returned_is_told_apart() -> None:
    target = Setup("x")
    recorder, _ = recorded(target)
    with _context.running(recorder):
        child = target.add_child(count("a"))
        follow_on = target.set_follow_on(count("b"))
    assert recorder.finish(None).kind is ResultKind.NONE
    assert (recorder.finish(child).kind, recorder.finish(child).n) == (ResultKind.PROMISE, 1)
    assert recorder.finish(follow_on).n == 0
    result = recorder.finish({"all": [child, follow_on]})
    assert (result.kind, result.takes) == (ResultKind.VALUE, (0, 1))
    assert payload.loads(recorder.finish([1]).data) == [1]


def test_a_target_that_holds_itself_or_its_methods_can_be_passed_on() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)
    with _context.running(recorder):
        target.add_child(jobtree.call(target.run))
        target.set_follow_on(target)
    assert payload.loads(notes.creations[0].data).run() == "x"
    assert payload.loads(notes.creations[1].data).path == "x"
    assert "path" in vars(target)


def test_while_it_runs_a_target_shows_what_it_was_granted_and_speaks_to_its_surroundings() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)
    with _context.running(recorder):
        assert (target.memory, target.cpus, target.attempt) == (7, 2.0, 1)
        assert (target.local_temp_dir, target.global_temp_dir) == (Path("local"), Path("global"))
        assert target.remaining_time() == 5.0
        assert jobtree.current_target() is target
        target.log("words")
        target.cancel(target.add_child(count("x")))
    assert target.memory == 100 << 20
    assert notes.lines == ["INFO: words", "cancel 1"]


def test_threads_of_a_running_target_may_add_children_too() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)
    with _context.running(recorder):
        threads = [threading.Thread(target=lambda: target.add_children(count("x") for _ in range(50))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [creation.n for creation in notes.creations] == list(range(1, 201))


def test_forgotten_targets_are_told_with_their_line_and_those_that_went_somewhere_are_not() -> None:
    target = Setup("x")
    recorder, notes = recorded(target)
    with _context.running(recorder):
        line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
        count("forgotten")
        target.add_child(Setup("added").needs(cpus=1))
        target.add_child(jobtree.call(list, [count("inside")]))
        copy.copy(target.add_child(count("twice")))
        recorder.finish(None)
    assert notes.lines == [f"WARNING: {__file__}:{line}: count was made and never added, so it will not run"]


def test_ranges_are_first_and_count() -> None:
    assert ranges([]) == []
    assert ranges([1, 2, 3, 7, 9, 10]) == [1, 3, 7, 1, 9, 2]


def test_importing_jobtree_brings_in_nothing_heavy_and_its_names_are_no_modules() -> None:
    code = """
        import sys, jobtree
        heavy = {"zmq", "msgpack", "rich", "cloudpickle", "psutil", "tblib", "asyncio", "inspect"}
        assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
        jobtree.Target, jobtree.target, jobtree.call, jobtree.command, jobtree.Promise, jobtree.TargetsFailed
        heavy.discard("inspect")
        assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
        import jobtree._target, jobtree._command, jobtree.errors, jobtree._recording, jobtree._inline
        assert callable(jobtree.target) and callable(jobtree.command) and jobtree.errors.UsageError
        assert jobtree.__version__ == "0.1.0" and "Target" in dir(jobtree)
    """
    source = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", source],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_an_unknown_one_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        jobtree.no_such_name  # noqa: B018
    for name in ("Target", "target", "call", "command", "Promise", "Failure", "Cancelled", "CommandResult"):
        assert getattr(jobtree, name).__doc__

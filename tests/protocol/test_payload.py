"""What is pickled comes back as it was, code by its name, and what cannot be pickled is named."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jobtree
from jobtree import Promise
from jobtree.errors import RemoteError, TargetFailure, TargetsFailed, Unpicklable, UsageError
from jobtree.ids import PromiseKey
from jobtree.protocol import payload
from jobtree.protocol.payload import Stored, dump_exception, dumps, load_exception, loads

KEY = PromiseKey(1, 7, 3)
OTHER = PromiseKey(1, 7, 4)
SHARED: list[str] = []
LOCK = threading.Lock()


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any) -> Any:
        return fn(*args)

    return wrapper


@decorated
def double(x: int) -> int:
    return 2 * x


@jobtree.target
def count(path: str) -> str:
    return path


class Twice(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")
        self.first = first


class Closed(Exception):
    def __reduce__(self) -> Any:
        raise ValueError("not to be pickled")


def there_and_back(thing: Any) -> Any:
    pickled = dumps(thing)
    return loads(pickled.data, code=pickled.codes.__getitem__)


def test_functions_and_decorated_functions_travel_by_name() -> None:
    for thing in (double, count, count.fn, Twice, len, Path, Twice.__init__):
        pickled = dumps(thing)
        assert pickled.codes == {}
        assert len(pickled.data) < 200
        assert loads(pickled.data) is thing
    assert there_and_back(double.__wrapped__) is double.__wrapped__  # type: ignore[attr-defined]


def test_a_lambda_travels_as_a_code_blob_and_keeps_its_name_when_pickled_again() -> None:
    first = dumps([lambda x: x + 1, "argument"])
    assert len(first.codes) == 1
    [sha] = first.codes
    assert sha.encode() in first.data
    loaded, _ = loads(first.data, code=first.codes.__getitem__)
    assert loaded(1) == 2
    again = dumps(loaded)
    assert again.codes == {}
    assert sha.encode() in again.data
    assert loads(again.data, code=first.codes.__getitem__) is loaded


def test_the_code_of_a_closure_is_a_blob_and_its_values_are_not() -> None:
    def make(n: int) -> Callable[[int], int]:
        return lambda x: x + n

    one, two = dumps(make(1)), dumps(make(2))
    assert one.codes == two.codes
    assert len(one.codes) == 1
    assert loads(two.data, code=two.codes.__getitem__)(5) == 7


def test_code_that_travels_by_value_uses_the_globals_of_its_module() -> None:
    def note(word: str) -> None:
        with LOCK:  # which could not be pickled
            SHARED.append(word)

    there_and_back(note)("seen")
    assert SHARED.pop() == "seen"


def test_a_class_that_travels_by_value_is_the_same_class_in_all_payloads() -> None:
    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

        def again(self) -> Local:
            return Local(self.x + 1)

    first, second = there_and_back(Local(1)), there_and_back(Local(5))
    assert type(first) is type(second)
    assert first.again().x == 2


def test_promises_are_listed_in_order_and_replaced_by_values() -> None:
    one, two = Promise[Any](KEY), Promise[Any](OTHER)
    pickled = dumps({"b": [two, (one,)], "f": lambda: two, "again": two}, Promise)
    assert pickled.promises == (OTHER, KEY)
    values = {KEY: "one", OTHER: Stored(lambda: dumps(["two", one], Promise).data)}
    loaded = loads(pickled.data, values, pickled.codes.__getitem__)
    assert loaded["b"] == [["two", "one"], ("one",)]
    assert loaded["f"]() is loaded["again"]


def test_a_promise_in_the_globals_of_code_is_found_and_not_hidden_in_a_blob() -> None:
    namespace: dict[str, Any] = {"promise": Promise[Any](KEY), "__name__": "nowhere"}
    exec("def use():\n    return promise", namespace)
    pickled = dumps(namespace["use"], Promise)
    assert pickled.promises == (KEY,)
    assert loads(pickled.data, {KEY: "kept"}, pickled.codes.__getitem__)() == "kept"


def test_values_nested_thousands_deep_are_loaded_in_any_order() -> None:
    keys = [PromiseKey(1, 1, n) for n in range(1, 3001)]
    stored: dict[PromiseKey, object] = {keys[-1]: Stored(lambda: dumps([]).data)}
    for outer, inner in itertools.pairwise(keys):
        data = dumps([Promise[Any](inner)], Promise).data
        stored[outer] = Stored(functools.partial(bytes, data))
    loaded = loads(dumps(Promise[Any](keys[0]), Promise).data, dict(sorted(stored.items())))
    depth = 0
    while loaded:
        [loaded] = loaded
        depth += 1
    assert depth == 2999


def test_a_missing_value_is_an_error_that_names_the_promise() -> None:
    data = dumps(Promise[Any](KEY), Promise).data
    with pytest.raises(Exception, match=r"promise 1\.7:3"):
        loads(data)
    with pytest.raises(UsageError, match="read by jobtree only"):
        pickle.loads(data)


class Slotted:
    __slots__ = ("lock",)


def test_what_cannot_be_pickled_is_named_by_its_path() -> None:
    class Thing:
        pass

    def with_path(path: str, thing: Any) -> None:
        with pytest.raises(Unpicklable, match=r"cannot pickle '_thread\.lock' object") as caught:
            dumps(thing)
        assert str(caught.value).startswith(path + ": "), str(caught.value)

    lock = threading.Lock()
    outer, slotted, local = Thing(), Slotted(), lock
    outer.inner = {"a": [1, (lock,)]}  # type: ignore[attr-defined]
    slotted.lock = lock  # type: ignore[attr-defined]
    with_path(f"{Thing.__qualname__}.inner['a'][1][0]", outer)
    with_path("Slotted.lock", slotted)
    with_path("list[1].lock", [0, slotted])
    with_path("test_what_cannot_be_pickled_is_named_by_its_path.<locals>.<lambda>.<closure>.local", lambda: local)
    with_path("FunctionCall[1][0]", jobtree.call(print, lock))


def test_what_is_nested_too_deeply_is_said_so() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(Unpicklable, match="nested too deeply"):
        dumps(nested)
    while nested:
        nested = nested.pop()


def test_too_large_a_payload_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="global_temp_dir"):
        dumps(b"x" * 1001)


def test_the_errors_of_loading_tell_what_was_not_found() -> None:
    data = dumps(double).data
    for wrong in (data.replace(b"double", b"bouble"), data.replace(__name__[-4:].encode(), b"zzzz")):
        with pytest.raises((ImportError, AttributeError)) as caught:
            loads(wrong)
        assert payload.is_import_failure(caught.value)
    assert not payload.is_import_failure(ValueError("x"))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001
        return caught


def test_an_exception_comes_back_with_its_frames_its_chain_and_its_notes() -> None:
    inner = raised(KeyError("inner"))
    outer = raised(Twice("a", "b"), inner)
    outer.add_note("a note")
    loaded = load_exception(dump_exception(outer))
    assert type(loaded) is Twice
    assert (str(loaded), loaded.first, loaded.__notes__) == ("a and b", "a", ["a note"])
    assert isinstance(loaded.__cause__, KeyError)
    printed = "".join(traceback.format_exception(loaded))
    assert "raise error from cause" in printed
    assert printed.count(f'File "{__file__}"') == 2


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "No such file", "path"),
        SystemExit(3),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        KeyError("key"),
        StopIteration(5),
        ExceptionGroup("many", [ValueError("x"), OSError(1, "y")]),
        ImportError("no", name="module"),
        subprocess.CalledProcessError(3, ["cmd"], b"out"),
        TargetsFailed([TargetFailure("n", 1, 1, jobtree.Cause.EXIT, "words")]),
        jobtree.CommandFailed("cmd", -9),
    ],
)
def test_exceptions_of_all_kinds_come_back_equal(error: BaseException) -> None:
    loaded = load_exception(dump_exception(raised(error)))
    assert type(loaded) is type(error)
    assert str(loaded) == str(error)
    for name in ("errno", "filename", "code", "encoding", "value", "name", "returncode", "output", "status"):
        assert getattr(loaded, name, None) == getattr(error, name, None)


def test_an_exception_that_cannot_be_pickled_travels_as_its_text() -> None:
    loaded = load_exception(dump_exception(raised(Closed("words"))))
    assert isinstance(loaded, RemoteError)
    assert "Closed: words" in str(loaded)
    assert "in raised" in str(loaded)


def test_an_exception_whose_class_is_gone_is_read_as_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dump_exception(raised(Twice("a", "b")))
    monkeypatch.delattr(sys.modules[__name__], "Twice")
    loaded = load_exception(data)
    assert isinstance(loaded, RemoteError)
    assert "a and b" in str(loaded)


def test_the_traceback_of_a_deep_recursion_comes_back_shortened() -> None:
    def down() -> None:
        down()

    try:
        down()
    except RecursionError as caught:
        loaded = load_exception(dump_exception(caught))
    assert isinstance(loaded, RecursionError)
    assert 10 < len(traceback.extract_tb(loaded.__traceback__)) <= 200


def test_a_copy_of_a_promise_is_the_promise_and_a_plain_pickle_of_it_is_refused() -> None:
    promise = Promise[Any](KEY)
    assert copy.deepcopy([promise])[0] is promise
    with pytest.raises(TypeError, match="only be passed to a target"):
        pickle.dumps(promise)


def python(*args: str, given: bytes = b"", cwd: Path | None = None) -> bytes:
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, *args], cwd=cwd, env=environment, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


SCRIPT = """
    import sys
    from jobtree import Target
    from jobtree.protocol import payload, references

    class Setup(Target):
        def __init__(self, x):
            self.x = x

    LIMIT = 3

    if __name__ == "__main__":
        script = references.register_script()
        assert script is not None
        pickled = payload.dumps([Setup(3), lambda: LIMIT])
        assert len(pickled.codes) == 1, pickled.codes
        sys.stdout.buffer.write(repr((script.to_wire(), pickled.data, pickled.codes)).encode())
"""

READER = """
    import sys
    from jobtree.protocol import payload, references

    wire, data, codes = eval(sys.stdin.read())
    module = references.load_script(references.Script.from_wire(wire))
    target, limit = payload.loads(data, code=codes.__getitem__)
    assert type(target) is module.Setup and target.x == 3, target
    assert module.__name__ == "__jobtree_main__" and sys.modules["__main__"] is module
    module.LIMIT = 4
    assert limit() == 4
    again = payload.dumps([target, limit])
    assert b"__jobtree_main__" in again.data and again.codes == {}
    print("fine")
"""


@pytest.mark.parametrize("name", ["script.py", "script", "-m package.script"])
def test_the_users_script_is_found_again_in_another_process(tmp_path: Path, name: str) -> None:
    filename = name.replace("-m package.", "package/") + (".py" if name.startswith("-m") else "")
    (tmp_path / filename).parent.mkdir(exist_ok=True)
    (tmp_path / filename).write_text(textwrap.dedent(SCRIPT))
    written = python(*name.split(), cwd=tmp_path)
    assert python("-c", textwrap.dedent(READER), given=written, cwd=tmp_path) == b"fine\n"


def test_code_without_a_file_travels_by_value() -> None:
    code = """
        import pickle, sys
        from jobtree import Target, target
        from jobtree.protocol import payload, references
        assert references.register_script() is None
        class Setup(Target):
            def run(self): return fib(3)
        @target
        def fib(n): return n and fib(n - 1)
        pickled = payload.dumps([Setup(), fib(7), lambda: 5])
        assert len(pickled.codes) >= 3, pickled.codes
        sys.stdout.buffer.write(repr((pickled.data, pickled.codes)).encode())
    """
    reader = """
        import sys
        from jobtree.protocol import payload
        data, codes = eval(sys.stdin.read())
        setup, call, five = payload.loads(data, code=codes.__getitem__)
        assert call.run()._jobtree_call_[1] == (6,) and five() == 5
        assert setup.run()._jobtree_call_[1] == (3,)
        print("fine")
    """
    written = python("-c", textwrap.dedent(code))
    assert python("-c", textwrap.dedent(reader), given=written) == b"fine\n"


def test_a_script_that_fails_to_load_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    from jobtree.protocol.references import ALIAS, Script, load_script

    (tmp_path / "bad.py").write_text("raise ValueError('in the script')")
    before = sys.modules["__main__"], sys.modules.get(ALIAS)
    with pytest.raises(ValueError, match="in the script"):
        load_script(Script(str(tmp_path / "bad.py")))
    assert (sys.modules["__main__"], sys.modules.get(ALIAS)) == before

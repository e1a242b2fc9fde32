"""Targets, results and exceptions as bytes and back: the only pickle of the package.

Code that can be found by its name (see `references`) travels as this name. Other code, of lambdas, closures
and notebooks, travels by value; each such function, class or code object is a *code blob*, pickled by
itself and named in the payload by the SHA-256 of its bytes, so that what many targets share is sent and
kept once. Nothing inside a code blob is put into a further one.

Promises are found wherever pickling meets them. In the bytes they are calls of `_promised`, which the
unpickler binds to the values that it was given; code blobs are calls of `_coded`, likewise.

Most payloads are calls of a function target that has a name, with plain arguments; these are written shorter,
see `calls`.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Protocol
from weakref import ref

import cloudpickle

from jobtree.errors import RemoteError, Unpicklable, UsageError
from jobtree.ids import PromiseKey
from jobtree.protocol import calls
from jobtree.protocol.culprit import find_culprit
from jobtree.protocol.references import find, globals_module, globals_of, reference
from jobtree.protocol.tracebacks import reduce_exception, text_of

PROTOCOL = 5

#: A larger payload is refused: it would pass through the memory of several processes at once.
MOST_BYTES = 1 << 30

#: How many code blobs a process keeps unpickled, whoever uses them; more live only as long as they are in
#: use.
KEPT_CODES = 512

_HERE = __name__


class PromiseLike(Protocol):
    """What payloads know of a promise."""

    _jobtree_key_: PromiseKey


@dataclass(slots=True)
class Pickled:
    """A pickled object, the promises in it, in order of first meeting, and the code blobs that it names."""

    data: bytes
    promises: tuple[PromiseKey, ...] = ()
    codes: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A promise's value that is still pickled: `read` gives its bytes."""

    read: Callable[[], bytes]


def dumps(thing: object, promise_type: type[PromiseLike] | None = None) -> Pickled:
    """Pickle `thing`; raises Unpicklable, naming the attribute, or UsageError if it is too large."""
    call = getattr(thing, "_jobtree_call_of_name_", None)
    if call is not None and (short := calls.dumps(call, promise_type, _promised)) is not None:
        return Pickled(*short)
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, promise_type)
    try:
        pickler.dump(thing)
    except Exception as error:
        raise Unpicklable(_explain(thing, promise_type, error)) from error
    data = buffer.getvalue()
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"{type(thing).__name__} is {len(data) / 2**30:.1f} GiB when pickled, and the most is "
            f"{MOST_BYTES / 2**30:.3g} GiB; write it into a file in global_temp_dir and pass the path"
        )
    return Pickled(data, tuple(pickler.promises), pickler.codes)


def loads(
    data: bytes,
    values: Mapping[PromiseKey, object] | None = None,
    code: Callable[[str], bytes] | None = None,
) -> Any:
    """Unpickle, with `values` in the places of the promises; `code` gives a code blob by its SHA-256.

    A value may be a `Stored` one, which may hold promises of `values` itself. Raises whatever the user's
    code raises; `is_import_failure` tells what was not found from what could not be read.
    """
    if not values and data[:1] == calls.MARK:
        return calls.again(pickle.loads(memoryview(data)[1:]))
    loaded: dict[PromiseKey, object] = {}
    stored: dict[PromiseKey, Stored] = {}
    for key, value in (values or {}).items():
        if isinstance(value, Stored):
            stored[key] = value
        else:
            loaded[key] = value
    for key in stored:
        _load_stored(key, stored, loaded, code)
    return _load(data, loaded, code)


def _load(data: bytes, values: Mapping[PromiseKey, object], code: Callable[[str], bytes] | None) -> Any:
    if data[:1] == calls.MARK:
        return calls.again(_Unpickler(data[1:], values, code).load())
    return _Unpickler(data, values, code).load()


def _load_stored(
    key: PromiseKey,
    stored: Mapping[PromiseKey, Stored],
    loaded: dict[PromiseKey, object],
    code: Callable[[str], bytes] | None,
) -> None:
    """Load a value after the values that it holds, in a loop, for these may be nested thousands deep."""
    waiting = [key]
    while waiting:
        key = waiting[-1]
        if key not in loaded:
            try:
                loaded[key] = _load(stored[key].read(), loaded, code)
            except _NotYet as missing:
                if missing.key not in stored or missing.key in waiting:
                    raise
                waiting.append(missing.key)
                continue
        waiting.pop()


def dump_exception(error: BaseException) -> bytes:
    """Pickle an exception with its traceback and chain; as text where it cannot be pickled."""
    text = text_of(error)
    buffer = io.BytesIO()
    try:
        _ExceptionPickler(buffer).dump(error)
        _Unpickler(buffer.getvalue(), {}, None).load()
    except Exception:  # noqa: BLE001  # the user's classes may raise anything; the failure is reported anyway
        return pickle.dumps((text, b""), PROTOCOL)
    return pickle.dumps((text, buffer.getvalue()), PROTOCOL)


def load_exception(data: bytes) -> BaseException:
    """The inverse of `dump_exception`; a RemoteError with the text where its class is not to be had."""
    text, pickled = pickle.loads(data)
    if pickled:
        try:
            error = _Unpickler(pickled, {}, None).load()
        except Exception:  # noqa: BLE001  # as above
            return RemoteError(text)
        if isinstance(error, BaseException):
            return error
    return RemoteError(text)


def is_import_failure(error: BaseException) -> bool:
    """Whether `loads` failed because a module, or a name in it, was not found (cause `import`)."""
    if isinstance(error, AttributeError):
        return any(words in str(error) for words in ("Can't get attribute", "has no attribute"))
    return isinstance(error, ImportError)


class _Reducers(dict[type, Any]):
    """Those of cloudpickle, then those that are registered; without a step through Python for each object."""

    __missing__ = copyreg.dispatch_table.__getitem__


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """By name what has one, promises and code as calls that the unpickler binds."""

    dispatch_table = _Reducers(cloudpickle.Pickler.dispatch_table.maps[0])

    def __init__(self, file: io.BytesIO, promise_type: type[PromiseLike] | None, inside_code: bool = False) -> None:
        super().__init__(file, PROTOCOL)
        self._promise_type = promise_type
        self._inside_code = inside_code
        self.promises: dict[PromiseKey, None] = {}
        self.codes: dict[str, bytes] = {}

    def reducer_override(self, thing: Any) -> Any:
        """Called for all but the plainest things, before pickle looks at them."""
        kind = type(thing)
        if kind is self._promise_type:
            self.promises[thing._jobtree_key_] = None
            return _promised, tuple(thing._jobtree_key_)
        if kind is CodeType:
            return self._as_blob(thing) or NotImplemented
        if kind is FunctionType or issubclass(kind, type):
            if thing.__module__ == "builtins":
                return super().reducer_override(thing)
            return _by_name(thing) or self._by_value(thing)
        if kind not in _NEVER_NAMED and isinstance(getattr(thing, "__qualname__", None), str):
            return _by_name(thing) or NotImplemented
        return NotImplemented

    def _by_value(self, thing: Any) -> Any:
        is_function = isinstance(thing, FunctionType)
        blob = None if is_function and thing.__closure__ is not None else self._as_blob(thing)
        if blob is not None:
            return blob
        reduced = super().reducer_override(thing)
        module = globals_module(thing) if is_function else None
        return reduced if module is None else _with_globals_of(module, reduced)

    def _as_blob(self, thing: object) -> tuple[object, ...] | None:
        """Move code out of this payload, unless a promise hides in it: blobs are shared, promises are not."""
        if self._inside_code:
            return None
        sha = _known_sha(thing)
        if sha is None:
            buffer = io.BytesIO()
            pickler = _Pickler(buffer, self._promise_type, inside_code=True)
            pickler.dump(thing)
            if pickler.promises:
                return None
            blob = buffer.getvalue()
            sha = sha256(blob).hexdigest()
            self.codes[sha] = blob
        return _coded, (sha,)


class _ExceptionPickler(_Pickler):
    """One whole, without code blobs, and with tracebacks."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, None, inside_code=True)

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, BaseException):
            return reduce_exception(thing)
        return super().reducer_override(thing)


class _Unpickler(pickle.Unpickler):
    """Binds the calls that stand for promises and for code."""

    def __init__(self, data: bytes, values: Mapping[PromiseKey, object], code: Callable[[str], bytes] | None) -> None:
        super().__init__(io.BytesIO(data))
        self._values = values
        self._code = code

    def find_class(self, module: str, name: str) -> Any:
        if module == _HERE:
            if name == "_promised":
                return self._promised
            if name == "_coded":
                return self._coded
        return super().find_class(module, name)

    def _promised(self, epoch: int, number: int, n: int) -> object:
        key = PromiseKey(epoch, number, n)
        if key not in self._values:
            raise _NotYet(key)
        return self._values[key]

    def _coded(self, sha: str) -> object:
        thing = _loaded_code(sha)
        if thing is None:
            if self._code is None:
                raise UsageError(f"code blob {sha[:12]} is not known here")
            thing = _Unpickler(self._code(sha), {}, None).load()
            _remember_code(sha, thing)
        return thing


class _NotYet(Exception):  # no error: the value is loaded then, and the taker once more
    def __init__(self, key: PromiseKey) -> None:
        super().__init__(f"the value of promise {key.epoch}.{key.number}:{key.n} was not given")
        self.key = key


def _promised(epoch: int, number: int, n: int) -> object:
    """What the bytes call for a promise; read by a plain unpickler, which knows no values."""
    raise UsageError(f"promise {epoch}.{number}:{n}: payloads with promises are read by jobtree only")


def _coded(sha: str) -> object:
    """What the bytes call for a code blob; read by a plain unpickler, which knows no blobs."""
    raise UsageError(f"code blob {sha}: payloads with code blobs are read by jobtree only")


def _by_name(thing: Any) -> Any:
    found = reference(thing)
    if found is None:
        return None
    module, qualname, wrappers = found
    if wrappers == 0 and module == thing.__module__:
        return str(qualname)
    return find, (module, qualname, wrappers)


class _GlobalsOf:
    """Pickles as a module's dictionary."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __reduce__(self) -> tuple[object, ...]:
        return globals_of, (self._module,)


def _with_globals_of(module: str, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a function that travels by value its module's own globals; cloudpickle copies those that it names.

    So what the module keeps is shared, what in it cannot be pickled does no harm, and payloads stay small.
    """
    make, (code, _, *rest), (state, slots), *others = reduced
    return make, (code, _GlobalsOf(module), *rest), (state, {**slots, "__globals__": {}}), *others


_NEVER_NAMED = frozenset({MethodType, BuiltinFunctionType, MethodWrapperType, WrapperDescriptorType, ModuleType, property})


# Code that was unpickled here: found by name when it is met in the next payload, and by identity when it is
# pickled again. By identity and not by equality, because equal code objects may have different bytes.
_shas: dict[int, tuple[ref[Any], str]] = {}
_codes: dict[str, ref[Any]] = {}
_kept: dict[str, object] = {}


def _known_sha(thing: object) -> str | None:
    entry = _shas.get(id(thing))
    return entry[1] if entry is not None and entry[0]() is thing else None


def _loaded_code(sha: str) -> object | None:
    reference_to = _codes.get(sha)
    return None if reference_to is None else reference_to()


def _remember_code(sha: str, thing: object) -> None:
    where = id(thing)

    def forget(_: object) -> None:
        _shas.pop(where, None)
        _codes.pop(sha, None)

    reference_to = ref(thing, forget)
    _shas[where] = (reference_to, sha)
    _codes[sha] = reference_to
    _kept[sha] = thing
    if len(_kept) > KEPT_CODES:
        del _kept[next(iter(_kept))]


def _explain(thing: object, promise_type: type[PromiseLike] | None, error: Exception) -> str:
    def failure(part: object) -> Exception | None:
        try:
            _Pickler(io.BytesIO(), promise_type).dump(part)
        except Exception as reason:  # noqa: BLE001  # __reduce__ and __getstate__ are the user's
            return reason
        return None

    limit = sys.getrecursionlimit()
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return f"{type(thing).__name__}: nested too deeply to be pickled (about {limit} levels)"
    path, reason = find_culprit(thing, error, failure)
    return f"{path}: {reason}"

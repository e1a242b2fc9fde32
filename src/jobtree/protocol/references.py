"""How code is named in payloads and found again: by module and qualified name, the user's script by an alias.

The script that the user runs is the module `__main__` in the user's process only. There, in the nursery and
in the runners the same module is also registered as ALIAS (as multiprocessing's spawn does with
`__mp_main__`), and this is the name that payloads use; so references resolve in all of them, and a restart
finds the script's newest code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

ALIAS = "__jobtree_main__"

#: How many decorators' `__wrapped__` are followed from the name to the function behind it.
MOST_WRAPPERS = 8


@dataclass(frozen=True)
class Script:
    """Where the user's code comes from: a file, and the module's name if it was run with `python -m`."""

    path: str
    module: str | None = None

    def to_wire(self) -> list[str | None]:
        """As msgpack knows it."""
        return [self.path, self.module]

    @classmethod
    def from_wire(cls, wire: Sequence[Any]) -> Script:
        """The inverse of `to_wire`."""
        return cls(*wire)


def register_script(module: ModuleType | None = None) -> Script | None:
    """Name the user's own script (`__main__`, or `module`) ALIAS here, and tell where it comes from.

    None where there is no file to come from (a REPL, a notebook, `python -c`): code from there travels by
    value.
    """
    main = sys.modules["__main__"] if module is None else module
    path = getattr(main, "__file__", None)
    if path is None or not os.path.isfile(path):
        return None
    sys.modules[ALIAS] = main
    spec = getattr(main, "__spec__", None)
    by_name = isinstance(spec, ModuleSpec) and spec.name != "__main__" and main.__name__ == "__main__"
    return Script(os.path.abspath(path), cast(ModuleSpec, spec).name if by_name else None)


def load_script(script: Script) -> ModuleType:
    """Import the user's script under ALIAS, so that its `__main__` guard is not passed; for runners.

    Whatever the script raises passes through; the registration is undone then.
    """
    if script.module is not None:
        code, package = _code_of_module(script.module), script.module.rpartition(".")[0]
    else:
        with open(script.path, "rb") as file:
            code, package = compile(file.read(), script.path, "exec"), None
    module = ModuleType(ALIAS)
    module.__file__ = script.path
    module.__package__ = package
    replaced = {name: sys.modules.get(name) for name in ("__main__", ALIAS)}
    # Pickles of the user's own, and multiprocessing, look for the script's classes in `__main__`.
    sys.modules["__main__"] = sys.modules[ALIAS] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        for name, before in replaced.items():
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
        raise
    return module


def reference(thing: object) -> tuple[str, str, int] | None:
    """The module, the qualified name and the number of wrappers to take off that lead to `thing`, if any.

    The module is ALIAS for the user's script. None for what has no name, for lambdas and what is defined in
    functions, and for the code of a `__main__` without a file.
    """
    module_name = getattr(thing, "__module__", None)
    qualname = getattr(thing, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(qualname, str):
        return None
    module = sys.modules.get(module_name)
    if module_name == "__main__":
        if module is None or sys.modules.get(ALIAS) is not module:
            return None
        module_name = ALIAS
    if module is not None and module.__dict__.get(qualname) is thing:
        return module_name, qualname, 0
    found = _look_up(module, qualname)
    for wrappers in range(MOST_WRAPPERS):
        if found is thing:
            return module_name, qualname, wrappers
        found = getattr(found, "__wrapped__", None)
        if found is None:
            return None
    return None


def find(module_name: str, qualname: str, wrappers: int = 0) -> object:
    """What a reference names, imported if need be; raises ImportError or AttributeError."""
    if module_name not in sys.modules:
        if module_name == ALIAS:
            raise ImportError(f"{qualname} is defined in the user's script, which is not loaded here")
        import_module(module_name)
    found: Any = sys.modules[module_name]
    for part in qualname.split("."):
        found = getattr(found, part)
    for _ in range(wrappers):
        found = found.__wrapped__
    return found


def globals_module(function: FunctionType) -> str | None:
    """The importable module, as a reference names it, whose globals are those of `function`."""
    module = sys.modules.get(function.__module__) if function.__module__ is not None else None
    if module is None or function.__globals__ is not module.__dict__:
        return None
    if module is sys.modules.get(ALIAS):
        return ALIAS
    return module.__name__ if getattr(module, "__spec__", None) is not None else None


def globals_of(module_name: str) -> dict[str, Any]:
    """The globals of a module that `globals_module` named, imported if need be."""
    import_module(module_name)
    return sys.modules[module_name].__dict__


def _look_up(module: ModuleType | None, qualname: str) -> object | None:
    found: object | None = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


def _code_of_module(name: str) -> CodeType:
    spec = find_spec(name)
    code = cast(Any, spec.loader).get_code(name) if spec is not None and spec.loader is not None else None
    if code is None:
        raise ImportError(f"no code was found for module {name}, with which the run was started", name=name)
    return cast(CodeType, code)

"""Command lines from annotations: the arguments of a function or a target class as those of a script."""

from __future__ import annotations

import argparse
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._function import FunctionTarget, call, wants_target
from ._target import Target
from .errors import UsageError


def parser_for(target: Any) -> argparse.ArgumentParser:
    """A parser with an argument for each parameter: positional without a default, an option with one."""
    function = _signature_of(target)
    parser = argparse.ArgumentParser(description=inspect.getdoc(target) or None)
    if function is None:
        return parser
    hints = _hints(function)
    for parameter in _parameters(target, function):
        _add(parser, parameter, hints.get(parameter.name, str))
    return parser


def make_root(target: Any, arguments: argparse.Namespace) -> Target[Any]:
    """The root: ``target`` itself, or made from it with the arguments that were parsed."""
    function = _signature_of(target)
    if function is None:
        return typing.cast("Target[Any]", target)
    given: dict[str, Any] = {}
    rest: list[Any] = []
    for parameter in _parameters(target, function):
        if not hasattr(arguments, parameter.name):
            continue
        value = getattr(arguments, parameter.name)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            rest = list(value)
        else:
            given[parameter.name] = value
    if rest:
        bound = [given.pop(p.name) for p in _parameters(target, function) if p.name in given and _is_positional(p)]
        return _call(target, [*bound, *rest], given)
    return _call(target, [], given)


def _call(target: Any, positional: list[Any], keywords: dict[str, Any]) -> Target[Any]:
    made = target(*positional, **keywords) if _makes_targets(target) else call(target, *positional, **keywords)
    return typing.cast("Target[Any]", made)


def _makes_targets(target: Any) -> bool:
    return isinstance(target, (type, FunctionTarget))


def _signature_of(target: Any) -> Callable[..., Any] | None:
    """What has the parameters; None for a target that is made already."""
    if isinstance(target, Target):
        return None
    if isinstance(target, type):
        if not issubclass(target, Target):
            raise UsageError(f"jobtree.main takes a target or a function, and {target.__name__} is neither")
        return typing.cast("Callable[..., Any]", target.__init__)
    if isinstance(target, FunctionTarget):
        return target.fn
    if callable(target):
        return typing.cast("Callable[..., Any]", target)
    raise UsageError(f"jobtree.main takes a target or a function, not {target!r}")


def _parameters(target: Any, function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    if isinstance(target, type) or (isinstance(target, FunctionTarget) and wants_target(function)):
        parameters = parameters[1:]
    return [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError as error:
        raise UsageError(f"the annotations of {function.__qualname__} can't be read: {error}") from error


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, hint: Any) -> None:
    convert = _converter(hint)
    dashed = f"--{parameter.name.replace('_', '-')}"
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        parser.add_argument(parameter.name, nargs="*", type=convert)
    elif hint is bool:
        default = parameter.default if parameter.default is not inspect.Parameter.empty else False
        parser.add_argument(dashed, dest=parameter.name, action=argparse.BooleanOptionalAction, default=default)
    elif parameter.default is inspect.Parameter.empty:
        keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if keyword_only:
            parser.add_argument(dashed, dest=parameter.name, type=convert, required=True)
        else:
            parser.add_argument(parameter.name, type=convert)
    else:
        text = "" if parameter.default is None else f"default {parameter.default}"
        parser.add_argument(dashed, dest=parameter.name, type=convert, default=parameter.default, help=text)


def _converter(hint: Any) -> Callable[[str], Any]:
    """What makes a value of a word: the annotation, the first type of a union, or the word itself."""
    for candidate in (hint, *typing.get_args(hint)):
        if candidate in (int, float, str, Path):
            return typing.cast("Callable[[str], Any]", candidate)
    return str

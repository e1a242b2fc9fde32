"""What a launcher can be told: the fields of its `Options`, with the words and readers that make options of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from typing import Any, NamedTuple

#: Fields of any launcher's `Options` that have an option of their own for all launchers: --queue, --account, --launcher-args.
COMMON = ("queue", "account", "args")


class Setting(NamedTuple):
    """One setting: its name, default, help, what stands for its value in a help text, and the words it may have (or none)."""

    name: str
    default: Any
    help: str
    metavar: str
    choices: tuple[str, ...]


def setting(default: Any, *, help: str, metavar: str = "WORD", choices: tuple[str, ...] = ()) -> Any:  # noqa: A002
    """A field of a launcher's `Options` that says more of itself than its name."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "choices": choices})


def settings_of(options: type[Any]) -> list[Setting]:
    """The settings of a launcher beside the common ones, in their order; `options` is its dataclass."""
    return [_described(one) for one in fields(options) if one.name not in COMMON]


def takes(options: type[Any], name: str) -> bool:
    """Whether a launcher has the setting `name`."""
    return any(one.name == name for one in fields(options))


def _described(one: Field[Any]) -> Setting:
    default = one.default if one.default is not MISSING else None
    told = one.metadata
    choices = tuple(told.get("choices", ()))
    metavar = "|".join(choices) if choices else str(told.get("metavar", "VALUE"))
    return Setting(one.name, default, str(told.get("help", "")), metavar, choices)


def reader_of(one: Setting) -> Callable[[str], Any]:
    """From a word of a command line to the setting's type, which is that of its default (None: a string); raises ValueError."""
    kind: type[Any] = type(one.default) if one.default is not None else str

    def read(word: str) -> Any:
        if one.choices and word not in one.choices:
            raise ValueError(f"is not one of {', '.join(one.choices)}")
        if kind is bool:
            return _truth(word)
        if kind is tuple:
            return tuple(word.split(","))
        try:
            return kind(word)
        except ValueError:
            raise ValueError("is not a number") from None

    return read


def _truth(word: str) -> bool:
    truths = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if word.lower() not in truths:
        raise ValueError("is neither true nor false")
    return truths[word.lower()]

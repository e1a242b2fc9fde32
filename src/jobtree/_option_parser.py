"""The table of options in an argparse parser: groups, second names, old names, beside the script's own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from jobtree._option_values import DEST, Row
from jobtree.errors import UsageError

Parser = argparse.ArgumentParser | argparse._ArgumentGroup

#: Old flags that stand for a value of an option.
OLD_FLAGS = {"--logOff": "OFF", "--logInfo": "INFO", "--logDebug": "DEBUG"}
#: Old options that are accepted and have no effect; True: a value follows.
WITHOUT_EFFECT = {"--stats": False, "--jobTime": True, "--rescueJobsFrequency": True}


def add_rows(parser: Parser, prefix: str, rows: Mapping[str, Row]) -> None:
    """Add every option of the table, and without a prefix the old names too."""
    groups: dict[str, Parser] = {}
    for name, row in rows.items():
        if row.group not in groups:
            groups[row.group] = _group(parser, row.group)
        _add_row(groups[row.group], name, row, prefix)
    if not prefix:
        _add_old_flags(parser)


class _NoEffect(argparse.Action):
    """Accepts an old option and leaves no trace in the namespace."""

    def __call__(self, *_: Any) -> None:
        pass


def _group(parser: Parser, title: str) -> Parser:
    if isinstance(parser, argparse.ArgumentParser):
        return parser.add_argument_group(f"jobtree: {title}")
    return parser  # a group of the script's takes them all


def _add_row(group: Parser, name: str, row: Row, prefix: str) -> None:
    """The option under its own name where that is free; all its other names are kept out of the help."""
    word = name.replace("_", "-")
    names = _free(group, [f"--{prefix}{word}", f"--jobtree-{word}"])
    if not names:
        return  # options were added twice: the first ones stay
    more = _free(group, names[1:] + ([] if prefix or row.old is None else [row.old]))
    _add_option(group, name, row, names[:1], row.help)
    if more:
        _add_option(group, name, row, more, argparse.SUPPRESS)
    if row.is_flag:
        no = _free(group, [f"--{prefix}no-{word}", f"--jobtree-no-{word}"])
        group.add_argument(*no, dest=DEST + name, action="store_false", default=None, help=argparse.SUPPRESS)


def _add_option(group: Parser, name: str, row: Row, names: list[str], words: str) -> None:
    if row.is_repeatable:
        group.add_argument(*names, dest=DEST + name, action="append", type=_reader(row), metavar=row.metavar, help=words)
    elif row.is_flag:
        group.add_argument(*names, dest=DEST + name, action="store_true", default=None, help=words)
    else:
        dest, reader = DEST + name, _reader(row)
        group.add_argument(*names, dest=dest, type=reader, metavar=row.metavar, default=None, help=words)


def _add_old_flags(parser: Parser) -> None:
    for old, level in OLD_FLAGS.items():
        for name in _free(parser, [old]):
            parser.add_argument(
                name,
                dest=DEST + "log_level",
                action="store_const",
                const=level,
                default=None,
                help=argparse.SUPPRESS,
            )
    for old, has_value in WITHOUT_EFFECT.items():
        for name in _free(parser, [old]):
            parser.add_argument(
                name,
                dest=argparse.SUPPRESS,
                action=_NoEffect,
                nargs=None if has_value else 0,
                help=argparse.SUPPRESS,
            )


def _free(parser: Parser, names: list[str]) -> list[str]:
    return [name for name in names if name not in parser._option_string_actions]


def _reader(row: Row) -> Callable[[str], Any]:
    """The row's reader as argparse wants it: the error names the option already."""

    def read(word: str) -> Any:
        try:
            return row.parse(word, "")
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from error

    return read

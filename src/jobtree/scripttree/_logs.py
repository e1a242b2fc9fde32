"""Logging as old scripts know it: the root logger with plain lines on stderr, its four levels, and the options that set them."""

from __future__ import annotations

import logging
import logging.handlers
import optparse
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

LEVELS = {"OFF": logging.CRITICAL + 1, "CRITICAL": logging.CRITICAL, "INFO": logging.INFO, "DEBUG": logging.DEBUG}
#: A rotating log file is begun anew at this size, and one old one is kept (bytes).
ROTATED_BYTES = 1_000_000


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever `sys.stderr` is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        pass


def _default_logger() -> logging.Logger:
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_Stderr())
        root.setLevel(logging.CRITICAL)
    return root


logger = _default_logger()
_level = "CRITICAL"
_files: set[str] = set()


def getLogLevelString() -> str:
    """The level that was set last: OFF, CRITICAL, INFO or DEBUG."""
    return _level


def setLogLevel(logLevel: str) -> None:
    """Set the level, in any case; AssertionError for one that is not of the four."""
    global _level
    level = str(logLevel).upper()
    assert level in LEVELS, f"the log level is one of {', '.join(LEVELS)}, not {logLevel!r}"
    _level = level
    logger.setLevel(LEVELS[level])


def addLoggingFileHandler(fileName: str, rotatingLogging: bool = False) -> logging.Handler | None:
    """Append what is logged to a file as well; once for each file."""
    name = os.path.abspath(fileName)
    if name in _files:
        return None
    handler: logging.Handler = (
        logging.handlers.RotatingFileHandler(name, maxBytes=ROTATED_BYTES, backupCount=1)
        if rotatingLogging
        else logging.FileHandler(name)
    )
    _files.add(name)
    logger.addHandler(handler)
    return handler


def logFile(fileName: str, printFunction: Callable[[str], object] = logger.info) -> None:
    """Pass each line of a file to a function, behind the file's name."""
    printFunction(f"Reporting file: {fileName}")
    with open(fileName, errors="replace") as lines:
        for line in lines:
            printFunction(f"{os.path.basename(fileName)}:\t{line.rstrip(chr(10))}")


def setLoggingFromOptions(options: Any) -> None:
    """Set level and file from options as `addLoggingOptions` has them; the flags win over the level."""
    setLogLevel(level_of(options))
    logger.info("Logging set at level: %s", _level)
    name = getattr(options, "logFile", None)
    if name is not None:
        addLoggingFileHandler(name, bool(getattr(options, "logRotating", False)))
    logger.info("Logging to file: %s", name)


def level_of(options: Any) -> str:
    """The level that such options mean."""
    for flag, level in (("logOff", "OFF"), ("logInfo", "INFO"), ("logDebug", "DEBUG")):
        if getattr(options, flag, False):
            return level
    named = getattr(options, "logLevel", None)
    return _level if named is None else str(named)


def addLoggingOptions(parser: Any) -> None:
    """Add the logging options to a parser of optparse or argparse, as far as it does not have them; else RuntimeError."""
    if has_option(parser, "--logLevel"):
        return
    add = group_adder(parser)("Logging options", "Options that control logging")
    add("--logOff", dest="logOff", action="store_true", default=False, help="Turn off logging. (default is CRITICAL)")
    add(
        "--logInfo",
        dest="logInfo",
        action="store_true",
        default=False,
        help="Turn on logging at INFO level. (default is CRITICAL)",
    )
    add(
        "--logDebug", dest="logDebug", action="store_true", default=False,
        help="Turn on logging at DEBUG level. (default is CRITICAL)",
    )  # fmt: skip
    add(
        "--logLevel",
        dest="logLevel",
        default="CRITICAL",
        help="Log at this level: OFF, CRITICAL, INFO or DEBUG. (default is CRITICAL)",
    )
    add("--logFile", dest="logFile", default=None, help="A file to log to as well")
    add(
        "--rotatingLogging", dest="logRotating", action="store_true", default=False,
        help="Begin the log file anew when it gets too big",
    )  # fmt: skip


def group_adder(parser: Any) -> Callable[[str, str], Callable[..., Any]]:
    """A function that opens a titled group in the parser and gives the group's own function to add an option."""
    if isinstance(parser, optparse.OptionParser):

        def add_group(title: str, words: str) -> Callable[..., Any]:
            group = optparse.OptionGroup(parser, title, words)
            parser.add_option_group(group)
            return group.add_option

        return add_group
    if isinstance(parser, optparse.OptionContainer):
        return lambda title, words: parser.add_option
    if isinstance(parser, ArgumentParser):
        return lambda title, words: parser.add_argument_group(title, words).add_argument
    raise RuntimeError(
        f"options can be added to an optparse.OptionParser or an argparse.ArgumentParser, not to a {type(parser).__name__}"
    )


def has_option(parser: Any, name: str) -> bool:
    """Whether a parser of either kind has an option of this name."""
    if isinstance(parser, optparse.OptionContainer):
        return parser.has_option(name)
    return isinstance(parser, ArgumentParser) and name in parser._option_string_actions

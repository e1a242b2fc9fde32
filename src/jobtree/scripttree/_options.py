"""The options of old scripts: one table, put into parsers of optparse and argparse, and read as options of today.

No option has a type: what was given stays a string until the run begins, and the defaults are numbers, None or a string.
"""

from __future__ import annotations

import math
import optparse
import sys
from dataclasses import replace
from typing import Any, NamedTuple

from jobtree.errors import UsageError
from jobtree.options import Options
from jobtree.resources import parse_size

from ._logs import addLoggingOptions, group_adder, level_of
from ._terms import Terms

#: A limit of time that is longer than this means none (seconds).
NO_DURATION = 10_000_000
#: The names of batch systems, in small letters, as the launchers of today.
BATCH_SYSTEMS = {
    "singlemachine": "local", "single_machine": "local", "acidtest": "local", "acid_test": "local", "local": "local",
    "parasol": "parasol", "gridengine": "gridengine", "lsf": "lsf", "slurm": "slurm",
}  # fmt: skip
_ACID = ("acidtest", "acid_test")
_UNLIMITED = sys.maxsize
#: Two batch systems are two further pools, which targets name; the run's own pool is then only there.
SMALL, BIG = "small", "big"
_IDLE_CPUS, _IDLE_BYTES = 0.01, 1 << 30
#: Where nothing is held to its memory: what all targets of one machine may have together, and what that machine has (bytes).
_SHARED_BYTES, _ALL_BYTES = 1 << 58, 1 << 60


class Row(NamedTuple):
    """An option: without a metavar it is a flag."""

    name: str
    default: Any
    help: str
    dest: str = ""
    is_flag: bool = False


GROUPS: list[tuple[str, str, list[Row]]] = [
    ("jobTree core options", "Where the jobTree is, and whether statistics are taken.", [
        Row("jobTree", "./jobTree", "Directory of the run, which all nodes see; one that exists is gone on with."),
        Row("stats", False, "Record statistics. They are always recorded now.", is_flag=True),
    ]),
    ("jobTree options for specifying the batch system", "The batch system, and what it is told.", [
        Row("batchSystem", "singleMachine", "One of singleMachine, parasol, gridEngine, lsf, slurm and acidTest."),
        Row("maxThreads", 4, "How many targets run at a time in singleMachine mode."),
        Row("parasolCommand", "parasol", "The command of parasol's client."),
    ]),
    ("jobTree options for cpu/memory requirements", "What targets ask for that do not say, and the most of it at a time.", [
        Row("defaultMemory", 1 << 31, "Bytes of memory of a target that does not say."),
        Row("defaultCpu", 1, "Cpus of a target that does not say."),
        Row("maxCpus", _UNLIMITED, "The most cpus at a time."),
        Row("maxMemory", _UNLIMITED, "The most bytes of memory at a time."),
    ]),
    ("jobTree options for rescuing/killing/restarting jobs", "What becomes of targets that fail, run too long or get lost.", [
        Row("retryCount", 0, "How often a failing target is tried again."),
        Row("maxJobDuration", str(_UNLIMITED), "Seconds after which a running target is killed."),
        Row("rescueJobsFrequency", None, "Has no effect: lost targets are noticed by themselves."),
    ]),
    ("jobTree big batch system options", "A second batch system for the targets that ask for much.", [
        Row("bigBatchSystem", None, "The second batch system; names as for --batchSystem."),
        Row("bigMemoryThreshold", _UNLIMITED, "Targets that ask for more bytes of memory go there."),
        Row("bigCpuThreshold", _UNLIMITED, "Targets that ask for more cpus go there."),
        Row("bigMaxCpus", _UNLIMITED, "The most cpus at a time there."),
        Row("bigMaxMemory", _UNLIMITED, "The most bytes of memory at a time there."),
    ]),
    ("jobTree miscellaneous options", "Further options.", [
        Row("jobTime", 30, "Has no effect but on --maxJobDuration, which is ten times this at least (seconds)."),
        Row("maxLogFileSize", 50120, "How many bytes of a target's output are kept, the last ones."),
        Row("command", None, "The first job is this shell command; for jobTreeRun."),
    ]),
]  # fmt: skip
REQUIRED = ("logLevel", "command", "batchSystem", "jobTree")


def add_options(parser: Any) -> None:
    """Add logging and jobTree options in seven groups; RuntimeError for what is no parser of optparse or argparse."""
    addLoggingOptions(parser)
    add_group = group_adder(parser)
    shown = "%default" if isinstance(parser, optparse.OptionContainer) else "%(default)s"
    for title, words, rows in GROUPS:
        add = add_group(title, words)
        for row in rows:
            how = {"action": "store_true"} if row.is_flag else {}
            add(f"--{row.name}", dest=row.name, default=row.default, help=f"{row.help} default={shown}", **how)


def default_options() -> Any:
    """All options with their defaults."""
    parser = optparse.OptionParser()
    add_options(parser)
    return parser.parse_args([])[0]


def translate(old: Any) -> tuple[Options, Terms]:
    """The options of today that say the same, and the terms on which targets are run; UsageError for what makes no sense.

    What is left at its default says nothing, so that files and JOBTREE_* variables are heard.
    """
    name = str(old.batchSystem).lower()
    launcher = _launcher(name)
    given: dict[str, Any] = {"tree": old.jobTree, "log_level": level_of(old).upper()}
    if launcher != "local" or name in _ACID:
        given["launcher"] = launcher
    for word, key in (("defaultMemory", "default_memory"), ("defaultCpu", "default_cpus"), ("maxLogFileSize", "max_log_size")):
        if _is_given(old, word):
            given[key] = _amount(old, word, key != "default_cpus")
    if _is_given(old, "retryCount"):
        given["retries"] = int(_amount(old, "retryCount"))
    duration = _amount(old, "maxJobDuration")
    if duration < NO_DURATION:
        given["time_limit"] = max(duration, 10 * _amount(old, "jobTime"))
    options = Options.merged(None, **given)
    terms = _terms(old, options, name in _ACID)
    said = options.origins.keys() - given.keys()
    workers = {word: value for word, value in _of_launcher(old, options, terms).items() if word not in said}
    return Options.merged(None, **{**given, **workers}), terms


def _terms(old: Any, options: Options, half_die: bool) -> Terms:
    two = getattr(old, "bigBatchSystem", None) is not None
    small = _terms_of(old, options, options.launcher, ("maxCpus", "maxMemory"), half_die, SMALL if two else None)
    if not two:
        return small
    name = str(old.bigBatchSystem).lower()
    big = _terms_of(old, options, _launcher(name), ("bigMaxCpus", "bigMaxMemory"), name in _ACID, BIG)
    thresholds = (_amount(old, "bigMemoryThreshold", size=True), _amount(old, "bigCpuThreshold"))
    return replace(small, big=big, big_memory=thresholds[0], big_cpus=thresholds[1])


def _terms_of(old: Any, options: Options, launcher: str, limits: tuple[str, str], half_die: bool, pool: str | None) -> Terms:
    """Those of one batch system."""
    cpus, memory = _limit(old, limits[0]), _limit(old, limits[1], size=True)
    threads = _threads(old, launcher, cpus)
    share = _SHARED_BYTES // threads if threads and pool is not None else None
    said = (options.default_cpus, float(options.default_memory))
    return Terms(threads, cpus, memory, *said, half_die, options.log_level, pool, share)


def _threads(old: Any, launcher: str, cpus: float | None) -> int:
    """How many targets run at a time on one machine; 0 for a cluster."""
    return max(1, int(min(_amount(old, "maxThreads"), cpus or math.inf))) if launcher == "local" else 0


def _of_launcher(old: Any, options: Options, terms: Terms) -> dict[str, Any]:
    """What the workers are to be, where nobody has said it in the words of today."""
    found: dict[str, Any] = {}
    if terms.threads:
        # Each thread is a cpu, and memory is no object: that is what one machine was to old scripts.
        found = {"workers": 1, "worker_cpus": terms.threads, "worker_memory": _ALL_BYTES}
        found["default_memory"] = _SHARED_BYTES // terms.threads
        found["default_cpus"] = 1.0
    else:
        found = {"max_cpus": terms.max_cpus, "max_memory": None if terms.max_memory is None else int(terms.max_memory)}
        if options.launcher == "parasol" and _is_given(old, "parasolCommand"):
            found["parasol_command"] = old.parasolCommand
    if terms.big is not None:
        big = _launcher(str(old.bigBatchSystem).lower())
        found["pool"] = [_as_pool(options.launcher, terms), _as_pool(big, terms.big)]
        if terms.threads:
            found.update(worker_cpus=_IDLE_CPUS, worker_memory=_IDLE_BYTES)
    return {name: value for name, value in found.items() if value is not None}


def _launcher(name: str) -> str:
    if name not in BATCH_SYSTEMS:
        raise RuntimeError(
            f"Unrecognised batch system: {name}; there are singleMachine, parasol, gridEngine, lsf, slurm and acidTest"
        )
    return BATCH_SYSTEMS[name]


def _as_pool(launcher: str, terms: Terms) -> str:
    """One of two batch systems as a pool of today."""
    if terms.threads:
        return f"name={terms.pool},launcher={launcher},cpus={terms.threads},memory={_ALL_BYTES},max=1"
    most = "" if terms.max_cpus is None else f",max={max(1, int(terms.max_cpus / terms.default_cpus))}"
    return f"name={terms.pool},launcher={launcher}{most}"


def _is_given(old: Any, word: str) -> bool:
    """Whether an option differs from its default."""
    return hasattr(old, word) and str(getattr(old, word)) != str(_DEFAULTS[word])


def _limit(old: Any, word: str, size: bool = False) -> float | None:
    amount = _amount(old, word, size)
    if not amount:
        raise UsageError(f"--{word}: must be more than 0")
    return None if amount >= _UNLIMITED else amount


def _amount(old: Any, word: str, size: bool = False) -> float:
    """The number that an option holds, or its text; sizes may have a unit."""
    value = getattr(old, word, _DEFAULTS[word])
    try:
        number = float(value)
    except (TypeError, ValueError):
        if size:
            return parse_size(value, f"--{word}")
        raise UsageError(f"--{word}: {value!r} is not a number") from None
    if not number >= 0:
        raise UsageError(f"--{word}: {value!r} is not a number of 0 or more")
    return number


_DEFAULTS: dict[str, Any] = {row.name: row.default for _, _, rows in GROUPS for row in rows}

"""All options of a run: one row each, and the layers that their values come from.

A field of `Options` is the whole row of an option: its name (with dashes on the command line and in files, in
capitals as JOBTREE_NAME), type, group, default, help and old jobTree name. The last layer wins: the default,
/etc/jobtree.toml, ~/.config/jobtree.toml, ./jobtree.toml, the --config file, JOBTREE_* variables, and what is
given on the command line or as a keyword. `origins` says of each value where it came from. A restarted tree
takes what is *given* (command line, keywords, --config), and for the rest what it remembers.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from jobtree import _option_values as parse
from jobtree._option_values import DEST, Ports, Row, Workers
from jobtree.errors import UsageError

VARIABLE = "JOBTREE_"
SITE_CONFIG = Path("/etc/jobtree.toml")

COMMAND_LINE = "command line"
KEYWORD = "keyword"
TREE = "the tree"

RUN, WORKERS, TARGETS, OUTPUT, NETWORK = "the run", "workers", "targets", "output", "network"

PROGRESS = ("auto", "plain", "json", "none")

#: What `jobtree run` was given for the script that it runs, and whether that has asked for options; what the script says wins.
ambient: argparse.Namespace | None = None
ambient_used = False

SomeOptions = TypeVar("SomeOptions", bound="Options")
Values: TypeAlias = dict[str, tuple[Any, str]]  # name to value and origin


def row(
    group: str,
    parse: Callable[[Any, str], Any],
    metavar: str,
    default: Any,
    *,
    help: str,  # noqa: A002  # argparse's word
    old: str | None = None,
    in_layers: bool = True,
    remembered: bool = True,
) -> Any:
    """A field of Options, with its Row as metadata."""
    made = Row(group, parse, metavar, help, old, in_layers, remembered)
    return field(default=default, metadata={"row": made})


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run. Values may be given as on a command line: `Options(default_memory="4G")`.

    Sizes are in bytes, times in seconds. Raises UsageError for a value that makes no sense.
    """

    # fmt: off
    tree: Path = row(RUN, parse.path, "DIR", Path("jobTree"), old="--jobTree", remembered=False,
        help="directory of the run, seen by all nodes (default ./jobTree)")
    fresh: bool = row(RUN, parse.flag, "", False, in_layers=False, remembered=False,
        help="move an existing tree to DIR.1 and begin anew")
    config: Path | None = row(RUN, parse.path, "FILE", None, in_layers=False, remembered=False,
        help="TOML file with options")
    detach: bool = row(RUN, parse.flag, "", False, in_layers=False, remembered=False,
        help="go on after log-out; `jobtree attach` shows its console")
    take_over: bool = row(RUN, parse.flag, "", False, in_layers=False, remembered=False,
        help="take the tree from a master that hangs")
    accept_loss: bool = row(RUN, parse.flag, "", False, in_layers=False, remembered=False,
        help="go on though the journal has lost something; what is not known to be done runs again")
    dry_run: bool = row(RUN, parse.flag, "", False, in_layers=False, remembered=False,
        help="print what would be submitted, and do nothing")
    fail_fast: bool = row(RUN, parse.flag, "", False,
        help="stop at the first failed target")
    keep_going: bool = row(RUN, parse.flag, "", False,
        help="go on to the root's follow-on when children of the root fail")

    launcher: str = row(WORKERS, parse.launcher, "NAME", "local", old="--batchSystem",
        help="how workers are started (default local)")
    workers: Workers | None = row(WORKERS, parse.workers, "N|MIN:MAX", None,
        help="how many workers (default 1 here, 0:100 on a cluster, by load)")
    pool: tuple[str, ...] = row(WORKERS, parse.pools, "NAME=VALUE,...", (),
        help="further workers, such as name=big,memory=256G,max=4; may be repeated")
    queue: str | None = row(WORKERS, parse.text, "NAME", None,
        help="queue or partition of the batch system")
    account: str | None = row(WORKERS, parse.text, "NAME", None,
        help="account or project that the batch system books on")
    launcher_args: tuple[str, ...] = row(WORKERS, parse.words, "WORDS", (),
        help="further words for the submit command; may be repeated")
    worker_cpus: float | None = row(WORKERS, parse.cpus, "N", None, old="--maxThreads",
        help="cpus of a worker (default: workers share all that we may use)")
    worker_memory: int | None = row(WORKERS, parse.size, "SIZE", None,
        help="memory of a worker (default: workers share all that we may use)")
    worker_time: float | None = row(WORKERS, parse.time, "TIME", None,
        help="how long a batch system may let a worker run (default: the queue's limit, or 4h)")
    worker_idle: float = row(WORKERS, parse.time, "TIME", 60.0,
        help="how long a worker on a cluster may have nothing to do (default 60s)")
    worker_patience: float = row(WORKERS, parse.time, "TIME", 600.0,
        help="how long a worker looks for a lost master (default 10m)")
    max_cpus: float | None = row(WORKERS, parse.cpus, "N", None, old="--maxCpus",
        help="never hold more cpus than this at a time")
    max_memory: int | None = row(WORKERS, parse.size, "SIZE", None, old="--maxMemory",
        help="never hold more memory than this at a time")
    adopt_grace: float = row(WORKERS, parse.time, "TIME", 60.0,
        help="how long a restarted master waits for the workers of the last one (default 60s)")
    lost_after: float = row(WORKERS, parse.silence, "TIME", 60.0,
        help="silence after which a worker counts as lost (default 60s)")
    pin: bool = row(WORKERS, parse.flag, "", False,
        help="pin each target to cores of its own")
    scratch_dir: Path | None = row(WORKERS, parse.path, "DIR", None,
        help="where local temp dirs are made (default $TMPDIR)")

    default_cpus: float = row(TARGETS, parse.cpus, "N", 1.0, old="--defaultCpu",
        help="cpus of targets that do not say (default 1)")
    default_memory: int = row(TARGETS, parse.size, "SIZE", 2 << 30, old="--defaultMemory",
        help="memory of targets that do not say (default 2G)")
    resources: dict[str, float] | None = row(TARGETS, parse.amounts, "NAME=N,...", None,
        help="what all targets share beside workers, as licence=2")
    retries: int = row(TARGETS, parse.count, "N", 0, old="--retryCount",
        help="further attempts of a target that fails (default 0)")
    oom_retries: int = row(TARGETS, parse.count, "N", 2,
        help="further attempts of one that ran out of memory, each with twice as much (default 2)")
    time_limit: float | None = row(TARGETS, parse.time, "TIME", None, old="--maxJobDuration",
        help="end a target that runs longer than this")
    target_time: float = row(TARGETS, parse.time, "TIME", 0.2,
        help="how much work of small targets a worker gets ahead (default 0.2s)")

    progress: str = row(OUTPUT, parse.choice(*PROGRESS), "HOW", "auto", remembered=False,
        help="auto, plain, json or none (default auto)")
    log_level: str = row(OUTPUT, parse.level, "LEVEL", "INFO", old="--logLevel",
        help="OFF, DEBUG, INFO, WARNING, ERROR or CRITICAL (default INFO)")
    log_file: Path | None = row(OUTPUT, parse.path, "FILE", None, old="--logFile",
        help="append the master's log to this file as well")
    max_log_size: int = row(OUTPUT, parse.size, "SIZE", 50 << 10, old="--maxLogFileSize",
        help="how much of a target's output is kept, the end of it (default 50K)")

    bind: str | None = row(NETWORK, parse.text, "ADDRESS", None,
        help="address the master listens on (default: this machine only; all, on a cluster)")
    advertise: str | None = row(NETWORK, parse.text, "HOST,...", None,
        help="names or addresses that workers are to find the master by (default: all it has)")
    port_range: Ports | None = row(NETWORK, parse.ports, "FIRST:LAST", None,
        help="ports to choose from (default: any free one)")
    # fmt: on

    #: What was said to single launchers, such as gridengine_pe or slurm_qos.
    launcher_settings: Mapping[str, Any] = field(default_factory=dict)
    #: Where each value came from, of those that are not defaults.
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    #: Names of what was said for this very run; it wins over what the tree remembers.
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, row in ROWS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, row.parse(value, name))

    @classmethod
    def merged(cls, base: argparse.Namespace | Options | None = None, /, **keywords: Any) -> Options:
        """All layers under `base` (from `add_options`, or made by hand) and `keywords`, which win.

        A keyword that is None counts as not given. Raises UsageError, one line that names the place.
        """
        for name in keywords:
            if row_of(name) is None:
                raise UsageError(f"there is no option {name!r}{_hint(name)}")
        given = {**_ambient(), **_given_in(base)}
        given |= {name: (value, KEYWORD) for name, value in keywords.items() if value is not None}
        values: Values = {}
        for path in config_files():
            values |= _from_file(path)
        named = parse.path(given["config"][0], "config") if "config" in given else None
        if named is not None:
            values |= _from_file(named, must_exist=True)
        values |= _from_variables(os.environ)
        values |= given
        said_now = {COMMAND_LINE, KEYWORD, str(named)}
        return _made(cls, values, frozenset(name for name, (_, place) in values.items() if place in said_now))

    @classmethod
    def from_namespace(cls, namespace: argparse.Namespace) -> Options:
        """The options of parsed arguments, over the other layers."""
        return cls.merged(namespace)

    @classmethod
    def from_keywords(cls, **keywords: Any) -> Options:
        """The options given as keywords, over the other layers."""
        return cls.merged(None, **keywords)

    def restarting(self, remembered: Options) -> Options:
        """For a restart: what is given now wins, the others are the tree's (`remembered`)."""
        now = {name for name, row in ROWS.items() if name in self.given or not row.remembered}
        changes = {name: getattr(self, name) for name in now}
        told = {name: value for name, value in self.launcher_settings.items() if name in self.given}
        changes["launcher_settings"] = {**remembered.launcher_settings, **told}
        origins = {name: place for name, place in remembered.origins.items() if name not in now}
        origins |= {name: place for name, place in self.origins.items() if name in now}
        return replace(remembered, **changes, origins=origins, given=self.given)

    def to_wire(self) -> dict[str, Any]:
        """What a tree remembers: all but the defaults, in words of msgpack; paths absolute."""
        kept = {name: getattr(self, name) for name, row in ROWS.items() if row.remembered}
        changed = {name: value for name, value in kept.items() if value != DEFAULTS[name]}
        return {name: _plain(value) for name, value in {**changed, **self.launcher_settings}.items()}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """The inverse of `to_wire`; each value's origin is the tree, and none counts as given now."""
        for name in wire:
            if row_of(name) is None:
                raise UsageError(f"the tree remembers an option {name!r} that this version does not have")
        return _made(cls, {name: (value, TREE) for name, value in wire.items()}, frozenset())


#: The table: name to row, in the order of the help.
ROWS: dict[str, Row] = {f.name: f.metadata["row"] for f in fields(Options) if "row" in f.metadata}
DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Options) if f.name in ROWS}


def add_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup, prefix: str = "") -> None:
    """Add jobtree's options to an argument parser, or to one of its groups.

    Each option is there as --NAME and as --jobtree-NAME; a name that the parser has already stays the
    script's, so call this last. `prefix` stands before all names ("jt-" makes --jt-workers). Values are kept
    in the namespace as `jobtree_NAME`, None where not given; hand the namespace to `jobtree.run`.
    """
    from jobtree._launcher_options import rows_for
    from jobtree._option_parser import add_rows

    add_rows(parser, prefix, ROWS | rows_for(sys.argv))


def row_of(name: str) -> Row | None:
    """The row of an option, those of launchers among them; None if there is no such option."""
    if name in ROWS:
        return ROWS[name]
    from jobtree._launcher_options import find_row

    return find_row(name)


def config_files() -> list[Path]:
    """The files that are read without being asked for, the last one wins."""
    return [SITE_CONFIG, Path("~/.config/jobtree.toml").expanduser(), Path("jobtree.toml")]


def _made(cls: type[SomeOptions], values: Values, given: frozenset[str]) -> SomeOptions:
    """Parse each value with the place it came from in what an error says."""
    parsed: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, (value, origin) in values.items():
        where = name if origin in (COMMAND_LINE, KEYWORD) else f"{origin}: {name}"
        row = row_of(name)
        assert row is not None, name
        (parsed if name in ROWS else told)[name] = row.parse(value, where)
    if told:
        parsed["launcher_settings"] = told
    return cls(**parsed, origins={name: origin for name, (_, origin) in values.items()}, given=given)


def _ambient() -> Values:
    global ambient_used
    ambient_used = True
    return _given_in(ambient)


def _given_in(base: argparse.Namespace | Options | None) -> Values:
    if isinstance(base, Options):
        if base.origins:  # its layers are read again below, from the same places
            told = base.launcher_settings
            return {n: (told[n] if n in told else getattr(base, n), base.origins[n]) for n in base.given}
        made = {name: getattr(base, name) for name in ROWS}
        changed = {name: value for name, value in made.items() if value != DEFAULTS[name]}
        return {name: (value, KEYWORD) for name, value in {**changed, **base.launcher_settings}.items()}
    told = {} if base is None else vars(base)
    values = {name: told.get(DEST + name) for name in ROWS}
    values |= {
        name: value for dest, value in told.items()
        if (name := dest.removeprefix(DEST)) != dest and name not in ROWS and value is not None and row_of(name) is not None
    }  # fmt: skip
    return {name: (value, COMMAND_LINE) for name, value in values.items() if value is not None}


def _from_file(path: Path, must_exist: bool = False) -> Values:
    """The options in a TOML file; keys may be written with dashes or underscores."""
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError:
        if must_exist:
            raise UsageError(f"--config {path}: no such file") from None
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    return dict(_checked(table, str(path)))


def _checked(table: Mapping[str, Any], place: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    for key, value in table.items():
        name = key.replace("-", "_")
        if name == "site" and place == str(SITE_CONFIG):
            continue  # the limits of administrators
        row = row_of(name)
        if row is None:
            raise UsageError(f"{place}: unknown key {key!r}{_hint(name)}")
        if not row.in_layers:
            raise UsageError(f"{place}: {key!r} can only be given on the command line or as a keyword")
        yield name, (value, place)


def _from_variables(environment: Mapping[str, str]) -> Values:
    """JOBTREE_* variables. An empty one counts as unset; one that resembles no option may be anybody's."""
    found: Values = {}
    for variable, value in environment.items():
        name = variable.removeprefix(VARIABLE).lower()
        if not variable.startswith(VARIABLE) or not value:
            continue
        if (name in ROWS and ROWS[name].in_layers) or ("_" in name and name not in ROWS and row_of(name) is not None):
            found[name] = (value, variable)
        elif name in ROWS:
            raise UsageError(f"{variable}: can only be given on the command line or as a keyword")
        elif close := get_close_matches(name, ROWS, 1, cutoff=0.75):
            raise UsageError(f"{variable}: unknown variable; did you mean {VARIABLE}{close[0].upper()}?")
    return found


def _hint(name: str) -> str:
    close = get_close_matches(name.replace("-", "_"), ROWS, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    return list(value) if isinstance(value, tuple) else value

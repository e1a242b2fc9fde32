"""What a run would submit, with the settings that lead there; nothing is made and nobody is asked for workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ._pool import Pool, make_pools
from .errors import LauncherError
from .options import DEFAULTS, Options
from .resources import format_time


def dry_run(options: Options, tree: Path, script: str) -> Iterator[str]:
    """The lines of `--dry-run`: the settings and their origins, the first submission as it would be made, what it may cost.

    Raises UsageError for what the launcher could not be asked for.
    """
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="jobtree-") as nowhere:
        pools = make_pools(options, tree, Path(nowhere), said.append)
        lines = [line for pool in pools for line in _pool_lines(pool, options, script)]
    yield from _settings(options)
    yield from (f"# {words}" for words in said)
    yield from (line.replace(nowhere, str(tree / "blocks")) for line in lines)


def _pool_lines(pool: Pool, options: Options, script: str) -> Iterator[str]:
    """One pool: whether it can be used, how many workers of which size, what they may cost, its first submission."""
    available = pool.launcher.available()
    n = min(pool.most, 500) if pool.least is None else max(1, pool.least)
    try:
        told = pool.launcher.describe(f"jt-{script}-RUN-1", n, pool.size)
    except LauncherError as error:
        told = f"# it would be refused: {error.tail or error}"
    yield ""
    whose = f"pool {pool.name}" if pool.name else f"launcher {options.launcher}"
    yield f"{whose}: " + ("usable here" if available.usable else f"not usable here: {available.reason}")
    held = f"{pool.most} workers, held" if pool.least is None else f"{pool.least} to {pool.most} workers, by load"
    yield f"{held}; each has {pool.size}" + (", or as much more as what waits needs" if pool.largest is not None else "")
    hours = pool.size.walltime_seconds
    if hours is not None:
        yield (
            f"at most {pool.most * pool.size.cpus:g} cpus at a time; a whole generation of workers takes "
            f"{pool.most * pool.size.cpus * hours / 3600:,.0f} cpu hours ({format_time(hours)} each), if all stay to their end"
        )
    yield ""
    yield f"the first submission, of {n}:"
    yield told


def _settings(options: Options) -> Iterator[str]:
    given = {name: getattr(options, name) for name in options.origins if name in DEFAULTS}
    for name, value in sorted({**given, **options.launcher_settings}.items()):
        yield f"--{name.replace('_', '-')} {_word(value)}    ({options.origins.get(name, 'given')})"


def _word(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) and not hasattr(value, "_fields") else str(value)

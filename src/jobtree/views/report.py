"""One HTML file that tells a whole run: pictures and tables, no network, everything in it, whatever a target has printed.

The page draws with Apache ECharts, which lies beside this file and is written into the page (docs/decisions says why). Its policy
lets no script run but those that are hashed in its head, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any

from .. import __version__
from .failures import Group, grouped
from .hints import Use, hints_of, suggested_memory
from .history import History
from .presence import master_of
from .schema import Stats, Status
from .stats import stats_of
from .status import status_of
from .timeline import Timeline, document_of, quartiles, recursion_of, timeline_of, usage_of
from .words import duration, escape, plural, size

#: Rows of a table, and groups of failures, that are shown.
MOST_ROWS = 40
_OUTPUT_LINES = 40


def report_of(history: History, now: float | None = None) -> Iterator[str]:
    """The page, piece by piece; the history must have been read with its attempts. ``now`` (unix seconds): for a living run."""
    master = master_of(history.directory)
    now = time.time() if now is None else now
    until = now if master is not None else history.last_at
    status, stats = status_of(history, now), stats_of(history, now)
    timeline = timeline_of(history)
    scripts = [static("echarts.min.js"), static("charts.js"), static("report.js")]
    yield "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
    yield f"<meta http-equiv='Content-Security-Policy' content=\"{_policy(scripts)}\">"
    yield "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    yield f"<title>{_text(status.tree)}: {status.state}</title>\n<style>{static('page.css')}</style></head>\n<body><main>"
    yield from _summary(status, stats, until)
    yield from _failures(status)
    yield from _hints(history, stats)
    if timeline.bars:
        yield from _charts(timeline)
    yield from _names(stats)
    yield from _workers(history, until)
    yield from _blocks(history, status, until)
    yield f"<footer>Made by jobtree {_text(__version__)} on {_moment(now)}; charts by Apache ECharts.</footer></main>"
    document = _data(history, timeline, until)
    yield f"<script type='application/json' id='data'>{json.dumps(document).replace('<', chr(92) + 'u003c')}</script>"
    yield from (f"<script>{script}</script>\n" for script in scripts)
    yield "</body></html>\n"


def static(name: str) -> str:
    """A file of ``views/static``."""
    return resources.files("jobtree.views").joinpath("static", name).read_text(encoding="utf-8")


def _policy(scripts: Iterable[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _text(words: object) -> str:
    return html.escape(escape(str(words)))


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


# -- the data of the charts ---------------------------------------------------------------------------------------------


def _data(history: History, timeline: Timeline, until: float) -> dict[str, Any]:
    attempts = history.attempts
    assert attempts is not None
    usage = usage_of(history, until)
    names = sorted(history.taken, key=lambda name: -sum(history.taken[name].time))[:MOST_ROWS]
    asked = {name: history.taken[name].asked_memory or None for name in names}
    workers = {number: f"w{number}@{worker.joined.host}" for number, worker in history.workers.items()}
    return {
        "timeline": {
            "lanes": timeline.lanes,
            "names": attempts.names,
            "workers": {lane.worker: workers.get(lane.worker, f"w{lane.worker}") for lane in timeline.lanes},
            "bars": [[bar.lane, *(round(at, 4) for at in bar[1:3]), *bar[3:6], round(bar.ready, 4)] for bar in timeline.bars],
        },
        "usage": usage._asdict(),
        "memory": [{"name": name, "box": quartiles(history.taken[name].memory), "limit": asked[name]} for name in names],
        "time": [{"name": name, "box": quartiles(history.taken[name].time), "limit": None} for name in names],
        "recursion": document_of(recursion_of(attempts)),
    }


# -- the page -----------------------------------------------------------------------------------------------------------


def _summary(status: Status, stats: Stats, until: float) -> Iterator[str]:
    counts = status.counts
    paid = sum_of_hours(stats)
    facts = [
        ("targets done", f"{counts.done:,} of {counts.total:,}"),
        ("running", f"{counts.running:,}" if counts.running else ""),
        ("failed", f"{counts.failed:,}" if counts.failed else ""),
        ("blocked by failures", f"{counts.blocked:,}" if counts.blocked else ""),
        ("retries", f"{status.retries:,}" if status.retries else ""),
        ("lost with a worker", f"{status.lost:,}" if status.lost else ""),
        ("run time", duration(status.elapsed)),
        ("core-hours", f"{paid:.3g}"),
        ("utilisation", f"{stats.workers.utilisation:.0%}"),
        ("wasted by failures", duration(stats.targets.wasted) if stats.targets.wasted else ""),
        ("workers", f"{stats.workers.count:,}"),
        ("masters", f"{status.epoch:,}" if status.epoch > 1 else ""),
        ("began", _moment(status.started_at) if status.started_at else ""),
        ("until", _moment(until) if until else ""),
    ]
    yield f"<section><h1>{_text(status.tree)}<span class='state {status.state}'>{status.state}</span></h1>"
    yield f"<p class='note'><code>{_text(' '.join(status.argv))}</code> on {_text(status.host)}"
    yield f"; {_text(status.reason)}</p>" if status.reason else "</p>"
    yield "<dl class='facts'>"
    yield from (f"<div><dt>{what}</dt><dd>{_text(value)}</dd></div>" for what, value in facts if value)
    yield "</dl></section>"


def sum_of_hours(stats: Stats) -> float:
    """Core-hours that were paid for: cpus of workers times their time."""
    return stats.workers.core_seconds / 3600


def _failures(status: Status) -> Iterator[str]:
    groups = grouped(status.failures)
    if not groups:
        return
    yield f"<section><h2>{plural(len(status.failures), 'failed target')} in {plural(len(groups), 'group')}</h2>"
    for group in groups[:MOST_ROWS]:
        yield from _group(group)
    if len(groups) > MOST_ROWS:
        yield f"<p class='note'>and {len(groups) - MOST_ROWS:,} more groups</p>"
    yield "</section>"


def _group(group: Group) -> Iterator[str]:
    first = group.first
    said = (first.message.strip().splitlines() or [""])[-1][:300]
    hosts = sorted({failure.host for failure in group.failures if failure.host})
    where = f" at {_text(group.where)}" if group.where else ""
    yield f"<details{' open' if len(group.failures) == 1 else ''}><summary><b>{len(group.failures):,} × {_text(group.name)}</b> "
    yield f"<span class='failed'>{_text(group.cause)}</span>: {_text(said)}{where}</summary>"
    yield f"<p class='note'>for example {_text(first.name)}:{first.id}, {plural(first.attempts, 'attempt')}"
    yield f"; on {_text(', '.join(hosts[:5]))}</p>" if hosts else "</p>"
    output = first.output.splitlines()[-_OUTPUT_LINES:] or first.message.splitlines()[-_OUTPUT_LINES:]
    yield f"<pre>{_text_lines(output)}</pre></details>"


def _text_lines(lines: Sequence[str]) -> str:
    return "\n".join(_text(line) for line in lines)


def _hints(history: History, stats: Stats) -> Iterator[str]:
    uses = list(uses_of(history, stats))
    hints = {(hint.name, hint.request): hint for hint in hints_of(uses, most=len(uses) * 2)}
    rows = []
    for use in uses:
        if not (use.memory or use.cpus):
            continue
        hint = hints.get((use.name, "memory"))
        wish = f"<b class='hint'>{size(hint.suggested)}</b>" if hint else "fits" if use.memory else ""
        if use.memory and use.peak > 0.9 * use.memory:
            wish = f"<b class='hint'>{size(suggested_memory(use.peak))}</b> (it is tight)"
        share = f"{use.peak / use.memory:.0%}" if use.memory else ""
        fewer = hints.get((use.name, "cpus"))
        cores = f"{use.cpus:g} → <b class='hint'>{fewer.suggested:g}</b>" if fewer else f"{use.cpus:g}" if use.cpus else ""
        memory = size(use.memory) if use.memory else ""
        rows.append([_text(use.name), f"{use.count:,}", memory, size(use.peak), share, wish, cores, f"{use.cpus_used:.2f}"])
    if not rows:
        return
    yield "<section><h2>Requests and use</h2><p class='note'>What was asked for, the highest peak, and what would have done.</p>"
    titles = ("<name", "ended", "memory asked", "peak", "used", "suggested", "cpus asked", "cpus busy")
    yield from _table(titles, rows[:MOST_ROWS])
    yield "</section>"


def uses_of(history: History, stats: Stats) -> Iterator[Use]:
    """What the targets of each name have asked for and used, over the whole run."""
    cpus: dict[str, float] = defaultdict(float)
    for form in history.tree.forms():
        cpus[form.name] = max(cpus[form.name], form.requests.get("cpus", 0))
    for one in stats.names:
        yield Use(one.name, one.count, cpus[one.name], one.asked_memory, one.time.total, one.cpu.total, int(one.memory.max))


def _charts(timeline: Timeline) -> Iterator[str]:
    yield "<section><h2>Who ran when</h2><p class='note'>A row for each target that a worker ran at a time; the thin grey line "
    yield "before a bar is its wait for a worker, red is what failed. Turn the wheel or drag the slider to look closer."
    if timeline.left_out:
        yield f" {plural(timeline.left_out, 'more worker')} had no room here."
    yield "</p><div class='chart' id='timeline'></div></section>"
    yield "<section><h2>Use of the workers</h2><div class='chart' id='usage' style='height:380px'></div></section>"
    yield "<div class='two'><section><h2>Memory</h2><p class='note'>Peaks by name; the red mark is what was asked for.</p>"
    yield "<div class='chart' id='memory'></div></section>"
    yield "<section><h2>Time</h2><p class='note'>Wall clock by name.</p><div class='chart' id='time'></div></section></div>"
    yield "<section><h2>Recursion</h2><p class='note'>Who has created whom, from left to right; the height is the time that it "
    yield "took with all below it.</p><div class='chart' id='icicle' style='height:420px'></div></section>"


def _names(stats: Stats) -> Iterator[str]:
    titles = (
        "<name",
        "ended",
        "retries",
        "failed",
        "lost",
        "time median",
        "max",
        "total",
        "cpu total",
        "wait median",
        "max",
        "peak",
    )
    rows = []
    for one in sorted(stats.names, key=lambda one: -one.time.total)[:MOST_ROWS]:
        times = [duration(value) for value in (one.time.median, one.time.max, one.time.total, one.cpu.total)]
        waits = [duration(value) for value in (one.wait.median, one.wait.max)]
        counts = [f"{value:,}" if value else "" for value in (one.retries, one.failed, one.lost)]
        rows.append([_text(one.name), f"{one.count:,}", *counts, *times, *waits, size(one.memory.max)])
    yield "<section><h2>Names</h2>"
    yield from _table(titles, rows)
    if len(stats.names) > MOST_ROWS:
        yield f"<p class='note'>and {len(stats.names) - MOST_ROWS:,} more names; see jobtree stats</p>"
    yield "</section>"


def _workers(history: History, until: float) -> Iterator[str]:
    """One row a worker, or a host where there are too many."""
    if not history.workers:
        return
    many = len(history.workers) > MOST_ROWS
    groups: dict[str, list[tuple[float, float, float, int, float, int]]] = defaultdict(list)
    why: dict[str, str] = {}
    for worker in history.workers.values():
        joined = worker.joined
        key = joined.host if many else f"w{joined.worker}@{joined.host}"
        there = max(0.0, (until if worker.left_at is None else worker.left_at) - joined.at)
        groups[key].append((joined.cpus, there, joined.cpus * there, worker.targets, worker.paid, worker.memory))
        why[key] = worker.reason if worker.left_at is not None else "is there"
    rows = []
    for key, members in sorted(groups.items(), key=lambda item: -sum(one[2] for one in item[1]))[: MOST_ROWS * 3]:
        cpus, there, paid, targets, busy, _ = (sum(one[column] for one in members) for column in range(6))
        use = f"{min(1.0, busy / paid):.0%}" if paid else ""
        last = f"{len(members):,}" if many else _text(why[key])
        peak = size(max(one[5] for one in members))
        rows.append([_text(key), f"{cpus:g}", duration(there), f"{paid / 3600:.3g}", f"{targets:,}", use, peak, last])
    total = sum(one[2] for members in groups.values() for one in members) / 3600
    yield f"<section><h2>{plural(len(history.workers), 'worker')}, {total:.3g} core-hours</h2>"
    titles = ("<host" if many else "<worker", "cpus", "was there", "core-hours", "targets", "busy", "highest peak")
    yield from _table((*titles, "workers" if many else "<left because"), rows)
    yield "</section>"


def _blocks(history: History, status: Status, until: float) -> Iterator[str]:
    if not status.blocks:
        return
    paid: dict[str, float] = defaultdict(float)
    waited: dict[str, float] = {}
    for worker in history.workers.values():
        joined = worker.joined
        paid[joined.block] += joined.cpus * max(0.0, (until if worker.left_at is None else worker.left_at) - joined.at)
        waited.setdefault(joined.block, joined.at)
    rows = []
    for block in status.blocks[-MOST_ROWS:]:
        first = waited.get(block.name)
        wait = duration(round(max(0.0, first - block.planned_at), 1)) if first is not None else "none came"
        hours = f"{paid[block.name] / 3600:.3g}"
        counts = [f"{block.n:,}", block.state, f"{block.ended:,}", _moment(block.planned_at), wait, hours]
        rows.append([_text(block.name), _text(block.pool), *counts, _text(block.reason)])
    yield f"<section><h2>{plural(len(status.blocks), 'block')}</h2>"
    yield from _table(
        ("<block", "<pool", "workers", "<state", "ended", "asked for", "first came after", "core-hours", "<last reason"), rows
    )
    yield "</section>"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of cells that are HTML already; titles that begin with ``<`` stand at the left."""
    left = [" class='left'" if title.startswith("<") else "" for title in titles]
    heads = "".join(f"<th{how}>{html.escape(title.removeprefix('<'))}</th>" for how, title in zip(left, titles, strict=True))
    yield f"<div class='scroll'><table><tr>{heads}</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td{how}>{cell}</td>" for how, cell in zip(left, row, strict=True)) + "</tr>"
    yield "</table></div>"

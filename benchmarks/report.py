"""Samples as tables for people, and as JSON for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measured


def print_tables(about: dict[str, Any], measured: list[Measured]) -> None:
    """One table for each workload, after a description of the machine."""
    console = Console(width=None if Console().is_terminal else 120)
    console.print(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in about.items()), highlight=False)
    for one in measured:
        console.print(f"\n[bold]{one.workload.name}[/]: {one.workload.what}", highlight=False, soft_wrap=True)
        console.print(_table(one))


def _table(measured: Measured) -> Table:
    workload = measured.workload
    table = Table()
    table.add_column("contender")
    table.add_column("figure")
    table.add_column("median", justify="right")
    table.add_column("least .. most", justify="right")
    table.add_column("jobtree better by", justify="right")
    ratios = measured.ratios()
    for contender in measured.samples:
        for name, value in measured.median(contender).items():
            is_main = name == workload.figure
            low, high = measured.spread(contender, name)
            ratio = f"{ratios[contender]:.3g} x" if is_main and contender in ratios else ""
            table.add_row(contender if is_main else "", name, number(value), f"{number(low)} .. {number(high)}", ratio)
        table.add_section()
    return table


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_json(about: dict[str, Any], measured: list[Measured]) -> dict[str, Any]:
    """Everything, the samples too."""
    return {"schema": 1, "machine": about, "workloads": [_one(one) for one in measured]}


def _one(measured: Measured) -> dict[str, Any]:
    workload = measured.workload
    return {
        "name": workload.name,
        "what": workload.what,
        "figure": workload.figure,
        "more_is_better": workload.more_is_better,
        "contenders": {name: {"median": measured.median(name), "samples": samples} for name, samples in measured.samples.items()},
        "ratios": measured.ratios(),
    }

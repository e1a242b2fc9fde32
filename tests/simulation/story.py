"""Turns of masters and workers, in words that can be read one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from jobtree.master.effects import Step

LONGEST = 200


def tell(turns: Iterable[tuple[float, str, list[Any], Any]]) -> str:
    """Each turn: when and who, what had happened, then what was decided."""
    lines = []
    for at, who, events, outcome in turns:
        lines.append(f"{at:.4f} {who}")
        lines += [f"    {line(event)}" for event in events]
        if isinstance(outcome, Step):
            lines += [f"  journal  {line(record)}" for record in outcome.records]
            lines += [f"  do       {line(effect)}" for effect in [*outcome.at_once, *outcome.effects]]
        elif outcome:
            lines += [f"  do       {line(effect)}" for effect in outcome]
    return "\n".join(lines)


def line(thing: Any) -> str:
    """One event, record, effect or message."""
    if is_dataclass(thing) and not isinstance(thing, type):
        parts = [f"{field.name}={line(getattr(thing, field.name))}" for field in fields(thing) if field.name not in ("data",)]
        text = f"{type(thing).__name__}({', '.join(parts)})"
    else:
        text = repr(thing)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."

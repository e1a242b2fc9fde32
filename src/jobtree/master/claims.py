"""What a worker says of an attempt, held against what is known of it: targets that are not there, requests that are none.

The shape of messages has been checked where they came in (``protocol.codec``); this needs the tree. An honest worker says nothing
that is refused here; but what is journaled must make sense for ever, so nobody's word is taken.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..errors import UsageError
from ..protocol.messages import FOLLOW_ON_N, ROW_EMBEDS, ROW_RESULT
from ..resources import Requests
from .nodes import Node
from .tree import Tree

_WORDS = frozenset(field.name for field in fields(Requests))


def of_piece(tree: Tree, node: Node, piece: list[Any], next_n: int) -> str:
    """What is wrong with targets that the attempt of ``node`` creates, in words; empty if nothing is."""
    _, _, first_n, forms, _, extras, _ = piece
    for form in forms:
        if not tree.has_form(form) and (wrong := _of_requests(form[2])):
            return wrong
    for index, (takes, after, _) in extras.items():
        end = next_n if first_n == FOLLOW_ON_N else first_n + index
        if not (_are_there(takes, 1, end) and _are_there(after, 1, end)):
            return "it waits for a target that was not created before it"
    return ""


def of_row(node: Node, row: list[Any], next_n: int) -> str:
    """What is wrong with the result of an attempt, in words; empty if nothing is."""
    result, embeds = row[ROW_RESULT], row[ROW_EMBEDS]
    named = result.__class__ is list and len(result) == 1
    if not named and not embeds:
        return ""
    has_follow_on = any(piece.first_n == FOLLOW_ON_N for piece in node.pieces or ())
    first = FOLLOW_ON_N if has_follow_on else 1
    if (named and not first <= result[0] < next_n) or not _are_there(embeds or [], first, next_n):
        return "its result is that of a target that it has not created"
    return ""


def _are_there(ranges: list[int], first: int, end: int) -> bool:
    """Whether ranges rise, and name nothing below ``first`` or from ``end`` on."""
    at = first
    for start, count in zip(ranges[::2], ranges[1::2], strict=True):
        if start < at or start + count > end:
            return False
        at = start + count
    return True


def _of_requests(requests: dict[str, Any]) -> str:
    known = {word: value for word, value in requests.items() if word in _WORDS}
    try:
        same = Requests.from_wire(known).to_wire() == known
    except (UsageError, TypeError, ValueError, OverflowError) as error:
        return f"it asks for what nobody can ask for ({error})"
    flat = all(value is None or isinstance(value, (str, int, float)) for word, value in requests.items() if word not in known)
    return "" if same and flat else "it asks for what nobody can ask for"

"""The small things of the tree."""

from __future__ import annotations

from jobtree.ids import NOBODY
from jobtree.master.nodes import MOVES, Form, Node, Phase, Source, spread


def test_ranges_name_their_numbers() -> None:
    assert spread([]) == []
    assert spread([3, 1]) == [3]
    assert spread([1, 3, 7, 2]) == [1, 2, 3, 7, 8]


def test_no_move_leaves_done() -> None:
    assert not [move for move in MOVES if move[0] is Phase.DONE]


def test_every_phase_but_provisional_can_be_reached() -> None:
    assert {to for _, to in MOVES} == set(Phase) - {Phase.PROVISIONAL}


def test_a_node_founds_its_own_chain_until_it_is_told_otherwise() -> None:
    node = Node(5, None, Form("t", True, {}, [0] * 9), Source(0, 0), NOBODY, 3, 0)
    assert (node.chain, node.founder_n, node.tolerant, node.phase) == (5, 3, True, Phase.READY)
    assert repr(node) == "<t:5 READY>"

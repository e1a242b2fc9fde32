"""What the pages say of the code is so: tables, links, and the names of files and functions."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from docs import tables
from jobtree.protocol.messages import MAY_SEND, Role, Type

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "jobtree"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

#: `master/state.py` or `master/state.py:MasterState.step`
_PLACE = re.compile(r"`([\w./-]+\.py)(?::([\w.]+))?`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)")
_MESSAGE = re.compile(r"^\| ([A-Z]+) \| (\d+) \|", re.MULTILINE)


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", list(tables.pages()), ids=by_name)
def test_the_tables_of_a_page_are_those_of_the_code(page: Path) -> None:
    text = page.read_text()
    assert tables.renewed(text) == text, f"{page.name} is out of date: run `python docs/tables.py`"


def test_every_table_has_its_place() -> None:
    text = "".join(page.read_text() for page in tables.pages())
    for name in tables.TABLES:
        assert f"<!-- {name}: from " in text


def test_a_change_of_the_code_is_noticed() -> None:
    page = "before\n<!-- limits: from the code -->\nOUTDATED\n<!-- end -->\nafter\n"
    fresh = tables.renewed(page)
    assert "OUTDATED" not in fresh
    assert fresh.startswith("before\n")
    assert fresh.endswith("<!-- end -->\nafter\n")
    assert tables.renewed(fresh) == fresh


def test_the_protocol_page_tells_of_every_message_of_both_sides() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    _, worker, master, client = re.split(r"^## Messages of a \w+$", text, flags=re.MULTILINE)
    for section, role in ((worker, Role.WORKER), (master, Role.MASTER), (client.partition("\n## ")[0], Role.CLIENT)):
        told = {(name, int(number)) for name, number in _MESSAGE.findall(section)}
        assert told == {(kind.name, kind.value) for kind in MAY_SEND[role]}
    assert {kind for kinds in MAY_SEND.values() for kind in kinds} == set(Type)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_files_and_functions_that_are_named_are_there(page: Path) -> None:
    for path, name in _PLACE.findall(re.sub(r"<!-- \w+: from .*?<!-- end -->", "", page.read_text(), flags=re.DOTALL)):
        places = [SOURCE / path, ROOT / path]
        if not any(place.exists() for place in places):
            # A name without a folder may be the reader's own script.
            assert "/" not in path, f"{page.name} names {path}, which is not there"
            assert not name, f"{page.name} names {name} in {path}, which is not there"
            continue
        if name:
            found = next(place for place in places if place.exists())
            assert name in names_in(found), f"{page.name} names {name} in {path}, which is not there"


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes, methods and constants of a file."""
    found: set[str] = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(prefix + statement.name)
                if isinstance(statement, ast.ClassDef):
                    collect(statement.body, f"{prefix}{statement.name}.")
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    collect(ast.parse(path.read_text()).body, "")
    return frozenset(found)

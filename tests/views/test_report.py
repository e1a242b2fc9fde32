"""The report is one file that a browser shows without any network, and that no target can put anything into."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from jobtree.cli.main import main
from jobtree.master import records as r
from jobtree.views.history import History
from jobtree.views.report import report_of
from tests.views.scribe import DEAD, Scribe, whole_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J"


class Page(HTMLParser):
    """The tags of a page, the text outside of scripts, and its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text += data

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


def page_of(scribe: Scribe) -> Page:
    history = History(scribe.path, detail=True)
    history.poll()
    return Page("".join(report_of(history)))


def test_everything_is_in_the_page_and_nothing_else_can_run(tmp_path: Path) -> None:
    page = page_of(whole_run(tmp_path / "tree"))
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert not {"src", "href", "action"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = (attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    hashes = set(re.findall(r"'sha256-([^']+)'", policy))
    assert hashes == {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]}


def test_what_targets_are_called_and_print_stays_text(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin(HOSTILE)
    scribe.join(1, host=HOSTILE)
    scribe.fail(scribe.assign(1), failure={"message": HOSTILE, "output": HOSTILE, "where": HOSTILE, "host": HOSTILE}, wall=1.0)
    scribe.end("failed", HOSTILE)
    scribe.close()
    page = page_of(scribe)
    assert len(page.scripts) == 4, "the data and three scripts of ours"
    assert page.data["timeline"]["names"] == [HOSTILE]
    assert "<img src=x onerror=alert(2)>" in page.text
    assert "\x1b" not in page.text
    assert "\\x1b[2J" in page.text


def test_the_page_shows_the_numbers_of_status_and_stats(tmp_path: Path) -> None:
    page = page_of(whole_run(tmp_path / "tree", leaves=5))
    words = " ".join(page.text.split())
    assert "targets done" in words
    assert "7 of 7" in words
    assert sum(bar[4] for bar in page.data["timeline"]["bars"]) == 7
    leaf = next(row for row in page.data["time"] if row["name"] == "leaf")
    assert leaf["box"] == [1.0, 2.0, 3.0, 4.0, 5.0]
    root, follow_on = page.data["recursion"]
    assert (root["name"], root["value"], follow_on["name"]) == ("top", pytest.approx(1.0 + 15.0), "total")
    assert [place["name"] for place in root["children"]] == ["leaf"], "a follow-on stands beside its predecessor"


def test_blocks_tell_how_long_they_were_waited_for_and_what_they_cost(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin()
    scribe.put(r.BlockPlanned(scribe.now, "jt-x-1", "big", 2), r.BlockKnown(scribe.now, "jt-x-1", ["7", "8"]))
    scribe.now += 90
    scribe.join(1, cpus=4.0, block="jt-x-1")
    scribe.now += 1800
    scribe.put(r.WorkerLeft(scribe.now, 1, "idle"), r.BlockPlanned(scribe.now, "jt-x-2", "big", 1))
    scribe.close()
    words = " ".join(page_of(scribe).text.split())
    assert re.search(r"jt-x-1big2known0\S+ \S+1m30s2", words)
    assert re.search(r"jt-x-2big1planned0\S+ \S+none came0", words)


def test_a_run_in_which_nothing_has_ended_has_a_page_too(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin()
    scribe.close()
    assert "stopped" in page_of(scribe).text


def test_the_verb_writes_beside_the_tree_or_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = whole_run(tmp_path / "tree").path
    assert main(["report", tree]) == 0
    assert capsys.readouterr().out == f"{tree}-report.html\n"
    assert Path(f"{tree}-report.html").read_text().startswith("<!doctype html>")
    assert main(["report", tree, "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").exists()
    assert main(["report", tree, "-o", str(tmp_path)]) == 2
    assert main(["report", tree, "-o", str(tmp_path / "no" / "page.html")]) == 4
    capsys.readouterr()
    assert main(["report", tree, "-o", "-"]) == 0
    assert capsys.readouterr().out.endswith("</html>\n")
    assert not list(tmp_path.glob(".*"))

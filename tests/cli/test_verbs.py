"""The verbs that look: their output for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from jobtree.cli.main import main
from tests.views.scribe import DEAD, Scribe, whole_run


@pytest.fixture
def tree(tmp_path: Path) -> str:
    whole_run(tmp_path / "tree")
    return str(tmp_path / "tree")


@pytest.fixture
def failed(tmp_path: Path) -> str:
    scribe = Scribe(tmp_path / "failed", holder=DEAD)
    scribe.begin()
    scribe.join(1)
    attempt = scribe.assign(1)
    scribe.print(1, "top", attempt, b"one\n\x1b[31mtwo\n")
    scribe.fail(attempt, failure={"message": "it broke", "output": "x" * 5000}, messages=[[1.0, "INFO", "hello"]])
    scribe.end("failed", "targets have failed")
    scribe.close()
    return scribe.path


def test_status_in_json_cuts_output_but_not_when_verbose(failed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", failed, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["state"]) == (1, "failed")
    assert len(document["failures"][0]["output"]) == 1000
    assert main(["status", failed, "--json", "--verbose"]) == 0
    assert len(json.loads(capsys.readouterr().out)["failures"][0]["output"]) == 5000


def test_watching_a_run_that_has_ended_ends(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", tree, "--watch"]) == 0
    assert capsys.readouterr().out.count("complete") == 1


def test_logs_can_be_had_as_lines_json_and_bytes(failed: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["logs", failed]) == 0
    assert capsysbinary.readouterr().out.decode().splitlines() == [
        "top:1[1] out| one", "top:1[1] out| \\x1b[31mtwo", "top:1[1] log| INFO: hello",
    ]  # fmt: skip
    assert main(["logs", failed, "--json"]) == 0
    documents = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [(document["stream"], document["text"]) for document in documents] == [
        ("out", "one"), ("out", "\x1b[31mtwo"), ("log", "hello"),
    ]  # fmt: skip
    assert main(["logs", failed, "--raw"]) == 0
    assert capsysbinary.readouterr().out == b"one\n\x1b[31mtwo\n"
    assert main(["logs", failed, "--failed", "--target", "top:1", "-f"]) == 0
    assert len(capsysbinary.readouterr().out.splitlines()) == 3
    assert main(["logs", failed, "--target", "other"]) == 2
    assert capsysbinary.readouterr().err.endswith(b"is called 'other'; did you mean top?\n")


def test_stats_can_be_had_as_tables_json_and_csv(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", tree, "--plain"]) == 0
    assert "6.00" in capsys.readouterr().out
    assert main(["stats", tree, "--human"]) == 0
    assert "6s" in capsys.readouterr().out
    assert main(["stats", tree, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["targets"]["count"] == 5
    assert main(["stats", tree, "--csv", "--sort", "name"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["kind"], row["name"]) for row in rows] == [
        ("workers", ""), ("targets", ""), ("name", "leaf"), ("name", "top"), ("name", "total"),
    ]  # fmt: skip
    assert float(rows[2]["time_total"]) == 6.0


def test_a_sound_journal_is_verified_and_dumped(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "verify", tree]) == 0
    assert "the journal is sound" in capsys.readouterr().out
    assert main(["journal", "dump", tree]) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert documents[0]["type"] == "RunDescribed"


def test_launchers_says_what_can_be_used_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launchers"]) == 0
    assert "local" in capsys.readouterr().out
    assert main(["launchers", "--json"]) == 0
    launchers = json.loads(capsys.readouterr().out)["launchers"]
    (local,) = (launcher for launcher in launchers if launcher["name"] == "local")
    assert (local["usable"], local["reason"]) == (True, "")

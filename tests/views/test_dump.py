"""A dump names what a journal holds, and opens no payload."""

from __future__ import annotations

import json
from pathlib import Path

from jobtree.views.dump import ROW, described, documents
from jobtree.views.history import History
from tests.views.scribe import RESULT, whole_run


def test_every_record_has_a_document_with_its_type_and_fields(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    history = History(str(tmp_path / "tree"))
    found = [json.loads(json.dumps(document)) for document in documents(history.files, history.directory)]
    history.poll()
    assert [document["record"] for document in found] == list(range(history.tree.records))
    types = [document["type"] for document in found]
    assert types[:3] == ["RunDescribed", "EpochBegan", "TargetsCreated"]
    assert types[-1] == "RunEnded"
    committed = [document for document in found if document["type"] == "AttemptsCommitted"]
    assert [row["wall"] for document in committed for row in document["rows"]] == [1.0, 1.0, 2.0, 3.0, 2.0]
    assert committed[-1]["payload_bytes"] == [len(RESULT)]
    assert RESULT.decode() not in json.dumps(found)
    assert found[0]["time"] == "1970-01-12T13:46:40Z"


def test_a_row_has_a_name_for_each_of_its_fields() -> None:
    assert ROW[0] == "epoch"
    assert ROW[-2:] == ["failure", "cancels"]  # the last one may be left out
    assert len(ROW) == 15


def test_a_record_of_a_newer_version_is_shown_by_its_number() -> None:
    assert described([99, 0, "x", b"bytes"]) == {"type": 99, "fields": ["x", "<5 bytes>"]}
    assert described([19, 0, 1.0]) == {"type": 19, "fields": [1.0]}

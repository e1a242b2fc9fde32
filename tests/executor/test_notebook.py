"""Clusters and runs in a notebook: a real kernel, asked as a notebook asks it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SECONDS = 90.0

manager = pytest.importorskip("jupyter_client.manager", reason="needs ipykernel (extra dev)")

BEGIN = """
import jobtree, time
cluster = jobtree.Cluster(workers=1)
factor = 2

@jobtree.target
def double(target, n):
    return target.add_child(jobtree.call(lambda x: x * factor, n))

cluster.run(double(4))
"""


class Notebook:
    """Cells go in, what they show comes out."""

    def __init__(self) -> None:
        self.kernel, self._client = manager.start_new_kernel(kernel_name="python3")

    def cell(self, code: str, interrupt_at: str = "") -> list[str]:
        """What a cell shows; interrupted when it has shown ``interrupt_at``."""
        number = self._client.execute(code)
        shown: list[str] = []
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            message = self._client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") != number:
                continue
            text = _text(message)
            if text is None:
                return shown
            shown.append(text)
            if interrupt_at and interrupt_at in text:
                self.kernel.interrupt_kernel()
                interrupt_at = ""
        raise AssertionError(f"the cell does not end: {shown}")

    def close(self) -> None:
        self._client.stop_channels()
        self.kernel.shutdown_kernel(now=True)


def _text(message: dict[str, Any]) -> str | None:
    """What a message shows; None when the cell is done."""
    content = message["content"]
    match message["msg_type"]:
        case "stream":
            return str(content["text"])
        case "execute_result":
            return str(content["data"]["text/plain"])
        case "error":
            return str(content["ename"])
        case "status" if content["execution_state"] == "idle":
            return None
    return ""


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    made = Notebook()
    try:
        yield made
    finally:
        made.close()


def test_a_cluster_lives_over_cells_and_shows_its_progress(notebook: Notebook) -> None:
    shown = notebook.cell(BEGIN)
    assert "8" in shown
    assert "has joined" in "".join(shown)
    assert "[0, 2, 4]" in notebook.cell("list(cluster.map(lambda x: x * factor, range(3)))")
    assert "10" in notebook.cell("await jobtree.run_async(double(5), workers=1)")
    assert "complete" in "".join(notebook.cell("cluster.shutdown()"))


def test_an_interrupt_stops_what_runs_and_the_cluster_goes_on(notebook: Notebook) -> None:
    notebook.cell(BEGIN)
    code = "f = cluster.submit(time.sleep, 600)\nwhile not f.running(): time.sleep(0.01)\n"
    code += "print('now', flush=True)\ncluster.run(jobtree.call(time.sleep, 600))"
    assert "KeyboardInterrupt" in notebook.cell(code, interrupt_at="now")
    assert "6" in notebook.cell("cluster._session.client.drop(f)\ncluster.run(double(3))")

"""The dashboard shows true numbers in a real browser while a run goes on, and lets nobody and nothing else in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest

from jobtree import Tree
from jobtree.views.dashboard import _POLICY
from jobtree.views.schema import State
from tests.cli.test_main import OURS
from tests.support.scripts import Project, poll
from tests.support.scripts import project as open_project
from tests.views.scribe import DEAD, Scribe, whole_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\x1b[2J"


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *words: Any) -> None:
        return None


@contextmanager
def dashboard(tree: str | Path, *words: str) -> Iterator[str]:
    """The address that `jobtree dashboard` prints, while it runs."""
    command = [sys.executable, "-m", "jobtree", "dashboard", str(tree), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=OURS)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def fetch(url: str, *, method: str = "GET", data: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer, redirects not followed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with build_opener(_Stay).open(Request(url, data, named, method=method), timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def parts(address: str) -> tuple[str, str]:
    base, _, token = address.partition("/?token=")
    return base, token


def test_nobody_comes_in_without_the_token_by_another_name_or_from_another_site(tmp_path: Path) -> None:
    with dashboard(whole_run(tmp_path / "tree").path) as address:
        base, token = parts(address)
        good = {"Authorization": f"Bearer {token}"}
        assert base.startswith("http://127.0.0.1:")
        assert len(token) >= 32
        api = f"{base}/api/overview"
        assert fetch(api, **good)[0] == 200
        for url in (f"{base}/", api, f"{base}/metrics", f"{base}/static/charts.js", f"{base}/events", f"{api}?token={token}"):
            assert fetch(url)[0] == 401
        assert fetch(api, Authorization=f"Bearer {token[:-1]}x")[0] == 401
        assert fetch(f"{base}/?token=wrong")[0] == 401
        assert fetch(api, Host="evil.example:80", **good)[0] == 403, "a name that was bound to our address elsewhere"
        assert fetch(api, Origin="http://evil.example", **good)[0] == 403
        assert fetch(api, Sec_Fetch_Site="cross-site", **good)[0] == 403
        assert fetch(f"{base}/api/control/stop", method="POST", data=b"{}", **good)[0] == 403, "without an origin"
        status, _, body = fetch(f"{base}/api/control/stop", method="POST", data=b"{}", Origin=base, **good)
        assert (status, json.loads(body)["error"]) == (403, "this page only shows; start it with --control")
        assert fetch(f"{base}/static/..%2f..%2f..%2fetc%2fpasswd", **good)[0] == 404
        status, headers, _ = fetch(address)
        assert (status, headers["location"]) == (303, "/")
        assert re.fullmatch(rf"jobtree-\d+={token}; HttpOnly; Path=/; SameSite=strict", headers["set-cookie"])
        status, headers, _ = fetch(f"{base}/", Cookie=headers["set-cookie"].partition(";")[0])
        assert (status, headers["content-security-policy"]) == (200, _POLICY)
        assert "unsafe" not in _POLICY


def test_all_answers_have_the_numbers_of_the_verbs(tmp_path: Path) -> None:
    tree = whole_run(tmp_path / "tree", leaves=300).path
    with dashboard(tree) as address:
        base, token = parts(address)

        def ask(path: str) -> Any:
            return json.loads(fetch(base + path, Authorization=f"Bearer {token}")[2])

        overview, stats = ask("/api/overview"), Tree(tree).stats()
        assert (overview["state"], overview["counts"]["done"], overview["control"]) == ("complete", 302, False)
        metrics = fetch(f"{base}/metrics", Authorization=f"Bearer {token}")[2].decode()
        assert 'jobtree_targets{name="leaf",state="done"} 300.0' in metrics
        assert f'jobtree_wall_seconds_total{{name="leaf"}} {float(stats.names[1].time.total)}' in metrics
        assert 'jobtree_state{state="complete"} 1.0' in metrics
        (top, total) = sorted(ask("/api/places?above=-1")["places"], key=lambda place: str(place["name"]))
        assert (top["name"], top["attempts"], top["deeper"], total["deeper"]) == ("top", 1, True, False)
        (leaf,) = ask(f"/api/places?above={top['path']}")["places"]
        assert (leaf["name"], leaf["attempts"], leaf["seconds"]) == ("leaf", 300, 300 * 301 / 2)
        first, rest = (ask(f"/api/targets?path={leaf['path']}&first={at}") for at in (0, 200))
        assert [len(first["attempts"]), len(rest["attempts"]), first["total"]] == [200, 100, 300]
        one = ask(f"/api/target/{first['attempts'][4]['target']}")
        assert (one["name"], one["state"], one["attempts"][0]["wall"]) == ("leaf", "done", 5.0)
        assert fetch(f"{base}/api/target/999", Authorization=f"Bearer {token}")[0] == 404
        assert sum(bar[4] for bar in ask("/api/pictures")["timeline"]["bars"]) == 302


def test_a_tree_that_goes_away_is_said_to_be_gone(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    with dashboard(scribe.path) as address:
        base, token = parts(address)
        given = Request(f"{base}/events", headers={"Authorization": f"Bearer {token}"})
        with build_opener().open(given, timeout=60) as events:
            assert json.loads(events.readline().removeprefix(b"data: "))["state"] == "running"
            (tmp_path / "tree").rename(tmp_path / "elsewhere")
            told = events.read().decode()
        assert "event: gone" in told
        assert "is gone: it was moved or removed" in told
        status, _, body = fetch(f"{base}/api/overview", Authorization=f"Bearer {token}")
        assert (status, b"gone" in body) == (404, True)
    scribe.lock.release()


@contextmanager
def browser(dark: bool = False) -> Iterator[Any]:
    """A real Chromium without a window."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def eventually(question: Callable[[], object], seconds: float = 60.0) -> None:
    """Until it is true."""
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


def text(driver: Any, selector: str) -> str:
    found: str = driver.execute_script("return (document.querySelector(arguments[0]) || {textContent: ''}).textContent", selector)
    return found


needs_chromium = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver here")

SCRIPT = """
    import pathlib, time
    import jobtree

    here = pathlib.Path(__file__).parent

    @jobtree.target
    def leaf(n):
        print("leaf", n, "<b>bold</b><script>window.hacked = 1</script>", flush=True)
        while not (here / f"go{n}").exists():
            time.sleep(0.01)
        print("leaf ends", n, flush=True)
        if n == 2:
            raise ValueError("<img src=x onerror='window.hacked = 2'>" + chr(0x202e) + "desrever")

    @jobtree.target
    def top(target):
        target.add_children([leaf(n) for n in range(4)])

    if __name__ == "__main__":
        jobtree.run(top(), tree=here / "T", workers=1, worker_cpus=4, progress="none")
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with open_project(tmp_path) as made:
        yield made


@needs_chromium
def test_a_browser_sees_a_living_run_as_it_is(project: Project) -> None:
    run = project.start(project.write("script.py", SCRIPT))
    poll(lambda: project.tree.joinpath("journal", "FORMAT").exists())
    tree = Tree(project.tree)
    poll(lambda: tree.status().counts.running == 4)
    with dashboard(project.tree) as address, browser() as driver:
        driver.get(address)
        eventually(lambda: text(driver, "#state") == "running")
        assert "token" not in driver.current_url
        assert "0 of 5" in text(driver, "#facts")
        page = driver.current_url.partition("#")[0]
        driver.get(f"{page}#/log")
        eventually(lambda: text(driver, "#log").count("<b>bold</b><script>window.hacked = 1</script>") == 4)
        (project.directory / "go0").touch()
        eventually(lambda: "leaf ends 0" in text(driver, "#log"))
        driver.get(f"{page}#/target/4")
        eventually(lambda: "running" in text(driver, "#target-facts"))
        eventually(lambda: "leaf 2 <b>bold</b>" in text(driver, "#target-log"))
        (project.directory / "go2").touch()
        eventually(lambda: "failed" in text(driver, "#target-facts"))
        eventually(lambda: "leaf ends 2" in text(driver, "#target-log"))
        driver.get(f"{page}#/failures")
        eventually(lambda: "1 × leaf" in text(driver, "#failures"))
        assert "<img src=x onerror='window.hacked = 2'>\\u202edesrever" in text(driver, "#failures"), (
            "nothing turns the text round"
        )
        assert "\u202e" not in text(driver, "#failures")
        for n in (1, 3):
            (project.directory / f"go{n}").touch()
        assert run.wait().status == 1
        driver.get(f"{page}#/")
        eventually(lambda: text(driver, "#state") == "failed")
        counts = tree.status().counts
        eventually(lambda: f"{counts.done} of {counts.total}" in text(driver, "#facts"))
        eventually(lambda: driver.execute_script("return document.getElementById('timeline').dataset.bars") == "5")
        (failure,) = tree.failures()
        driver.get(f"{page}#/target/{failure.id}")
        eventually(lambda: text(driver, "#target-title") == f"leaf:{failure.id}")
        assert "ValueError" in text(driver, "#target-output")
        assert "leaf ends 2" in text(driver, "#target-log")
        assert driver.execute_script("return window.hacked") is None
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_with_control_wishes_reach_the_master_and_what_makes_no_sense_is_refused(project: Project) -> None:
    run = project.start(project.write("script.py", SCRIPT))
    poll(lambda: project.tree.joinpath("journal", "FORMAT").exists())
    tree = Tree(project.tree)
    poll(lambda: tree.status().counts.running == 4)
    with dashboard(project.tree, "--control") as address:
        base, token = parts(address)

        def wish(verb: str, **about: Any) -> tuple[int, Any]:
            headers = {"Origin": base, "Authorization": f"Bearer {token}"}
            status, _, body = fetch(f"{base}/api/control/{verb}", method="POST", data=json.dumps(about).encode(), **headers)
            return status, json.loads(body)

        assert wish("cancel", targets=[2])[0] == 200
        poll(lambda: tree.status().counts.cancelled == 1)
        assert wish("scale", most=2) == (200, {"before": 1, "workers": 2, "live": True})
        poll(lambda: len(tree.status().workers) == 2)
        assert wish("scale", most=-1)[0] == 400
        assert wish("cancel", targets="all")[0] == 400
        assert wish("drop_tables")[0] == 404
        assert wish("stop", now=True)[0] == 200
    run.wait()
    assert tree.status().state is State.STOPPED


@needs_chromium
def test_a_browser_draws_the_report_without_any_network(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin(HOSTILE)
    scribe.join(1, host=HOSTILE)
    scribe.fail(scribe.assign(1), failure={"message": HOSTILE, "output": HOSTILE}, wall=1.0)
    scribe.close()
    subprocess.run([sys.executable, "-m", "jobtree", "report", scribe.path], env=OURS, check=True, capture_output=True)
    with browser() as driver:
        driver.get(f"file://{scribe.path}-report.html")
        eventually(lambda: driver.execute_script("return document.documentElement.dataset.drawn") == "yes")
        assert driver.execute_script("return document.querySelectorAll('canvas').length") == 5
        assert driver.execute_script("return window.hacked") is None
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from jobtree.errors import UsageError
from jobtree.launchers import registry
from jobtree.launchers.base import Launcher
from jobtree.launchers.local import LocalLauncher


def test_the_local_launcher_is_known_and_made_with_its_settings(tmp_path: Path) -> None:
    launcher = registry.make("local", ["worker"], tmp_path, {"grace_seconds": 1.0})
    assert isinstance(launcher, LocalLauncher)
    assert isinstance(launcher, Launcher)


def test_an_unknown_launcher_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no launcher 'condor'; known: .*local"):
        registry.load("condor")


def test_a_misspelt_launcher_is_put_right() -> None:
    with pytest.raises(UsageError, match="did you mean 'local'"):
        registry.load("locl")


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no setting 'queue'; it has grace_seconds"):
        registry.make("local", [], tmp_path, {"queue": "all.q"})


def test_a_plugin_is_found_by_its_entry_point_and_cannot_replace_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugins = [
        EntryPoint("pbs", "jobtree.launchers.local:LocalLauncher", registry.GROUP),
        EntryPoint("local", "evil:Launcher", registry.GROUP),
        EntryPoint("broken", "jobtree_no_such_module:Launcher", registry.GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: plugins)
    assert registry.names() == sorted(["broken", "pbs", *registry.BUILT_IN])
    assert registry.load("pbs") is registry.load("local") is LocalLauncher
    with pytest.raises(UsageError, match=r"'broken' \(jobtree_no_such_module:Launcher\) cannot be loaded"):
        registry.load("broken")


def test_the_fallback_is_what_the_package_declares() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][registry.GROUP] == registry.BUILT_IN

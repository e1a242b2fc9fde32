from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from jobtree import options
from jobtree._option_values import Ports, Workers
from jobtree.errors import UsageError
from jobtree.options import DEFAULTS, ROWS, Options, add_options


def some_value(name: str) -> Any:
    """A word that is not the default of the option, where there is more than one."""
    special = {"workers": "1:7", "port_range": "81:82", "launcher": "local", "progress": "json"}
    special |= {"log_level": "ERROR", "bind": "::1", "config": os.devnull}
    special |= {"resources": "licence=2", "pool": "name=big,memory=2G"}
    return True if ROWS[name].is_flag else special.get(name, "17")


def has_a_second_value(name: str) -> bool:
    return ROWS[name].remembered and some_value(name) != DEFAULTS[name]


@pytest.fixture(autouse=True)
def _no_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the real machine is read: an empty home, directory, site and environment."""
    monkeypatch.setattr(options, "SITE_CONFIG", tmp_path / "etc.toml")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.config").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("JOBTREE_")]:
        monkeypatch.delenv(variable)


def parsed(*words: str, parser: argparse.ArgumentParser | None = None, prefix: str = "") -> Options:
    parser = parser or argparse.ArgumentParser()
    add_options(parser, prefix)
    return Options.from_namespace(parser.parse_args(words))


class TestCommandLine:
    def test_without_options_everything_is_default_and_nothing_is_given(self) -> None:
        assert parsed() == Options()
        assert parsed().given == frozenset()
        assert parsed().origins == {}

    def test_values_are_read_in_their_units(self) -> None:
        found = parsed(
            *("--tree", "~/t", "--workers", "0:20", "--worker-cpus", "0.5", "--worker-memory", "1.5G"),
            *("--worker-patience", "2m", "--max-log-size", "1M", "--retries", "3", "--log-level", "debug"),
            *("--port-range", "7000:7100", "--fail-fast"),
        )
        assert found.tree == Path.home() / "t"
        assert found.workers == Workers(0, 20)
        assert (found.worker_cpus, found.worker_memory) == (0.5, 3 << 29)
        assert (found.worker_patience, found.max_log_size, found.retries) == (120.0, 1 << 20, 3)
        assert (found.log_level, found.port_range, found.fail_fast) == ("DEBUG", Ports(7000, 7100), True)

    @pytest.mark.parametrize("name", sorted(ROWS))
    def test_every_option_also_has_its_long_name(self, name: str) -> None:
        value = some_value(name)
        words = [f"--jobtree-{name.replace('_', '-')}", *([] if value is True else [value])]
        assert parsed(*words, parser=None).given == {name}

    def test_a_name_that_the_script_has_stays_the_scripts(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--retries", type=float)
        add_options(parser)
        args = parser.parse_args(["--retries", "0.5", "--jobtree-retries", "4"])
        assert args.retries == 0.5
        assert Options.from_namespace(args).retries == 4
        assert "--jobtree-retries N" in parser.format_help()

    def test_even_an_old_name_that_the_script_has_stays_the_scripts(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--stats", type=int)
        parser.add_argument("--jobTree")
        add_options(parser)
        args = parser.parse_args(["--stats", "5", "--jobTree", "mine"])
        assert (args.stats, args.jobTree, args.jobtree_tree) == (5, "mine", None)

    def test_a_prefix_stands_before_all_names(self) -> None:
        found = parsed("--jt-workers", "2", "--jt-fail-fast", prefix="jt-")
        assert (found.workers, found.fail_fast) == (Workers(None, 2), True)
        with pytest.raises(SystemExit):
            parsed("--workers", "2", prefix="jt-")

    def test_a_group_of_the_script_takes_the_options_too(self) -> None:
        parser = argparse.ArgumentParser()
        add_options(parser.add_argument_group("cluster"))
        assert Options.from_namespace(parser.parse_args(["--workers", "3"])).workers == Workers(None, 3)
        assert "jobtree: " not in parser.format_help()

    def test_adding_the_options_twice_changes_nothing(self) -> None:
        parser = argparse.ArgumentParser()
        add_options(parser)
        once = parser.format_help()
        add_options(parser)
        assert parser.format_help() == once

    def test_a_flag_of_a_file_can_be_taken_back(self, tmp_path: Path) -> None:
        (tmp_path / "jobtree.toml").write_text("keep-going = true\n")
        assert parsed().keep_going
        assert not parsed("--no-keep-going").keep_going

    def test_the_help_fits_80_columns_and_hides_second_and_old_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        parser = argparse.ArgumentParser(prog="sweep.py")
        add_options(parser)
        help_text = parser.format_help()
        assert max(len(line) for line in help_text.splitlines()) <= 80
        assert "jobtree: workers:" in help_text
        for hidden in ("--jobTree", "--batchSystem", "--stats", "--jobtree-", "--no-", "==SUPPRESS=="):
            assert hidden not in help_text
        for name in ROWS:
            assert f"--{name.replace('_', '-')}" in help_text

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--workers", "many"], "argument --workers: 'many' is neither a number of workers nor"),
            (["--workers", "9:1"], "'9:1' is neither"),
            (["--default-memory", "2 GB-ish"], "argument --default-memory: '2 GB-ish' is not a size"),
            (["--retries=-1"], "argument --retries: '-1' is not a whole number of 0 or more"),
            (["--launcher", "slurmy"], "argument --launcher: there is no launcher 'slurmy'; known: gridengine, "),
            (["--log-level", "loud"], "argument --log-level: 'LOUD' is not one of OFF, DEBUG"),
            (["--worker-cpus", "nan"], "argument --worker-cpus: 'nan' is not a number of cpus"),
            (["--port-range", "0:70000"], "is not a range of ports"),
            (["--slurm-memory-per", "rack"], "argument --slurm-memory-per: 'rack' is not one of node, cpu"),
        ],
    )
    def test_nonsense_is_refused_in_one_line_that_names_the_option(
        self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            parsed(*words)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


class TestOldNames:
    def test_old_names_mean_the_new_options(self) -> None:
        found = parsed(
            *("--jobTree", "t", "--batchSystem", "singleMachine", "--maxThreads", "8", "--defaultCpu", "2"),
            *("--defaultMemory", "1000000000", "--maxCpus", "16", "--maxMemory", "9223372036854775807"),
            *("--retryCount", "3", "--maxJobDuration", "3600", "--maxLogFileSize", "50120"),
            *("--logLevel", "info", "--logFile", "log.txt"),
        )
        assert found == Options(
            tree=Path("t"),
            launcher="local",
            worker_cpus=8,
            default_cpus=2,
            default_memory=1_000_000_000,
            max_cpus=16,
            max_memory=9223372036854775807,
            retries=3,
            time_limit=3600,
            max_log_size=50120,
            log_level="INFO",
            log_file=Path("log.txt"),
        )

    @pytest.mark.parametrize(("flag", "level"), [("--logOff", "OFF"), ("--logInfo", "INFO"), ("--logDebug", "DEBUG")])
    def test_old_logging_flags_set_the_level(self, flag: str, level: str) -> None:
        assert parsed(flag).log_level == level

    def test_options_that_lost_their_meaning_are_accepted_and_leave_no_trace(self) -> None:
        parser = argparse.ArgumentParser()
        add_options(parser)
        args = parser.parse_args(["--stats", "--jobTime", "30", "--rescueJobsFrequency", "60"])
        assert vars(args) == vars(parser.parse_args([]))


class TestLayers:
    def test_each_layer_wins_over_the_one_below_and_is_remembered_as_the_origin(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        places = [options.SITE_CONFIG, tmp_path / "home/.config/jobtree.toml", Path("jobtree.toml")]
        named = tmp_path / "named.toml"
        for n, path in enumerate([*places, named]):
            names = ["retries", "target-time", "default_cpus", "worker-cpus", "max-cpus", "time-limit"][n:]
            path.write_text("".join(f"{name} = {n + 1}\n" for name in names))
        monkeypatch.setenv("JOBTREE_MAX_CPUS", "5")
        monkeypatch.setenv("JOBTREE_TIME_LIMIT", "5")
        found = parsed("--config", str(named), "--time-limit", "6")
        assert (found.retries, found.target_time, found.default_cpus) == (1, 2.0, 3.0)
        assert (found.worker_cpus, found.max_cpus, found.time_limit) == (4.0, 5.0, 6.0)
        assert found.origins == {
            "retries": str(places[0]),
            "target_time": str(places[1]),
            "default_cpus": "jobtree.toml",
            "worker_cpus": str(named),
            "max_cpus": "JOBTREE_MAX_CPUS",
            "time_limit": "command line",
            "config": "command line",
        }
        assert found.given == {"worker_cpus", "time_limit", "config"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('retrys = 1', "jobtree.toml: unknown key 'retrys'; did you mean 'retries'?"),
            ('quantum = 1', "jobtree.toml: unknown key 'quantum'"),
            ('default-memory = "lots"', "jobtree.toml: default_memory: 'lots' is not a size"),
            ('fail-fast = "perhaps"', "jobtree.toml: fail_fast: 'perhaps' is neither true nor false"),
            ('fresh = true', "jobtree.toml: 'fresh' can only be given on the command line"),
            ('retries =', "jobtree.toml: Invalid value"),
            ('[[pool]]\nname = "big"\nspeed = 3', "jobtree.toml: pool: a pool has no 'speed'"),
            ('[[target]]\nname = "big"', "jobtree.toml: unknown key 'target'"),
        ],
    )  # fmt: skip
    def test_a_wrong_file_is_refused_in_one_line_with_its_name(self, text: str, message: str) -> None:
        Path("jobtree.toml").write_text(text)
        with pytest.raises(UsageError) as refused:
            parsed()
        assert str(refused.value).startswith(message)
        assert "\n" not in str(refused.value)

    def test_a_config_file_that_is_not_there_is_an_error(self) -> None:
        with pytest.raises(UsageError, match=r"--config no\.toml: no such file"):
            parsed("--config", "no.toml")

    def test_a_misspelt_variable_is_an_error_and_a_foreign_one_is_not_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JOBTREE_FLAVOUR", "vanilla")
        monkeypatch.setenv("JOBTREE_RETRIES", "")
        assert parsed() == Options()
        monkeypatch.setenv("JOBTREE_RETRYS", "1")
        with pytest.raises(UsageError, match=r"JOBTREE_RETRYS: unknown variable; did you mean JOBTREE_RETRIES\?"):
            parsed()

    def test_a_wrong_variable_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JOBTREE_RETRIES", "x")
        with pytest.raises(UsageError, match=r"^JOBTREE_RETRIES: retries: 'x' is not a whole number"):
            parsed()


class TestKeywords:
    def test_keywords_win_over_parsed_arguments_and_none_is_not_given(self) -> None:
        parser = argparse.ArgumentParser()
        add_options(parser)
        found = Options.merged(parser.parse_args(["--retries", "1", "--workers", "2"]), retries=5, workers=None)
        assert (found.retries, found.workers) == (5, Workers(None, 2))
        assert found.origins == {"retries": "keyword", "workers": "command line"}

    def test_keywords_are_read_like_words_of_a_command_line(self) -> None:
        found = Options.from_keywords(default_memory="4G", workers=3, tree="t", time_limit="2h")
        assert (found.default_memory, found.workers, found.tree) == (4 << 30, Workers(None, 3), Path("t"))
        assert found.time_limit == 7200.0

    def test_an_unknown_keyword_is_an_error_with_the_nearest_name(self) -> None:
        with pytest.raises(UsageError, match="there is no option 'retry'; did you mean 'retries'"):
            Options.from_keywords(retry=1)

    def test_options_made_by_hand_count_as_given_and_layers_lie_below_them(self) -> None:
        Path("jobtree.toml").write_text("retries = 7\ntarget-time = 9\n")
        found = Options.merged(Options(retries=2), fail_fast=True)
        assert (found.retries, found.target_time, found.fail_fast) == (2, 9.0, True)
        assert found.given == {"retries", "fail_fast"}
        assert Options.merged(found) == found

    def test_a_value_that_makes_no_sense_is_refused_with_its_name(self) -> None:
        with pytest.raises(UsageError, match=r"^retries: -1 is not"):
            Options(retries=-1)


class TestMemoryOfTheTree:
    @pytest.mark.parametrize("name", [name for name in ROWS if has_a_second_value(name)])
    def test_what_a_tree_remembers_comes_back_equal(self, name: str) -> None:
        changed = Options.from_keywords(**{name: some_value(name)})
        wire = changed.to_wire()
        assert set(wire) == {name}
        back = Options.from_wire(wire)
        was, now = getattr(changed, name), getattr(back, name)
        assert now == (was.absolute() if isinstance(was, Path) else was)
        assert (back.given, back.origins) == (frozenset(), {name: "the tree"})

    def test_at_a_restart_what_is_given_wins_and_the_rest_is_the_trees(self) -> None:
        remembered = Options.from_wire(Options.from_keywords(retries=3, default_cpus=2).to_wire())
        Path("jobtree.toml").write_text("default-cpus = 8\ntarget-time = 5\n")
        found = Options.from_keywords(retries=0, tree="t").restarting(remembered)
        assert (found.retries, found.default_cpus, found.target_time, found.tree) == (0, 2.0, 0.2, Path("t"))
        assert found.origins == {"retries": "keyword", "default_cpus": "the tree", "tree": "keyword"}

    def test_an_option_that_this_version_does_not_have_is_refused(self) -> None:
        with pytest.raises(UsageError, match="remembers an option 'warp' that this version does not have"):
            Options.from_wire({"warp": 9})


def test_every_field_is_a_row_or_says_where_values_came_from() -> None:
    assert {field.name for field in dataclasses.fields(Options)} - set(ROWS) == {"launcher_settings", "origins", "given"}

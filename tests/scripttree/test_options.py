"""The options of old scripts: titles, names, defaults and untyped values in both kinds of parsers, and what is made of them."""

from __future__ import annotations

import optparse
import pickle
import sys
from argparse import ArgumentParser
from typing import Any

import pytest

from jobtree.errors import UsageError
from jobtree.scripttree._options import translate
from jobtree.scripttree.stack import Stack

TITLES = [
    "Logging options",
    "jobTree core options",
    "jobTree options for specifying the batch system",
    "jobTree options for cpu/memory requirements",
    "jobTree options for rescuing/killing/restarting jobs",
    "jobTree big batch system options",
    "jobTree miscellaneous options",
]
DEFAULTS: dict[str, Any] = {
    "logOff": False, "logInfo": False, "logDebug": False, "logLevel": "CRITICAL", "logFile": None, "logRotating": False,
    "jobTree": "./jobTree", "stats": False,
    "batchSystem": "singleMachine", "maxThreads": 4, "parasolCommand": "parasol",
    "defaultMemory": 2**31, "defaultCpu": 1, "maxCpus": sys.maxsize, "maxMemory": sys.maxsize,
    "retryCount": 0, "maxJobDuration": str(sys.maxsize), "rescueJobsFrequency": None,
    "bigBatchSystem": None, "bigMemoryThreshold": sys.maxsize, "bigCpuThreshold": sys.maxsize,
    "bigMaxCpus": sys.maxsize, "bigMaxMemory": sys.maxsize,
    "jobTime": 30, "maxLogFileSize": 50120, "command": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nobody_elses_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_both_kinds_of_parsers_get_the_old_defaults_without_types() -> None:
    old = optparse.OptionParser()
    Stack.addJobTreeOptions(old)
    assert vars(old.parse_args([])[0]) == DEFAULTS
    new = ArgumentParser()
    Stack.addJobTreeOptions(new)
    assert vars(new.parse_args([])) == DEFAULTS
    assert vars(Stack.getDefaultOptions()) == DEFAULTS
    words = ["--maxThreads", "7", "--defaultMemory", "3000000000", "--retryCount", "2", "--rotatingLogging"]
    for given in (old.parse_args(words)[0], new.parse_args(words)):
        assert (given.maxThreads, given.defaultMemory, given.retryCount, given.logRotating) == ("7", "3000000000", "2", True)


def test_the_groups_of_optparse_are_real_ones_with_the_old_titles() -> None:
    parser = optparse.OptionParser()
    Stack.addJobTreeOptions(parser)
    assert [group.title for group in parser.option_groups] == TITLES
    options, _ = parser.parse_args(["--maxThreads", "7", "--stats"])
    changed = []  # as a program does that passes its options on to another script
    for group in parser.option_groups:
        if group.title.lower().startswith("jobtree"):
            for option in group.option_list:
                value = getattr(options, option.dest)
                if value != group.defaults[option.dest]:
                    changed.append(str(option) + (f" {value}" if option.nargs == 1 else ""))
    assert changed == ["--stats", "--maxThreads 7"]


def test_the_groups_of_argparse_have_the_old_titles() -> None:
    parser = ArgumentParser()
    Stack.addJobTreeOptions(parser)
    assert [group.title for group in parser._action_groups][-7:] == TITLES


def test_an_option_can_be_removed_again() -> None:
    parser = optparse.OptionParser()
    Stack.addJobTreeOptions(parser)
    parser.remove_option("--jobTree")
    assert not parser.has_option("--jobTree")
    assert parser.parse_args([])[0].jobTree == "./jobTree"
    with pytest.raises(SystemExit):
        parser.parse_args(["--jobTree", "x"])


def test_a_parser_may_add_the_options_while_it_is_made() -> None:
    class Parser(optparse.OptionParser):
        def __init__(self) -> None:
            optparse.OptionParser.__init__(self, usage="%prog")
            Stack.addJobTreeOptions(self)

    assert Parser().parse_args(["--jobTree", "T"])[0].jobTree == "T"


def test_the_options_go_into_a_group_of_the_script_too() -> None:
    parser = optparse.OptionParser()
    group = optparse.OptionGroup(parser, "ours")
    Stack.addJobTreeOptions(group)
    parser.add_option_group(group)
    assert parser.parse_args(["--jobTree", "T"])[0].jobTree == "T"


@pytest.mark.parametrize("nothing", [None, "parser", {}])
def test_what_is_no_parser_is_a_runtime_error(nothing: object) -> None:
    with pytest.raises(RuntimeError, match="OptionParser"):
        Stack.addJobTreeOptions(nothing)


def test_options_can_be_pickled() -> None:
    for parser in (optparse.OptionParser(), ArgumentParser()):
        Stack.addJobTreeOptions(parser)
        parsed: Any = parser.parse_args([])
        options = parsed[0] if isinstance(parsed, tuple) else parsed
        assert vars(pickle.loads(pickle.dumps(options))) == DEFAULTS


def translated(**changes: Any) -> Any:
    options = Stack.getDefaultOptions()
    for name, value in changes.items():
        setattr(options, name, value)
    return translate(options)


def test_one_machine_has_threads_and_no_other_limit() -> None:
    options, terms = translated()
    assert (options.launcher, options.workers.most, options.worker_cpus, options.retries) == ("local", 1, 4.0, 0)
    assert terms.requests(memory=1e15, cpus=50) == {"cpus": 1.0}
    assert not terms.refusal(memory=1e15, cpus=50)


def test_limits_of_one_machine_are_shared_by_its_threads() -> None:
    options, terms = translated(maxThreads="8", maxCpus="10", maxMemory=str(16 << 30), defaultMemory="1000000000")
    assert options.worker_cpus == 8.0
    assert terms.requests(memory=sys.maxsize, cpus=sys.maxsize) == {"cpus": 1.0}
    assert terms.requests(memory=sys.maxsize, cpus=2) == {"cpus": 2.0}  # two of eight threads with 1.25 cpus each
    assert terms.requests(memory=8 << 30, cpus=0.5) == {"cpus": 4.0}
    assert (
        terms.refusal(memory=17 << 30, cpus=1)
        == "more memory requested than available: 18253611008, and --maxMemory is 17179869184"
    )
    assert terms.refusal(memory=sys.maxsize, cpus=11) == "more cpus requested than available: 11, and --maxCpus is 10"


def test_on_a_cluster_requests_are_what_they_are() -> None:
    options, terms = translated(batchSystem="gridEngine", maxCpus="20", defaultMemory="3e9", defaultCpu="2")
    assert (options.launcher, options.max_cpus, options.default_memory, options.default_cpus) == ("gridengine", 20, 3 * 10**9, 2)
    assert terms.requests(memory=3e9, cpus=0.5) == {"memory": 3 * 10**9, "cpus": 0.5}
    assert terms.requests(memory=sys.maxsize, cpus=sys.maxsize) == {}
    assert terms.refusal(memory=1, cpus=21)


def test_a_second_batch_system_is_a_pool_for_what_asks_for_much() -> None:
    options, terms = translated(bigBatchSystem="gridEngine", bigMemoryThreshold="3e9", bigCpuThreshold="2", bigMaxCpus="64")
    assert options.pool == (f"name=small,launcher=local,cpus=4,memory={1 << 60},max=1", "name=big,launcher=gridengine,max=64")
    assert terms.requests(1, 1) == {"pool": "small", "cpus": 1.0, "memory": 1 << 56}
    assert terms.of(memory=3e9, cpus=2) is terms
    assert terms.of(memory=sys.maxsize, cpus=sys.maxsize) is terms
    for memory, cpus, wanted in ((4e9, sys.maxsize, (4 * 10**9, 1.0)), (sys.maxsize, 3, (2**31, 3.0))):
        found = terms.of(memory, cpus).requests(memory, cpus)
        assert found == {"pool": "big", "memory": wanted[0], "cpus": wanted[1]}
    assert terms.of(1, 65).refusal(1, 65)


@pytest.mark.parametrize("name", ["singleMachine", "single_machine", "acidTest", "acid_test"])
def test_old_names_of_batch_systems(name: str) -> None:
    options, terms = translated(batchSystem=name)
    assert options.launcher == "local"
    assert terms.half_die == (name[0] == "a")
    assert terms.requests(1, 1).get("retries") == (31 if terms.half_die else None)


def test_an_unknown_batch_system_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="Unrecognised batch system: pbs"):
        translated(batchSystem="PBS")


def test_a_job_may_last_ten_times_the_job_time_at_least() -> None:
    assert translated(maxJobDuration="100")[0].time_limit == 300
    assert translated(maxJobDuration="400", jobTime="1.0")[0].time_limit == 400
    assert translated(maxJobDuration="10000000")[0].time_limit is None


def test_what_is_left_at_its_default_leaves_the_word_to_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBTREE_RETRIES", "5")
    monkeypatch.setenv("JOBTREE_LAUNCHER", "slurm")
    options, terms = translated()
    assert (options.retries, options.launcher, terms.threads) == (5, "slurm", 0)
    assert translated(retryCount="1", batchSystem="single_machine")[0].retries == 1


def test_a_limit_of_nothing_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^--maxCpus: must be more than 0$"):
        translated(maxCpus="0")


def test_target_and_stack_can_be_imported_from_either_module() -> None:
    from jobtree.scripttree import stack, target

    assert stack.Target is target.Target
    assert target.Stack is stack.Stack
    assert target.Target.makeTargetFnTarget is target.Target.makeTargetFn
    with pytest.raises(AttributeError, match="has no attribute 'Stick'"):
        _ = target.Stick


def test_a_number_that_is_none_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^--retryCount: 'many' is not a number$"):
        translated(retryCount="many")

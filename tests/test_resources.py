"""Sizes, times and requests: parsed as people write them, refused in one line, and written back."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtree.errors import Cause, UsageError
from jobtree.resources import (
    NO_REQUESTS,
    Requests,
    Resources,
    format_size,
    format_time,
    parse_size,
    parse_time,
)


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("100M", 100 << 20),
        ("2G", 2 << 30),
        ("1.5g", 3 << 29),
        ("2GiB", 2 << 30),
        ("2 GB", 2 << 30),
        ("512", 512),
        ("0", 0),
        ("3e9", 3_000_000_000),
        (3e9, 3_000_000_000),
        (0.5, 1),
        (7, 7),
    ],
)
def test_sizes_are_powers_of_1024_or_bytes(written: str | float, size_bytes: int) -> None:
    assert parse_size(written) == size_bytes
    assert type(parse_size(written)) is int


@pytest.mark.parametrize("written", ["", "M", "1X", "1.2.3G", "-1", -1, "1G1", True, None, float("nan"), float("inf"), [1]])
def test_what_is_no_size_is_refused_in_one_line(written: Any) -> None:
    with pytest.raises(UsageError, match=r"^memory: ") as caught:
        parse_size(written, "memory")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("250ms", 0.25),
        ("0.5h", 1800.0),
        ("15", 15.0),
        (15, 15.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_times_are_seconds_or_have_units(written: Any, seconds: float) -> None:
    assert parse_time(written) == seconds


@pytest.mark.parametrize("written", ["", " ", "h", "1h30", "1:30", "-1s", -1, None, True, float("inf"), "1e400"])
def test_what_is_no_time_is_refused_in_one_line(written: Any) -> None:
    with pytest.raises(UsageError, match=r"^time_limit: "):
        parse_time(written, "time_limit")


@given(st.integers(min_value=0, max_value=999), st.sampled_from(["", "K", "M", "G", "T", "P"]))
def test_a_whole_size_is_written_as_it_is_read(number: int, unit: str) -> None:
    size_bytes = parse_size(f"{number}{unit}")
    assert parse_size(format_size(size_bytes)) == size_bytes


@given(st.floats(min_value=0.01, max_value=1e8))
def test_a_time_is_written_within_two_percent_of_what_it_is(seconds: float) -> None:
    assert parse_time(format_time(seconds)) == pytest.approx(seconds, rel=0.02)


def test_sizes_and_times_are_short_for_people() -> None:
    sizes = [format_size(n) for n in (0, 1023, 1536, 2 << 30, -(5 << 20))]
    assert sizes == ["0", "1023", "1.5K", "2G", "-5M"]
    assert [format_time(t) for t in (0, 0.25, 59.9, 61, 3600, 90_000)] == [
        "0s",
        "0.25s",
        "59.9s",
        "1m1s",
        "1h",
        "1d1h",
    ]


def test_requests_are_checked_and_parsed_and_aliases_are_known() -> None:
    requests = Requests.of(cpu=2, memory="1G", time="10m", gpu=0.5, retry_on=[OSError, "exit", 3], priority=-1)
    assert (requests.cpus, requests.memory, requests.gpus) == (2.0, 1 << 30, 0.5)
    assert requests.expected_time == 600.0
    assert requests.retry_on == ("builtins.OSError", "exit", 3)
    assert requests.priority == -1


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"memroy": 1}, "did you mean 'memory'"),
        ({"cpus": 0}, "more than 0"),
        ({"cpus": "many"}, "cpus: 'many' is not a number"),
        ({"cpus": True}, "cpus: True"),
        ({"cpu": 1, "cpus": 2}, "'cpus' is given twice"),
        ({"retries": -1}, "negative"),
        ({"retries": 1.5}, "whole number"),
        ({"isolate": 1}, "neither True nor False"),
        ({"resources": ["licence"]}, '{"licence": 1}'),
        ({"resources": {"licence": -1}}, "licence"),
        ({"retry_on": [print]}, "no exception class"),
        ({"time_limit": 0}, "more than 0"),
        ({"name": ""}, "is not a name"),
        ({"pool": 3}, "pool: 3"),
        ({"name": "x" * 201}, "name: 201 characters are too many for a name; the most is 200"),
        ({"pool": "x" * 201}, "pool: 201 characters"),
        ({"retry_on": ["x" * 201]}, "retry_on: 201 characters"),
        ({"retry_on": [type("E" * 201, (ValueError,), {})]}, "retry_on: "),
        ({"retry_on": range(101)}, "retry_on: more than 100"),
        ({"retry_on": itertools.count()}, "retry_on: more than 100"),
        ({"retry_on": [2**64]}, "retry_on: "),
        ({"resources": {f"r{n}": 1 for n in range(101)}}, "resources: more than 100"),
        ({"resources": {"x" * 201: 1}}, "resources: 201 characters"),
        ({"resources": {"licence": 10**400}}, "licence"),
        ({"memory": "100000000000G"}, "memory: '100000000000G' is more than a machine can have; the most is 1024P"),
        ({"memory": 10**400}, "more than a machine can have"),
        ({"memory": 10**5000}, "more than a machine can have"),
        ({"disk": 2**60 + 1}, "more than a machine can have"),
        ({"cpus": 1_000_001}, "cpus: 1000001 is too much; the most is 1000000"),
        ({"gpus": 10**400}, "gpus: "),
        ({"expected_time": 2e12}, "expected_time: 2000000000000.0 is too long"),
        ({"time_limit": 10**400}, "time_limit: "),
        ({"retries": 2**64}, "retries: "),
        ({"priority": 2**64}, "priority: "),
        ({"priority": -(2**64)}, "priority: "),
    ],
)
def test_senseless_requests_are_refused_in_one_line(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Requests.of(**keywords)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_most_that_can_be_asked_for_fits_into_a_message() -> None:
    requests = Requests.of(
        cpus=1e6, gpus=1e6, memory=2**60, disk="1024P", retries=10**9, priority=-(10**9), expected_time=0, time_limit=1e12,
        name="x" * 200, retry_on=range(100), resources={f"{n} {'y' * 190}": 1 for n in range(100)},
    )  # fmt: skip
    assert Requests.from_wire(msgpack.unpackb(msgpack.packb(requests.to_wire())), "x" * 200) == requests
    assert requests.expected_time == 0.0


def test_what_is_said_nearer_wins() -> None:
    by_class = Requests.of(memory="1G", cpus=1, name="class")
    assert Requests.of(cpus=4).over(by_class) == Requests.of(memory="1G", cpus=4, name="class")
    assert NO_REQUESTS.over(by_class) is by_class
    assert by_class.over(NO_REQUESTS) is by_class


def test_the_wire_has_only_what_was_given_and_not_the_name() -> None:
    requests = Requests.of(cpus=2, resources={"licence": 1}, retry_on="exit", isolate=False, name="n")
    wire = requests.to_wire()
    assert wire == {"cpus": 2.0, "resources": {"licence": 1.0}, "retry_on": ["exit"], "isolate": False}
    assert Requests.from_wire(wire, "n") == requests
    assert hash(Requests.from_wire(wire, "n")) == hash(requests)
    assert NO_REQUESTS.to_wire() == {}


def test_retry_on_matches_causes_statuses_and_classes() -> None:
    requests = Requests.of(retry_on=["memory", 3, OSError])
    assert requests.may_retry(Cause.MEMORY)
    assert requests.may_retry(Cause.EXIT, 3)
    assert requests.may_retry(Cause.EXCEPTION, None, ["builtins.FileNotFoundError", "builtins.OSError"])
    assert not requests.may_retry(Cause.EXIT, 4)
    assert not requests.may_retry(Cause.EXCEPTION, None, ["builtins.ValueError"])
    assert NO_REQUESTS.may_retry(Cause.EXIT, 4)


def test_resources_fit_where_there_is_enough_of_each() -> None:
    worker = Resources(cpus=4, memory=100, gpus=1, disk=10, named={"licence": 1})
    assert worker.fits(worker.copy())
    for more in ({"cpus": 4.1}, {"memory": 101}, {"gpus": 2}, {"disk": 11}, {"named": {"licence": 2}}):
        assert not worker.fits(Resources(**more))
    assert not worker.fits(Resources(named={"other": 1}))
    assert worker.fits(Resources())


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 1 / 3, 0.7]), max_size=60))
def test_what_was_taken_and_given_back_can_be_taken_again(parts: list[float]) -> None:
    worker, whole = Resources(cpus=20, named={"x": 20}), Resources(cpus=20, named={"x": 20})
    for part in parts:
        worker.subtract(Resources(cpus=part, named={"x": part}))
    for part in reversed(parts):
        worker.add(Resources(cpus=part, named={"x": part}))
    assert worker.fits(whole)


def test_ten_tenths_of_a_cpu_fit_into_one() -> None:
    worker, tenth = Resources(cpus=1), Resources(cpus=0.1)
    for _ in range(10):
        assert worker.fits(tenth)
        worker.subtract(tenth)
    assert not worker.fits(tenth)


def test_what_a_target_wants_is_filled_up_with_defaults() -> None:
    assert Resources.wanted_by({"cpus": 2.0}, 1.0, 50) == Resources(cpus=2, memory=50)
    assert Resources.wanted_by({"memory": 7, "resources": {"x": 1.0}}, 1.0, 50).key() == (
        1.0,
        7,
        0.0,
        0,
        (("x", 1.0),),
    )

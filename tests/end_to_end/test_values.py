"""Promises: values arrive wherever pickling finds the promise, and what can't be kept is refused."""

from __future__ import annotations

import pytest

from tests.support.scripts import Project

HEAD = """
import dataclasses, os, time, jobtree
from jobtree import Target

@jobtree.target
def leaf(x): return x
"""
MAIN = """
if __name__ == "__main__":
    print(jobtree.run(root(), tree="T", workers=1))
"""


def test_values_arrive_in_all_containers_attributes_and_closures(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@dataclasses.dataclass
class Box:
    content: object

@dataclasses.dataclass
class Data(Target):
    x: object
    def run(self): return ("data", self.x)

class Plain(Target):
    def __init__(self, x):
        self.x = x
    def run(self): return ("plain", self.x)

@jobtree.target
def show(*args, **kwargs): return (args, kwargs)

@jobtree.target
def root(target):
    p = [target.add_child(leaf(i)) for i in range(12)]
    closed = p[9]
    got = [
        target.add_child(show(p[0], [p[1], (p[2], {"k": [p[3]]})], Box(p[4]), k=p[5])),
        target.add_child(Data([p[6]])),
        target.add_child(Plain({"a": p[7]})),
        target.add_child(jobtree.call(lambda: closed)),
        target.add_child(jobtree.call(max, p[10], p[11].value)),
    ]
    return target.set_follow_on(show(got, p[8]))
"""
        + MAIN
    )
    assert ended.lines == [
        "(([((0, [1, (2, {'k': [3]})], Box(content=4)), {'k': 5}), ('data', [6]), ('plain', {'a': 7}), 9, 11], 8), {})"
    ]


def test_a_returned_promise_passes_results_up_through_many_levels(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def down(target, n):
    if n == 0:
        return {"bottom": target.add_child(leaf("x")), "list": [target.add_child(leaf(1)), 2]}
    return target.add_child(down(n - 1)) if n % 2 else target.set_follow_on(down(n - 1))

@jobtree.target
def root(target):
    return target.add_child(down(9))
"""
        + MAIN
    )
    assert ended.lines == ["{'bottom': 'x', 'list': [1, 2]}"]


def test_promises_inside_a_returned_container_are_kept_when_their_chains_have_ended(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def late(target, x):
    time.sleep(0.1)
    return target.set_follow_on(leaf(x))

@jobtree.target
def pair(target):
    return [target.add_child(late("a")), (target.add_child(late("b")), 3)]

@jobtree.target
def use(value): return repr(value)

@jobtree.target
def root(target):
    made = target.add_child(pair())
    return {"used": target.add_child(use(made)), "itself": made}
"""
        + MAIN
    )
    assert ended.lines == ["""{'used': "['a', ('b', 3)]", 'itself': ['a', ('b', 3)]}"""]


def test_large_values_and_arguments_travel_through_files(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def big(n): return os.urandom(1) * n

@jobtree.target
def sizes(parts, text): return [len(part) for part in parts] + [len(text)]

@jobtree.target
def root(target):
    parts = [target.add_child(big(n)) for n in (10, 200_000, 3_000_000)]
    return target.set_follow_on(sizes(parts, "x" * 500_000))
"""
        + MAIN
    )
    assert ended.lines == ["[10, 200000, 3000000, 500000]"]
    assert [path for path in project.tree.glob("blobs/*/*") if path.is_file()] == []


def test_a_root_and_a_result_of_megabytes_are_no_matter(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def double(data): return data * 2

if __name__ == "__main__":
    print(len(jobtree.run(double(b"x" * 1_000_000), tree="T")))
    print(len(jobtree.run(double(b"x" * 1_000_000), tree="T")))
"""
    )
    assert ended.lines == ["2000000", "2000000"]


def test_the_same_value_can_be_taken_by_many(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def plus(a, b): return len(a) + b

@jobtree.target
def root(target):
    shared = target.add_child(leaf("x" * 100_000))
    return [target.add_child(plus(shared, i)) for i in range(20)]
"""
        + MAIN
    )
    assert ended.lines == [str([100_000 + i for i in range(20)])]


def test_a_failure_that_is_allowed_takes_the_place_of_the_value(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def bad(): raise ValueError("deep down")

@jobtree.target
def above(target):
    target.add_child(bad())
    return target.add_child(leaf("never used"))

@jobtree.target
def use(parts):
    assert not parts[0] and not parts[1] and isinstance(parts[0], jobtree.Failure)
    return [parts[0].name, parts[0].cause, parts[0].message, parts[1].name, parts[2]]

@jobtree.target
def root(target):
    parts = [
        target.add_child(bad(), allow_failure=True), target.add_child(above(), allow_failure=True), target.add_child(leaf(3)),
    ]
    return target.set_follow_on(use(parts))
"""
        + MAIN
    )
    assert ended.lines == ["['bad', 'exception', 'ValueError: deep down', 'bad', 3]"]
    assert "2 failed" in ended.err


def test_a_taker_of_a_failed_target_s_value_never_runs(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def bad(): raise ValueError("bad")

@jobtree.target
def taker(x): open("ran", "w")

@jobtree.target
def root(target):
    target.add_child(taker([target.add_child(bad())]))
"""
        + MAIN,
        status=1,
    )
    assert "1 bad failed:" in ended.err
    assert not (project.directory / "ran").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("target.add_child(leaf({p: 1}))", "cannot be a dict key"),
        ("target.add_child(leaf({p}))", "cannot be a dict key or the member of a set"),
        ("bool(p)", "not known until the target runs; pass it to a target"),
        ("for _ in p: pass", "not known until the target runs"),
        ("p + 1", "not known until the target runs"),
        ("p.attribute", "not known until the target runs"),
        ("target.add_child(leaf(target.set_follow_on(leaf(1))))", "follow-on"),
        ("return leaf(1)", "return target.add_child(...)"),
        ("target.add_child(leaf)", "is to be called: leaf(...)"),
        ("target.add_child(5)", "int is not a target"),
        ("target.add_child(leaf(1), after=[5])", "is not a promise"),
        ("target.add_child(handover(p))", "another target's run() made"),
    ],
)
def test_a_misused_promise_or_target_is_explained(project: Project, body: str, words: str) -> None:
    ended = project.script(
        HEAD
        + f"""
class handover(Target):
    def __init__(self, p): self.p = p
    def run(self):
        return self.add_child(leaf(jobtree.Promise((1, 1, 1))))

@jobtree.target
def root(target):
    p = target.add_child(leaf(1))
    {body}
"""
        + MAIN,
        status=1,
    )
    assert words in ended.err

"""Fibonacci numbers by promises: the slowest way to get them, and the shortest to see how results flow.

    python examples/fibonacci.py 20

A target returns at once; what it returns may be a *promise*, the result of a target that has not run yet.
The sum of two promises is the business of a follow-on: when it runs, it finds numbers in their place.
(`.value` is the promise itself; to a type checker it is the number that will be.)
"""

from __future__ import annotations

import argparse

import jobtree
from jobtree import Target


@jobtree.target(memory="16M")
def fibonacci(target: Target[int], n: int) -> int:
    """The n-th Fibonacci number, or the promise of it."""
    if n < 2:
        return n
    parts = [target.add_child(fibonacci(n - 1)).value, target.add_child(fibonacci(n - 2)).value]
    return target.set_follow_on(add(parts)).value


@jobtree.target(memory="16M")
def add(numbers: list[int]) -> int:
    """Runs when both children, and all below them, have ended."""
    return sum(numbers)


def main() -> None:
    """Parse the arguments, run, and print the number."""
    parser = argparse.ArgumentParser(description="Compute a Fibonacci number with far too many targets.")
    parser.add_argument("n", type=int, metavar="N", help="which one; N = 20 takes 32,836 targets")
    jobtree.add_options(parser)
    args = parser.parse_args()
    if args.n < 0:
        parser.error("N must not be negative")
    print(jobtree.run(fibonacci(args.n), args))


if __name__ == "__main__":
    main()

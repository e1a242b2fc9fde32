"""The user's script of these tests: what nurseries import and runners run."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import jobtree
from jobtree import Target


@jobtree.target
def nothing() -> None: ...


@jobtree.target
def echo(value: Any) -> Any:
    return value


@jobtree.target
def say(text: str, error: str = "") -> None:
    print(text)
    if error:
        print(error, file=sys.stderr)


@jobtree.target
def call(source: str, **names: Any) -> Any:
    """Run the body of a function that is given as text, so that a test shows what it runs."""
    body = "".join(f"    {line}\n" for line in source.strip().splitlines())
    space: dict[str, Any] = {**globals(), **names}
    exec(compile(f"def body():\n{body}", "body.py", "exec"), space)
    return space["body"]()


@jobtree.target
def parent(target: Target[Any], children: int, text: str = "") -> None:
    for n in range(children):
        target.add_child(echo(f"{text}{n}"))


@jobtree.target
def hang(ready: Path) -> None:
    """Run until killed; `ready` appears when it has begun."""
    print("hanging", flush=True)
    ready.touch()
    while True:
        time.sleep(60)


@jobtree.target
def deaf(ready: Path) -> None:
    """The same, and SIGTERM is ignored, also by a child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "1000"])
    ready.touch()
    while True:
        time.sleep(60)


@jobtree.target
def daemon(pidfile: Path) -> None:
    """Leave a process behind that has gone as far as it can."""
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        pidfile.with_suffix(".new").write_text(str(pid))
        pidfile.with_suffix(".new").rename(pidfile)
        os._exit(0)
    os.wait()


class Locked(Target[None]):
    def __init__(self) -> None:
        self.lock = threading.Lock()


def add_locked() -> None:
    jobtree.current_target().add_child(Locked())


def square(number: int) -> int:
    return number * number


USED = (ctypes, logging, multiprocessing, random, resource, warnings)

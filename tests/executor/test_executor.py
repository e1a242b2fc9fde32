"""`jobtree.Executor` does what executors of the standard library do, where that applies."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest

import jobtree
from tests.executor import calls

SECONDS = 120.0


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[jobtree.Executor]:
    with jobtree.Executor(2, tree=tmp_path_factory.mktemp("executor") / "tree") as shared:
        yield shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[jobtree.Executor]:
    """An executor of one worker with one cpu, that the test may shut down."""
    made = jobtree.Executor(1, worker_cpus=1, tree=tmp_path / "tree")
    yield made
    made.shutdown(cancel_futures=True)


def until_running(future: jobtree.Future[object]) -> None:
    until = time.monotonic() + SECONDS
    while not future.running() and not future.done():
        assert time.monotonic() < until
        time.sleep(0.01)


# -- calls --------------------------------------------------------------------------------------------------------------


def test_a_call_gives_its_result(executor: jobtree.Executor) -> None:
    assert executor.submit(pow, 2, 8).result(SECONDS) == 256


def test_arguments_may_have_any_names(executor: jobtree.Executor) -> None:
    future = executor.submit(calls.capture, 1, self=2, fn=3, target=4)
    assert future.result(SECONDS) == ((1,), {"self": 2, "fn": 3, "target": 4})
    with pytest.raises(TypeError):
        executor.submit(fn=calls.capture, arg=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        executor.submit(arg=1)  # type: ignore[call-arg]


def test_a_first_parameter_called_target_is_the_callers_own(executor: jobtree.Executor) -> None:
    assert executor.submit(calls.first_is_target, "mine").result(SECONDS) == "MINE"


def test_a_lambda_can_be_called(executor: jobtree.Executor) -> None:
    offset = 5
    assert executor.submit(lambda x: x + offset, 4).result(SECONDS) == 9


def test_large_arguments_and_results_go_both_ways(executor: jobtree.Executor) -> None:
    assert executor.submit(calls.many_bytes, 3 << 20).result(SECONDS) == b"x" * (3 << 20)
    assert executor.submit(calls.same, b"y" * (3 << 20)).result(SECONDS) == b"y" * (3 << 20)


def test_an_exception_comes_with_its_type_its_chain_and_the_remote_frames(executor: jobtree.Executor) -> None:
    error = executor.submit(calls.raise_rude).exception(SECONDS)
    assert isinstance(error, calls.Rude)
    assert str(error) == "this and that"
    assert isinstance(error.__cause__, KeyError)
    names = []
    trace = error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert "raise_rude" in names


def test_what_can_not_be_pickled_fails_its_own_future_only(executor: jobtree.Executor) -> None:
    bad = executor.submit(calls.same, calls.Unpicklable())
    assert isinstance(bad.exception(SECONDS), jobtree.Unpicklable)
    assert executor.submit(calls.make_unpicklable).exception(SECONDS) is not None
    assert isinstance(executor.submit(calls.make_fails_to_load).exception(SECONDS), ZeroDivisionError)
    assert executor.submit(pow, 2, 2).result(SECONDS) == 4


def test_a_process_that_dies_fails_its_own_call_and_nothing_else(executor: jobtree.Executor) -> None:
    error = executor.submit(calls.kill_self).exception(SECONDS)
    assert isinstance(error, jobtree.TargetsFailed)
    assert error.failures[0].cause is jobtree.Cause.SIGNAL
    assert executor.submit(pow, 3, 2).result(SECONDS) == 9


# -- map ----------------------------------------------------------------------------------------------------------------


def test_map_gives_results_in_order_and_stops_with_the_shortest(executor: jobtree.Executor) -> None:
    assert list(executor.map(pow, range(10), range(10))) == list(map(pow, range(10), range(10)))
    assert list(executor.map(divmod, [9, 8, 7], [2, 3])) == [(4, 1), (2, 2)]
    assert list(executor.map(pow, [], [])) == []


def test_map_raises_where_the_call_has_failed(executor: jobtree.Executor) -> None:
    results = executor.map(calls.divide, [1, 1, 1, 1], [2, 3, 0, 5])
    assert next(results) == (0, 1)
    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("size", [1, 3, 40, 50])
def test_map_can_make_chunks(executor: jobtree.Executor, size: int) -> None:
    assert list(executor.map(pow, range(40), range(40), chunksize=size)) == list(map(pow, range(40), range(40)))


def test_map_refuses_chunks_and_buffers_of_nothing(executor: jobtree.Executor) -> None:
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(pow, [1], [1], chunksize=0)
    with pytest.raises(ValueError, match="buffersize"):
        executor.map(pow, [1], [1], buffersize=0)
    with pytest.raises(TypeError, match="buffersize"):
        executor.map(pow, [1], [1], buffersize="2")  # type: ignore[arg-type]


def test_map_times_out_with_what_is_ready_given_first(executor: jobtree.Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    ready = tmp_path / "ready"
    ready.touch()
    executor.submit(pow, 1, 1).result(SECONDS)
    results = executor.map(calls.wait_for, [str(ready), str(go)], timeout=5)
    try:
        assert next(results) == str(ready)
        with pytest.raises(TimeoutError):
            next(results)
    finally:
        go.touch()


def test_map_submits_before_it_is_iterated(executor: jobtree.Executor, tmp_path: Path) -> None:
    paths = [str(tmp_path / f"touched-{n}") for n in range(5)]
    executor.map(calls.touch, paths)
    for path in paths:
        calls.wait_for(path)


def test_a_buffer_takes_no_more_from_an_endless_iterable_than_it_holds(executor: jobtree.Executor) -> None:
    taken = []

    def endless() -> Iterator[int]:
        for n in itertools.count():
            taken.append(n)
            yield n

    results = executor.map(calls.same, endless(), buffersize=7)
    assert len(taken) == 7
    assert list(itertools.islice(results, 20)) == list(range(20))
    assert len(taken) <= 20 + 7


# -- futures ------------------------------------------------------------------------------------------------------------


def test_a_callback_gets_the_future_whenever_it_was_added(executor: jobtree.Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    got: list[futures.Future[str]] = []
    called = threading.Event()

    def back(future: futures.Future[str]) -> None:
        got.append(future)
        called.set()

    future = executor.submit(calls.wait_for, str(go))
    future.add_done_callback(back)
    go.touch()
    assert called.wait(SECONDS)
    future.add_done_callback(got.append)
    assert got == [future, future]


def test_a_callback_may_submit(executor: jobtree.Executor) -> None:
    second: futures.Future[int] = futures.Future()

    def back(_: object) -> None:
        executor.submit(pow, 5, 2).add_done_callback(lambda done: second.set_result(done.result()))

    executor.submit(pow, 1, 1).add_done_callback(back)
    assert second.result(SECONDS) == 25


def test_result_times_out(executor: jobtree.Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    future = executor.submit(calls.wait_for, str(go))
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    go.touch()
    assert future.result(SECONDS) == str(go)


def test_as_completed_and_wait_tell_of_all(executor: jobtree.Executor) -> None:
    made = [executor.submit(pow, n, 2) for n in range(20)]
    assert sorted(future.result() for future in futures.as_completed(made, SECONDS)) == [n * n for n in range(20)]
    done, left = futures.wait(made, SECONDS)
    assert (len(done), len(left)) == (20, 0)


def test_wait_returns_at_the_first_end_and_at_the_first_exception(executor: jobtree.Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow = executor.submit(calls.wait_for, str(go))
    quick = executor.submit(pow, 2, 2)
    done, left = futures.wait([slow, quick], SECONDS, return_when=futures.FIRST_COMPLETED)
    assert quick in done
    assert slow in left
    bad = executor.submit(calls.divide, 1, 0)
    done, left = futures.wait([slow, bad], SECONDS, return_when=futures.FIRST_EXCEPTION)
    assert (done, left) == ({bad}, {slow})
    go.touch()
    slow.result(SECONDS)


def test_what_runs_can_not_be_cancelled_and_what_waits_can(own: jobtree.Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = own.submit(calls.begin_and_wait, str(tmp_path / "began"), str(go))
    until_running(running)
    waiting = own.submit(calls.touch, str(tmp_path / "never"))
    told = []
    waiting.add_done_callback(told.append)
    assert not running.cancel()
    assert waiting.cancel()
    assert waiting.cancel()
    assert waiting.cancelled()
    assert told == [waiting]
    assert waiting in futures.wait([waiting], SECONDS).done
    with pytest.raises(futures.CancelledError):
        waiting.result()
    go.touch()
    assert running.result(SECONDS) == str(go)
    assert own.submit(pow, 2, 3).result(SECONDS) == 8
    assert not (tmp_path / "never").exists()


# -- shutdown -----------------------------------------------------------------------------------------------------------


def test_shutdown_finishes_what_was_submitted_and_takes_nothing_more(own: jobtree.Executor) -> None:
    made = [own.submit(pow, n, 2) for n in range(10)]
    own.shutdown()
    assert [future.result(0) for future in made] == [n * n for n in range(10)]
    with pytest.raises(RuntimeError, match="after shutdown"):
        own.submit(pow, 1, 1)
    own.shutdown()


def test_shutdown_without_waiting_finishes_all_the_same(own: jobtree.Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    future = own.submit(calls.wait_for, str(go))
    own.shutdown(wait=False)
    assert not future.done()
    go.touch()
    assert future.result(SECONDS) == str(go)


def test_shutdown_can_cancel_what_waits(own: jobtree.Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = own.submit(calls.wait_for, str(go))
    until_running(running)
    waiting = [own.submit(pow, n, 2) for n in range(20)]
    own.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    go.touch()
    assert running.result(SECONDS) == str(go)


def test_a_forgotten_executor_finishes_and_its_master_goes(tmp_path: Path) -> None:
    executor = jobtree.Executor(1, tree=tmp_path / "tree")
    master = executor.cluster._session.master
    future = executor.submit(pow, 2, 10)
    del executor
    assert future.result(SECONDS) == 1024
    assert master.wait(SECONDS)


def until_gone(pid: int) -> None:
    until = time.monotonic() + SECONDS
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_nothing_is_left_running_after_shutdown(own: jobtree.Executor) -> None:
    pid = own.submit(os.getpid).result(SECONDS)
    own.shutdown()
    until_gone(pid)


# -- initializer, arguments ---------------------------------------------------------------------------------------------


def test_the_initializer_runs_once_in_each_process(tmp_path: Path) -> None:
    with jobtree.Executor(2, initializer=calls.set_value, initargs=("ready",), tree=tmp_path / "tree") as executor:
        assert list(executor.map(calls.get_value, range(10))) == ["ready"] * 10


def test_an_initializer_that_fails_breaks_the_executor(tmp_path: Path) -> None:
    with jobtree.Executor(1, initializer=calls.fail_to_initialize, tree=tmp_path / "tree") as executor:
        made = [executor.submit(calls.get_value) for _ in range(3)]
        for future in made:
            with pytest.raises(futures.BrokenExecutor, match="no such luck"):
                future.result(SECONDS)
        with pytest.raises(futures.BrokenExecutor):
            executor.submit(calls.get_value)


def test_bad_arguments_are_refused_as_elsewhere() -> None:
    for count in (0, -1):
        with pytest.raises(ValueError, match="max_workers"):
            jobtree.Executor(count)
    with pytest.raises(TypeError, match="initializer"):
        jobtree.Executor(1, initializer=123)  # type: ignore[arg-type]


def test_a_master_that_is_killed_breaks_the_executor_and_takes_its_workers_along(own: jobtree.Executor, tmp_path: Path) -> None:
    runner = own.submit(os.getpid).result(SECONDS)
    future = own.submit(calls.wait_for, str(tmp_path / "go"))
    until_running(future)
    os.kill(own.cluster._session.master.pid, 9)
    try:
        with pytest.raises(futures.BrokenExecutor, match="master"):
            future.result(SECONDS)
        with pytest.raises(futures.BrokenExecutor):
            own.submit(pow, 1, 1)
        until_gone(runner)
    finally:
        (tmp_path / "go").touch()


SCRIPT = """
import os, sys
import jobtree
if __name__ == "__main__":
    executor = jobtree.Executor(1, tree=sys.argv[1])
    print(executor.submit(os.getpid).result(), executor.cluster._session.master.pid, flush=True)
    future = executor.submit(print, "done")
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["kill", "end"])
def test_a_program_that_ends_without_shutdown_leaves_nothing_behind(tmp_path: Path, how: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "tree"), how],
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == (-9 if how == "kill" else 0)
    for pid in map(int, ended.stdout.split()):
        until_gone(pid)
    assert jobtree.Tree(tmp_path / "tree").status().state == ("complete" if how == "end" else "stopped")


# -- the cluster behind it ----------------------------------------------------------------------------------------------


def test_a_cluster_runs_one_tree_after_the_other(executor: jobtree.Executor) -> None:
    assert executor.cluster.run(calls.tree(3)) == 8
    assert executor.cluster.run(calls.tree(2)) == 4


def test_promises_inside_a_result_are_kept(executor: jobtree.Executor) -> None:
    assert executor.submit(calls.pair).result(SECONDS) == {"a": 2, "b": b"x" * 100_000}


def test_a_run_whose_child_fails_raises_targets_failed(executor: jobtree.Executor) -> None:
    with pytest.raises(jobtree.TargetsFailed) as caught:
        executor.cluster.run(calls.fails_below())
    assert isinstance(caught.value.__cause__, calls.Rude)


def test_a_future_can_be_awaited(executor: jobtree.Executor) -> None:
    async def both() -> tuple[int, int]:
        return await executor.submit(pow, 2, 5), await jobtree.wrap_future(executor.submit(pow, 2, 6))

    assert asyncio.run(both()) == (32, 64)


def test_run_in_executor_of_asyncio_takes_it(executor: jobtree.Executor) -> None:
    async def one() -> int:
        return await asyncio.get_running_loop().run_in_executor(executor, pow, 2, 7)

    assert asyncio.run(one()) == 128


def test_run_async_leaves_the_loop_free(tmp_path: Path) -> None:
    async def one() -> tuple[int, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        result = await jobtree.run_async(calls.tree(2), tree=tmp_path / "tree", progress="none")
        ticking.cancel()
        return result, ticks

    result, ticks = asyncio.run(one())
    assert result == 4
    assert ticks > 3


def test_user_code_that_holds_the_interpreter_stops_no_beats(tmp_path: Path) -> None:
    with jobtree.Executor(1, tree=tmp_path / "tree", lost_after=3) as executor:
        executor.submit(pow, 1, 1).result(SECONDS)
        pid = executor.submit(os.getpid).result(SECONDS)
        sum(range(400_000_000))  # one call in C: nothing else of this process gets the interpreter
        assert executor.submit(os.getpid).result(SECONDS) == pid


def test_map_over_an_endless_iterable_is_lazy(tmp_path: Path) -> None:
    results = jobtree.map(calls.same, itertools.count(), tree=tmp_path / "tree", progress="none", buffersize=10)
    assert list(itertools.islice(results, 30)) == list(range(30))
    results.close()


def test_a_tree_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    with jobtree.Executor(1, tree=tmp_path / "tree") as executor:
        executor.submit(pow, 1, 1).result(SECONDS)
    with pytest.raises(jobtree.UsageError, match="holds a run"):
        jobtree.Executor(1, tree=tmp_path / "tree")


def test_a_list_of_targets_is_run_as_one(executor: jobtree.Executor) -> None:
    assert executor.cluster.run([calls.tree(1), calls.tree(2)]) == [2, 4]
    with pytest.raises(jobtree.TargetsFailed):
        executor.cluster.run([calls.tree(1), calls.fails_below()])

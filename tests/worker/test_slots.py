"""Which runner gets which task."""

from __future__ import annotations

from typing import Any

from jobtree.ids import Attempt
from jobtree.worker.effects import Discard, Effect, Give, Kill, Launch, Retire, TakeBack, Task
from jobtree.worker.slots import Slots


def task(number: int, name: str = "t", cpus: float = 1.0, memory: int = 1, gpus: float = 0.0, isolate: bool = False) -> Task:
    return Task(Attempt(1, number), number, 1, [name, cpus, memory, gpus, None, isolate], "", b"")


def slots(cpus: float = 1.0, memory: int = 100) -> Slots:
    made = Slots(cpus, memory, 0.0)
    made.start_epoch(1)
    return made


def shown(effects: list[Effect]) -> list[Any]:
    """Short words for effects."""
    words: list[Any] = []
    for effect in effects:
        match effect:
            case Give(runner, tasks):
                words.append(("give", runner, [one.attempt.number for one in tasks]))
            case Launch(runner, _):
                words.append(("launch", runner))
            case _:
                words.append(effect)
    return words


def fed(made: Slots, *tasks: Task) -> list[Any]:
    for one in tasks:
        made.add(one)
    return shown(made.fill())


def quick(made: Slots, name: str = "t") -> None:
    """The worker knows that targets of this name take a millisecond."""
    for number in range(900, 903):
        fed(made, task(number, name))
        runner = next(r.number for r in made.runners.values() if Attempt(1, number) in r.tasks)
        made.finished(runner, Attempt(1, number), 0.001)


def test_a_task_gets_a_new_runner_while_there_is_room() -> None:
    made = slots(2.0)
    assert fed(made, task(1), task(2), task(3)) == [("launch", 1), ("launch", 2), ("give", 1, [1]), ("give", 2, [2])]
    assert [one.attempt.number for one in made.queue] == [3]


def test_a_runner_that_is_done_gets_the_next_task() -> None:
    made = slots()
    fed(made, task(1), task(2))
    assert made.finished(1, Attempt(1, 1), 1.0) == []
    assert shown(made.fill()) == [("give", 1, [2])]


def test_cpus_and_memory_are_never_overbooked() -> None:
    made = slots(4.0, memory=10)
    assert fed(made, task(1, memory=6), task(2, "u", memory=6), task(3, "v", cpus=3.0, memory=4))[-2:] == [
        ("give", 1, [1]),
        ("give", 2, [3]),
    ]
    assert (made.free_cpus, made.free_memory) == (0.0, 0)
    made.finished(1, Attempt(1, 1), 1.0)
    assert (made.free_cpus, made.free_memory) == (1.0, 6)


def test_a_small_task_may_overtake_a_large_one_that_finds_no_room() -> None:
    made = slots(2.0)
    fed(made, task(1))
    assert fed(made, task(2, "large", cpus=2.0), task(3, "small")) == [("launch", 2), ("give", 2, [3])]
    assert [one.attempt.number for one in made.queue] == [2]


def test_a_quick_name_is_given_ahead_to_the_runner_that_is_at_it() -> None:
    made = slots()
    quick(made)
    assert fed(made, *(task(number) for number in range(1, 6))) == [("give", 1, [1, 2, 3, 4, 5])]
    assert made.free_cpus == 0.0


def test_a_name_of_which_little_is_known_is_not_given_ahead() -> None:
    made = slots()
    assert fed(made, task(1), task(2)) == [("launch", 1), ("give", 1, [1])]


def test_what_waits_behind_another_is_taken_back_for_an_idle_runner() -> None:
    made = slots(2.0)
    quick(made)
    fed(made, task(1), task(2), task(3), task(4))
    made.finished(1, Attempt(1, 1), 0.001)
    busy = next(runner for runner in made.runners.values() if len(runner.tasks) > 1)
    for attempt in [attempt for runner in made.runners.values() for attempt in runner.tasks if runner is not busy]:
        made.finished(3 - busy.number, attempt, 0.001)
    assert TakeBack(busy.number) in made.fill()
    assert made.fill() == [], "it is asked once"


def test_a_runner_that_had_nothing_to_give_back_is_not_asked_again_and_again() -> None:
    """It has read its second task already, and the end of its first one is on the way."""
    made = slots(2.0)
    quick(made)
    fed(made, task(1), task(2), task(3), task(4))
    busy = next(runner for runner in made.runners.values() if len(runner.tasks) > 1)
    for other in [runner for runner in made.runners.values() if runner is not busy]:
        for attempt in list(other.tasks):
            made.finished(other.number, attempt, 0.001)
    assert TakeBack(busy.number) in made.fill()
    assert made.taken_back(busy.number, []) == []
    assert made.fill() == []


def test_nothing_is_taken_back_where_there_is_no_room_to_run_it() -> None:
    """An idle runner alone is no reason: what came back would be given to the same runner again, and so on for ever."""
    made = slots(1.0)
    quick(made)
    made.warm_up()
    fed(made, task(1, cpus=0.5), task(2, cpus=0.5))
    made.finished(1, Attempt(1, 1), 0.001)
    fed(made, task(3), task(4), task(5))
    assert made.free_cpus < 1.0
    assert not [effect for effect in made.fill() if isinstance(effect, TakeBack)]


def test_a_runner_that_a_target_wanted_for_itself_is_retired_after_it() -> None:
    made = slots()
    fed(made, task(1, isolate=True))
    assert made.finished(1, Attempt(1, 1), 1.0) == [Retire(1)]
    assert fed(made, task(2)) == [("launch", 2), ("give", 2, [2])]


def test_a_new_epoch_lets_idle_runners_go_and_old_ones_finish() -> None:
    made = slots(2.0)
    fed(made, task(1), task(2))
    made.finished(1, Attempt(1, 1), 1.0)
    assert made.start_epoch(2) == [Retire(1), TakeBack(2)]
    assert fed(made, task(3)) == [("launch", 3), ("give", 3, [3])]
    assert made.finished(2, Attempt(1, 2), 1.0) == [Retire(2), Discard(1)]


def test_a_dead_runners_tasks_come_back_and_its_room_is_free() -> None:
    made = slots()
    quick(made)
    fed(made, task(1), task(2))
    tasks, effects = made.died(1)
    assert [one.attempt.number for one in tasks] == [1, 2]
    assert (effects, made.free_cpus, made.free_memory) == ([], 1.0, 100)
    made.requeue(tasks)
    assert shown(made.fill()) == [("launch", 2), ("give", 2, [1, 2])]


def test_a_runner_is_killed_once_and_given_nothing_more() -> None:
    made = slots()
    quick(made)
    fed(made, task(1))
    assert made.kill(1, "time", "too long", 5.0) == [Kill(1, "time", "too long", 5.0)]
    assert made.kill(1, "time", "too long", 5.0) == []
    assert fed(made, task(2)) == []


def test_nothing_is_begun_when_it_is_closed() -> None:
    made = slots()
    made.closed = True
    assert fed(made, task(1)) == []

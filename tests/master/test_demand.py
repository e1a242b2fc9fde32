"""Fleets on a cluster: how many workers, of which pool and size, when they are asked for, and when they are sent home."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.master.pools import NO_LIMIT, PoolPlan, Size
from jobtree.master.scaling import ASK_EVERY, FIRST_PAUSE, LOOK_EVERY
from jobtree.protocol.messages import Type
from tests.support.office import ROOT, Office

G = 1 << 30


def plan(name: str = "", cpus: float = 1.0, memory: int = 2 * G, least: int = 0, most: int = 10, **more: Any) -> PoolPlan:
    return PoolPlan(name, Size(cpus, memory), least, most, on_cluster=True, **more)


def elastic(most: int = 10) -> PoolPlan:
    return plan(most=most, largest=Size(64.0, NO_LIMIT, 8.0))


class Site(Office):
    """An office whose workers come through a batch system that takes every submission and starts it when told."""

    def __init__(self, *plans: PoolPlan, root: list[Any] | None = None, **more: Any) -> None:
        first = plans[0]
        least = more.pop("least", first.least)
        super().__init__(workers=first.most, root=root, on_cluster=True, pools=list(plans), workers_least=least, **more)
        self.submits: list[want.Submit] = self.did(want.Submit)
        self._peers = 0

    def look(self, *events: happened.Event, after: float = LOOK_EVERY) -> list[want.Submit]:
        """One look at the demand; what was submitted then."""
        self.turn(*events, after=after)
        found = self.did(want.Submit)
        self.submits += found
        return found

    def start(self, submit: want.Submit) -> list[int]:
        """All workers of a submission come; their peers."""
        self.turn(happened.BlockSubmitted(submit.name, [f"{submit.name}.{index}" for index in range(submit.n)]))
        size = (submit.cpus, submit.memory) if submit.cpus else self.state.core.pools.of(submit.pool).size[:2]
        peers = []
        for index in range(submit.n):
            self._peers += 1
            self.hello(self._peers, block=submit.name, index=index, cpus=size[0], memory=size[1])
            peers.append(self._peers)
        return peers

    def fan_out(self, count: int, requests: dict[str, Any] | None = None) -> int:
        """The root's worker comes, and makes many children; its peer."""
        peer = self.start(self.submits[0])[0]
        ((attempt, _),) = self._first_given
        self.create(peer, attempt, count, form=["t", None, requests or {}])
        self.done(peer, attempt, created=count)
        return peer

    @property
    def _first_given(self) -> list[Any]:
        """The root's attempt."""
        return [(self.tree.nodes[ROOT].attempt, ROOT)]


def test_one_target_is_worth_one_worker_and_many_are_worth_many() -> None:
    site = Site(plan(most=10))
    assert [(submit.n, submit.pool) for submit in site.submits] == [(1, "")]
    site.fan_out(100)
    assert [submit.n for submit in site.look(after=ASK_EVERY)] == [9], "as many as there may be, and one is there"


def test_where_it_is_known_how_long_targets_take_seconds_count_and_not_heads() -> None:
    site = Site(plan(most=100))
    site.fan_out(100, {"expected_time": 1.0})
    (submit,) = site.look(after=ASK_EVERY)
    assert submit.n == 10, "99 s of work, at 10 s each, and the one that is busy is there"


def test_a_batch_system_gets_no_trickle_of_requests() -> None:
    site = Site(plan(most=1000))
    peer = site.fan_out(5)
    first = site.look(after=ASK_EVERY)
    assert len(first) == 1
    for _ in range(int(ASK_EVERY) - 1):
        assert not site.look()
    assert peer


def test_n_to_n_are_held_though_there_is_nothing_to_do_and_replaced_when_they_end() -> None:
    site = Site(plan(least=4, most=4), least=4, worker_idle=10.0)
    (submit,) = site.submits
    assert submit.n == 4
    peers = site.start(submit)
    site.turn(after=11)
    site.turn(after=11)
    assert not site.sent(Type.STOP)
    site.hear(peers[3], Type.BYE, ["it has had enough"])
    (next_,) = site.look(after=ASK_EVERY)
    assert next_.n == 1


def test_where_n_are_held_a_small_idle_one_makes_room_for_a_large_one_that_is_needed() -> None:
    site = Site(elastic(most=2), least=2, root=["t", None, {}])
    (peer, _) = site.start(site.submits[0])
    ((attempt, _),) = site._first_given
    site.create(peer, attempt, 1, form=["t", None, {"memory": 8 * G}])
    site.done(peer, attempt, created=1)
    assert site.look(after=ASK_EVERY) == []
    assert len(site.sent(Type.STOP)) == 1
    leaving = next(worker.peer for worker in site.state.core.roster if worker.draining)
    assert leaving is not None
    site.hear(leaving, Type.BYE, ["nothing to do"])
    (large,) = [*site.did(want.Submit), *site.look(after=ASK_EVERY)]
    assert (large.n, large.memory) == (1, 8 * G)


def test_idle_workers_go_home_after_a_while_and_the_least_stay() -> None:
    site = Site(plan(least=1, most=4), least=1, worker_idle=60.0)
    site.fan_out(8)
    (submit,) = site.look(after=ASK_EVERY)
    site.start(submit)
    while site.tree.current:
        for worker in list(site.state.core.roster):
            for attempt in list(worker.held):
                assert worker.peer is not None
                if len(site.tree.current) > 1:
                    site.done(worker.peer, attempt)
            if len(site.tree.current) == 1:
                break
        if len(site.tree.current) == 1:
            break
    site.look()
    assert not site.sent(Type.STOP)
    for worker in site.state.core.roster:
        worker.heard = site.now + 1000
    site.look(after=61)
    assert len(site.sent(Type.STOP)) == 3


def test_each_shape_gets_workers_that_fit_and_none_asks_for_more_than_it_needs() -> None:
    site = Site(elastic(), root=["t", None, {"memory": 8 * G}])
    (submit,) = site.submits
    assert (submit.n, submit.cpus, submit.memory) == (1, 1.0, 8 * G)
    (planned,) = [record for record in site.records if isinstance(record, r.BlockPlanned)]
    assert (planned.cpus, planned.memory) == (1.0, 8 * G)
    site.fan_out(20, {"memory": 1 * G})
    (small,) = site.look(after=ASK_EVERY)
    assert (small.n, small.memory) == (9, 2 * G), "the large one is idle no more, and counts"


def test_what_waits_goes_to_the_smallest_pool_that_fits() -> None:
    site = Site(plan(), plan("big", 8.0, 64 * G, most=2))
    site.fan_out(6, {"memory": 32 * G})
    (big,) = site.look(after=ASK_EVERY)
    assert (big.pool, big.n, big.cpus) == ("big", 2, 0.0), "two of them share one: three for six, and two are allowed"
    peers = site.start(big)
    held = {peer: len(worker.held) for peer, worker in site.state.core.roster.by_peer.items()}
    assert held == {1: 0, peers[0]: 2, peers[1]: 2}


def test_small_targets_leave_the_large_pool_to_those_that_need_it() -> None:
    site = Site(plan(most=1), plan("big", 8.0, 64 * G, least=1, most=1))
    by_pool = {submit.pool: submit for submit in site.submits}
    (big,) = site.start(by_pool["big"])
    site.look()
    assert not site.given(big)
    (small,) = site.start(by_pool[""])
    assert site.given(small) or site.state.core.roster.by_peer[small].held


def test_a_target_that_no_pool_can_ever_run_fails_at_once_with_words() -> None:
    site = Site(plan(), root=["t", None, {"memory": 100 * G}])
    (refused,) = site.wrote(r.TargetsRefused)
    assert "100 GiB" in refused.message
    assert "2 GiB" in refused.message
    site = Site(plan(), root=["t", None, {"pool": "nowhere"}])
    (refused,) = site.wrote(r.TargetsRefused)
    assert "it asks for the pool nowhere" in refused.message
    site = Site(plan(worker_time=3600.0), root=["t", None, {"expected_time": 7200}])
    (refused,) = site.wrote(r.TargetsRefused)
    assert "2h, and a worker lives for 1h" in refused.message


def test_a_target_is_not_begun_on_a_worker_that_ends_before_it_would() -> None:
    site = Site(plan(worker_time=3600.0), root=["t", None, {"expected_time": 1800}])
    (submit,) = site.submits
    site.turn(happened.BlockSubmitted(submit.name, ["a"]))
    site.hello(1, block=submit.name, left=600.0, memory=2 * G)
    assert not site.given(1)
    (next_,) = site.look(after=ASK_EVERY)
    assert next_.n == 1, "it is of no use, so another is asked for"
    site.turn(happened.BlockSubmitted(next_.name, ["b"]))
    site.hello(2, block=next_.name, left=3600.0, memory=2 * G)
    assert len(site.given(2)) == 1


def test_a_size_that_can_not_be_had_fails_its_targets_and_the_others_go_on() -> None:
    site = Site(elastic())
    site.fan_out(1, {"memory": 5000 * G})
    (submit,) = site.look(after=ASK_EVERY)
    site.turn(happened.SubmitFailed(submit.name, "no node has so much", "refused"))
    (refused,) = site.wrote(r.TargetsRefused)
    assert "no node has so much" in refused.message


def test_a_pool_that_is_refused_altogether_ends_the_run_and_it_can_be_restarted() -> None:
    site = Site(plan())
    site.turn(happened.SubmitFailed(site.submits[0].name, "no such queue", "refused"))
    (ended,) = site.wrote(r.RunEnded)
    assert ended.state == "stopped"
    assert "no such queue" in ended.reason


def test_a_busy_batch_system_is_asked_again_later_and_later() -> None:
    site = Site(plan())
    site.turn(happened.SubmitFailed(site.submits[0].name, "come back later", "busy"))
    pause = FIRST_PAUSE
    for _ in range(4):
        assert not site.look(after=pause - LOOK_EVERY / 2)
        (again,) = site.look(after=LOOK_EVERY)
        site.turn(happened.SubmitFailed(again.name, "come back later", "busy"))
        pause *= 2


def test_limits_of_the_site_and_of_the_user_hold_for_all_pools_together() -> None:
    for limits, most in (({"max_workers": 3}, 3), ({"max_cpus": 5.0}, 5), ({"max_memory": 8 * G}, 4), ({"max_blocks": 1}, 1)):
        site = Site(plan(most=100), **limits)
        site.fan_out(50)
        site.look(after=ASK_EVERY)
        assert site.state.core.ledger.expected == most, limits


def test_a_lost_worker_of_this_machine_is_ended_and_replaced() -> None:
    office = Office(workers=1)
    name = "jt-script-run-1"
    office.turn(happened.BlockSubmitted(name, ["a"]))
    office.hello(1, block=name)
    office.turn(after=1000)
    (cancel,) = office.did(want.CancelBlocks)
    assert cancel.ids == ["a"]
    assert [submit.n for submit in office.did(want.Submit)] == [1]


@settings(max_examples=60, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 60), some.floats(0, 40), some.booleans()), max_size=25), some.integers(0, 3))
def test_whatever_happens_there_are_never_more_workers_than_allowed(steps: list[tuple[int, float, bool]], least: int) -> None:
    site = Site(plan(least=least, most=7), least=least)
    site.fan_out(500)
    for _, after, starts in steps:
        for submit in site.look(after=after):
            if starts:
                site.start(submit)
            else:
                site.turn(happened.SubmitFailed(submit.name, "busy", "busy"))
        assert site.state.core.ledger.expected <= 7

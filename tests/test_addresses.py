"""Where workers are told to look for the master."""

from __future__ import annotations

from jobtree._addresses import offered


def test_what_is_advertised_is_all_that_is_offered() -> None:
    assert offered("*", 7000, "login1, 10.0.0.7,fe00::1") == ["tcp://login1:7000", "tcp://10.0.0.7:7000", "tcp://[fe00::1]:7000"]


def test_a_master_that_listens_on_one_address_offers_it() -> None:
    assert offered("127.0.0.1", 7000, None) == ["tcp://127.0.0.1:7000"]
    assert offered("[::1]", 7000, None) == ["tcp://[::1]:7000"]


def test_one_that_listens_everywhere_offers_nothing_that_every_machine_has() -> None:
    assert not [address for address in offered("*", 7000, None) if "127.0.0.1" in address or "[::1]" in address]

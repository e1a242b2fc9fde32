"""The doors to the batch systems: a fleet for each pool, so that one that hangs keeps nobody else waiting."""

from __future__ import annotations

from collections.abc import Mapping

from .effects import CancelBlocks, Find, Submit
from .events import Event
from .fleet import Fleet


class Fleets:
    """Passes each request on to its pool's fleet, and gathers their news. The first one has what belongs to no known pool."""

    def __init__(self, fleets: Mapping[str, Fleet]) -> None:
        self._fleets = dict(fleets)
        self._first = next(iter(self._fleets.values()))

    @property
    def descriptors(self) -> list[int]:
        """Any of them can be read when there is news."""
        return [fleet.descriptor for fleet in self._fleets.values()]

    def post(self, request: Submit | Find | CancelBlocks) -> None:
        """Ask for something; the answer comes as news."""
        self._of(request.pool).post(request)

    def expect(self, pool: str, blocks: dict[str, str]) -> None:
        """Look after blocks (id: name of the submission) of an earlier master."""
        self._of(pool).expect(blocks)

    def hurry(self, poll_seconds: float) -> None:
        """Look more often from now on, where looking is cheap."""
        for fleet in self._fleets.values():
            fleet.hurry(poll_seconds)

    def news(self) -> list[Event]:
        """What has happened since the last call."""
        return [event for fleet in self._fleets.values() for event in fleet.news()]

    def close(self, seconds: float) -> None:
        """Stop; calls that hang are given ``seconds`` each, then left alone."""
        for fleet in self._fleets.values():
            fleet.close(seconds)

    def _of(self, pool: str) -> Fleet:
        return self._fleets.get(pool, self._first)

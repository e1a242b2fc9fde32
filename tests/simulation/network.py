"""The wire: each connection keeps its order, and everything else may happen to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random


@dataclass(eq=False, slots=True)
class Link:
    """One connection of a worker to one life of a master."""

    route: bytes
    life: int  # the master's; 0: nobody listens
    up_at: float = 0.0  # when the last message that way arrives
    down_at: float = 0.0
    dead: bool = False  # nothing arrives any more, and both sides will notice
    hung_up: bool = False  # the worker has closed its end
    mute_up: bool = False  # what is sent is lost without a word
    mute_down: bool = False


@dataclass(slots=True)
class Weather:
    """What may happen to a message; probabilities."""

    cut: float = 0.0  # the connection dies with this message
    mute: float = 0.0  # from this message on one direction is lost, in silence
    slow: float = 0.0  # this one takes long, and with it all that follow
    double: float = 0.0  # it arrives twice
    late: float = 0.0  # what was on its way when a master died reaches the next one


@dataclass(slots=True)
class Network:
    """Carries frames; ``at`` schedules, ``rng`` decides."""

    rng: Random
    at: Callable[..., None]
    clock: Callable[[], float]
    weather: Weather = field(default_factory=Weather)
    carried: int = 0
    lag: float = 0.0  # seconds that the master's disk takes to sync, before what it says can leave

    def up(self, link: Link, frames: list[bytes], arrive: Callable[[Link, list[bytes]], None]) -> None:
        """From the worker to the master."""
        if not self._accident(link) or link.mute_up:
            return
        link.up_at = max(link.up_at, self.clock() + self._delay())
        self.at(link.up_at, arrive, link, frames)
        if self.rng.random() < self.weather.double:
            self.at(link.up_at + self._delay(), arrive, link, frames)

    def down(self, link: Link, frames: list[bytes], arrive: Callable[[Link, list[bytes]], None]) -> None:
        """From the master to the worker."""
        if not self._accident(link) or link.mute_down:
            return
        link.down_at = max(link.down_at, self.clock() + self.lag + self._delay())
        self.at(link.down_at, arrive, link, frames)
        if self.rng.random() < self.weather.double / 4:
            self.at(link.down_at + self._delay(), arrive, link, frames)

    def _accident(self, link: Link) -> bool:
        """Whether the message gets onto the wire."""
        self.carried += 1
        rng, weather = self.rng, self.weather
        if rng.random() < weather.cut:
            link.dead = True
        if rng.random() < weather.mute:
            if rng.random() < 0.5:
                link.mute_up = True
            else:
                link.mute_down = True
        return not link.dead

    def _delay(self) -> float:
        if self.rng.random() < self.weather.slow:
            return self.rng.choice((0.3, 3.0, 30.0, 90.0)) * self.rng.random()
        return 0.0002 + 0.002 * self.rng.random()

"""One uninterrupted stream of numbered messages in each direction, between a worker and one life of a master.

A session begins with HELLO, which is number 0 of the worker's stream, and is over at the first gap, reconnect or restart: nothing
is ever sent again within one. What was lost with it is found out by comparing states in the next HELLO and WELCOME.
"""

from __future__ import annotations

from dataclasses import dataclass

from .codec import Message


@dataclass(slots=True)
class Session:
    """Both counters of one side of a session."""

    id: int
    sent: int = 0
    taken: int = 0

    def next_number(self) -> int:
        """The number of the next message that goes out."""
        number = self.sent
        self.sent += 1
        return number

    def accepts(self, message: Message) -> bool:
        """Whether ``message`` is the next one that is due; it counts as taken if so."""
        if message.session != self.id or message.number != self.taken:
            return False
        self.taken += 1
        return True

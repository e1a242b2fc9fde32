"""Reads RUN messages: from groups of targets that differ in their payloads only to one task for each."""

from __future__ import annotations

from collections.abc import Iterator

from ..ids import Attempt
from ..protocol.codec import Message
from ..protocol.messages import VALUE_INLINE, default_temp
from .effects import Task


def tasks_of(message: Message) -> Iterator[Task]:
    """The tasks of a RUN, in order (see ``protocol.messages`` for the shape of its body)."""
    forms, groups, lengths = message.body
    epoch, data = message.epoch, message.data
    place = index = 0
    for number, target, count, form, ordinal, temp, extra in groups:
        for offset in range(count):
            length = lengths[index]
            index += 1
            where = temp if temp is not None else default_temp(target + offset, epoch, number + offset)
            payload = data[place : place + length]
            place += length
            task = Task(Attempt(epoch, number + offset), target + offset, ordinal, forms[form], where, payload)
            if extra is not None:
                task.blob, values = extra
                for value in values:
                    length = 0
                    if value[3] == VALUE_INLINE:
                        length = lengths[index]
                        index += 1
                    task.values.append([*value, data[place : place + length]])
                    place += length
            yield task

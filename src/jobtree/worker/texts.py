"""Texts of users as reports and rows carry them: no longer than there is room for, and such that everybody can write them."""

from __future__ import annotations

from logging import getLevelName

#: What a row's words may take (bytes); the end of the output and the messages of `Target.log` have limits of their own.
LARGEST_WORDS = 8 * 1024
LARGEST_NAME = 1024
#: The end of an attempt's output, in its row (bytes).
LARGEST_OUTPUT = 64 * 1024
#: A level has a word in front of each message (characters).
LARGEST_LEVEL = 20
_USUAL_LEVEL = "INFO"


def clean(text: str) -> str:
    """The text with readable escapes for lone surrogates, which stand for bytes that are no UTF-8 and can't be encoded."""
    return text.encode("utf-8", "backslashreplace").decode()


def beginning_of(text: str, most: int = LARGEST_WORDS) -> str:
    """The text, cleaned; of one that takes more bytes than `most` the beginning, and a mark."""
    data = text[: most + 1].encode("utf-8", "backslashreplace")
    return data.decode() if len(data) <= most else data[: most - 3].decode(errors="ignore") + "..."


def end_of(text: str, most: int) -> str:
    """The text, cleaned; of one that takes more bytes than `most` the end."""
    return text[-most:].encode("utf-8", "backslashreplace")[-most:].decode(errors="ignore")


def size_of(text: str) -> int:
    """Bytes that a text takes on its way."""
    return len(text.encode("utf-8", "surrogateescape"))


def level_of(level: object) -> str:
    """The name of a level of `logging`, or what else is to stand for one: one word, and a short one."""
    words = clean(str(getLevelName(level) if isinstance(level, int) else level)).split()
    return words[0][:LARGEST_LEVEL] if words else _USUAL_LEVEL

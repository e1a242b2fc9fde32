"""FASTA and FASTQ as old scripts read and write them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import IO

_COMPLEMENT = str.maketrans("ACGTacgt", "TGCAtgca")
_SEQUENCE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-")


def fastaRead(fileHandleOrFile: IO[str] | str) -> Iterator[tuple[str, str]]:
    """Each (name, sequence) of an open file or a path; lines that begin with # are left out. RuntimeError for odd ones."""
    if isinstance(fileHandleOrFile, str):
        with open(fileHandleOrFile) as opened:
            yield from _fasta(opened)
    else:
        yield from _fasta(fileHandleOrFile)


def fastaWrite(fileHandleOrFile: IO[str] | str, name: str, seq: str, mode: str = "w") -> None:
    """Write one sequence in lines of 100 characters, to an open file or to a path."""
    _refuse_odd(name, seq)
    lines = [f">{name}\n", *(f"{seq[at : at + 100]}\n" for at in range(0, len(seq), 100))]
    if isinstance(fileHandleOrFile, str):
        with open(fileHandleOrFile, mode) as opened:
            opened.writelines(lines)
    else:
        fileHandleOrFile.writelines(lines)


def fastaReadHeaders(fasta: str) -> list[str]:
    """The names in a FASTA file."""
    with open(fasta) as lines:
        return [line[1:].rstrip("\n") for line in lines if line.startswith(">")]


def fastaNormaliseHeader(fastaHeader: str) -> str:
    """The first word of a name."""
    return (fastaHeader.split() or [""])[0]


def fastaDecodeHeader(fastaHeader: str) -> list[str]:
    """The attributes in a name."""
    return fastaHeader.split("|")


def fastaEncodeHeader(attributes: list[object]) -> str:
    """A name of attributes, of which none may have blanks."""
    words = [str(attribute) for attribute in attributes]
    assert all(len(word.split()) == 1 for word in words), f"blanks in {words}"
    return "|".join(words)


def fastqRead(fileHandleOrFile: IO[str] | str) -> Iterator[tuple[str, str, list[int] | None]]:
    """Each (name, sequence, qualities as character codes, or None for `*`) of an open file or a path."""
    if isinstance(fileHandleOrFile, str):
        with open(fileHandleOrFile) as opened:
            yield from _fastq(opened)
    else:
        yield from _fastq(fileHandleOrFile)


def fastqWrite(fileHandleOrFile: IO[str] | str, name: str, seq: str, qualValues: list[int] | None, mode: str = "w") -> None:
    """Write one read, to an open file or to a path."""
    _refuse_odd(name, seq)
    if qualValues is not None and len(qualValues) != len(seq):
        raise RuntimeError(f"{name} has {len(seq)} characters and {len(qualValues)} qualities")
    quality = "*" if qualValues is None else "".join(map(chr, qualValues))
    record = f"@{name}\n{seq}\n+\n{quality}\n"
    if isinstance(fileHandleOrFile, str):
        with open(fileHandleOrFile, mode) as opened:
            opened.write(record)
    else:
        fileHandleOrFile.write(record)


def reverseComplement(seq: str) -> str:
    """The other strand; what is not A, C, G or T stays."""
    return seq[::-1].translate(_COMPLEMENT)


def reverseComplementChar(c: str) -> str:
    """The other base."""
    return c.translate(_COMPLEMENT)


def getRandomSequence(length: int = 500) -> tuple[str, str]:
    """A random name, and a random sequence of less than so many bases."""
    name = "".join(random.choice("AC09 \t") for _ in range(int(random.random() * 100)))
    return name, "".join(random.choice("ACTGACTGACTGACTGACTGN") for _ in range(int(random.random() * length)))


def _fasta(lines: IO[str]) -> Iterator[tuple[str, str]]:
    name: str | None = None
    parts: list[str] = []
    for line in lines:
        if line.startswith(">"):
            if name is not None:
                yield name, _whole(name, parts)
            name, parts = line[1:].rstrip("\n"), []
        elif not line.startswith("#"):
            parts.append(line)
    if name is not None:
        yield name, _whole(name, parts)


def _whole(name: str, parts: list[str]) -> str:
    seq = "".join("".join(parts).split())
    _refuse_odd(name, seq)
    return seq


def _fastq(lines: IO[str]) -> Iterator[tuple[str, str, list[int] | None]]:
    while line := lines.readline():
        if not line.startswith("@"):
            continue
        name = line[1:].rstrip("\n")
        seq = lines.readline().strip()
        if not lines.readline().startswith("+"):
            raise RuntimeError(f"{name}: a FASTQ record has + in its third line")
        quality = lines.readline().rstrip("\n")
        _refuse_odd(name, seq)
        if quality == "*" and len(seq) != 1:
            yield name, seq, None
            continue
        if len(quality) != len(seq):
            raise RuntimeError(f"{name} has {len(seq)} characters and {len(quality)} qualities")
        yield name, seq, [ord(character) for character in quality]


def _refuse_odd(name: str, seq: str) -> None:
    for character in set(seq) - _SEQUENCE:
        raise RuntimeError(f"Invalid FASTA character, ASCII code = '{ord(character)}', found in input sequence {name}")

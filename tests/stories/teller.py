"""Plays a story: its stimuli go to a master's state, and what that decides is printed behind the dashes.

A story is made of turns: lines of what happens, a line of dashes, lines of what is decided. A stimulus is
``[+SECONDS] VERB WORDS``:

    start workers=2 retries=1            a new run (first line of every story); settings of ``Settings``
    restart                              the master has crashed, and the next one takes up its journal
    hello PEER [uid=U] [block=B] [cpus=N] [holds=E.N:TARGET:CREATED,...]
    created PEER E.N [n=N] [count=N] [takes=N,N] [blob] [REQUEST=VALUE]
    follow-on PEER E.N
    done PEER E.N [created=N] [follow-on] [temp] [result=VALUE|PROMISE:N]
    failed PEER E.N [cause=C]
    started | returned PEER E.N
    drains PEER
    submitted BLOCK ID,ID | gone BLOCK ID
    cut PEER | bye PEER | interrupt LEVEL | tick
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.protocol.messages import FLAG_TEMP, VERDICT_ADOPT, Type
from tests.support.office import Office

DASHES = "----"


def play(text: str) -> str:
    """The story with what is decided now."""
    office: Office | None = None
    told: list[str] = []
    stimuli: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            told.append(line)
        elif line == DASHES:
            office = _turn(office, stimuli)
            told += ["", *stimuli, DASHES, *_decided(office)]
            stimuli = []
        elif not line.startswith("  ") and line:
            stimuli.append(line)
    assert not stimuli, f"no dashes behind {stimuli}"
    return "\n".join(told).rstrip() + "\n"


def _turn(office: Office | None, stimuli: list[str]) -> Office:
    events: list[happened.Event] = []
    seconds = 0.0
    for line in stimuli:
        words = line.split()
        if words[0].startswith("+"):
            seconds += float(words.pop(0))
        verb, *rest = words
        plain = [word for word in rest if "=" not in word]
        given = dict(word.split("=", 1) for word in rest if "=" in word)
        if verb == "start":
            settings: dict[str, Any] = {key: _number(value) for key, value in given.items()}
            return Office(**settings)
        assert office is not None, "a story begins with start"
        if verb == "restart":
            return office.restarted()
        if verb != "tick":
            events.append(_event(office, verb, plain, given))
    assert office is not None
    office.turn(*events, after=seconds)
    return office


def _event(office: Office, verb: str, plain: list[str], given: dict[str, str]) -> happened.Event:
    if verb == "submitted":
        return happened.BlockSubmitted(plain[0], plain[1].split(","))
    if verb == "gone":
        return happened.BlockGone(plain[0], plain[1], "its process has ended")
    if verb == "interrupt":
        return happened.Signalled(int(plain[0]), 130)
    peer = int(plain[0])
    match verb:
        case "hello":
            return _hello(office, peer, given)
        case "cut":
            return happened.PeerLost(peer, "cut")
        case "bye":
            return office.said(peer, Type.BYE, ["it was told to"])
        case "drains":
            return office.said(peer, Type.RETURNED, [[], True])
    attempt = _attempt(plain[1])
    match verb:
        case "started":
            return office.said(peer, Type.STARTED, [[[*attempt, office.now]]])
        case "returned":
            return office.said(peer, Type.RETURNED, [[list(attempt)], False])
        case "created" | "follow-on":
            return _created(office, peer, attempt, 0 if verb == "follow-on" else int(given.pop("n", "1")), plain, given)
        case "done" | "failed":
            return _ended(office, peer, attempt, verb, plain, given)
    raise AssertionError(f"what is {verb!r}?")


def _hello(office: Office, peer: int, given: dict[str, str]) -> happened.Event:
    held = []
    for item in filter(None, given.get("holds", "").split(",")):
        attempt, target, created = item.split(":")
        held.append([*_attempt(attempt), int(target), int(created), 1])
    return office.greeting(peer, given.get("uid", ""), held, cpus=float(given.get("cpus", 1)), block=given.get("block", ""))


def _created(
    office: Office, peer: int, attempt: tuple[int, int], first_n: int, plain: list[str], given: dict[str, str]
) -> happened.Event:
    count = int(given.pop("count", "1"))
    takes = [number for n in filter(None, given.pop("takes", "").split(",")) for number in (int(n), 1)]
    blob = [70_000, "sha"] if "blob" in plain else None
    extras = {0: [takes, [], blob]} if takes or blob else {}
    form = ["t", None, {key: _number(value) for key, value in given.items()}]
    piece = [*attempt, first_n, [form], [0, count], extras, [1] * count]
    return office.said(peer, Type.CHILDREN, [[], [piece]], b"x" * count)


def _ended(
    office: Office, peer: int, attempt: tuple[int, int], verb: str, plain: list[str], given: dict[str, str]
) -> happened.Event:
    cause = given.get("cause", "exception") if verb == "failed" else ""
    row = office.row(attempt, cause, int(given.get("created", "0")), "follow-on" in plain)
    row[4] |= FLAG_TEMP if "temp" in plain else 0
    result = given.get("result", "")
    row[5] = [int(result.split(":")[1])] if result.startswith("PROMISE") else (True if result else None)
    return office.said(peer, Type.DONE, [[row], [0]])


def _attempt(word: str) -> tuple[int, int]:
    epoch, number = word.split(".")
    return int(epoch), int(number)


def _number(word: str) -> float | int:
    return float(word) if "." in word else int(word)


# -- what is decided --------------------------------------------------------------------------------------------------


def _decided(office: Office) -> Iterator[str]:
    lines = [f"  journal  {_record(record)}" for record in office.step.records if not isinstance(record, r.Summary)]
    lines += [f"  do       {_effect(effect)}" for effect in [*office.step.at_once, *office.step.effects]]
    if office.state.outcome is not None:
        lines.append(f"  the end  {office.state.outcome.state}, status {office.state.outcome.status}")
    return iter(lines or ["  nothing"])


def _record(record: r.Record) -> str:
    name = type(record).__name__
    match record:
        case r.TargetsCreated():
            return (
                f"{name} {_targets(record.first, len(record.lengths))} by {record.epoch}.{record.number}, n from {record.first_n}"
            )
        case r.AttemptsAssigned():
            targets = ", ".join(
                _targets(first, count) for first, count in zip(record.targets[::2], record.targets[1::2], strict=True)
            )
            return f"{name} {targets} to w{record.worker} as .{record.first}"
        case r.AttemptsCommitted():
            return f"{name} {_names(record.rows)}"
        case r.AttemptsFailed():
            verdicts = ", ".join("for good" if verdict is None else "to be tried again" for verdict in record.verdicts)
            return f"{name} {_names(record.rows)} ({record.rows[0][2]}) {verdicts}"
        case r.AttemptsAdopted():
            return f"{name} {_names(record.attempts)} by w{record.worker}"
        case r.AttemptsLost():
            return f"{name} {_names(record.attempts)}: {record.reason}"
        case r.AttemptsReturned() | r.AttemptsStarted():
            return f"{name} {_names(record.attempts)}"
        case r.TargetsRetried() | r.SubtreesCancelled() | r.TargetsRefused():
            return f"{name} {record.targets}"
        case r.BlockPlanned():
            return f"{name} {record.name}, {record.n} workers"
        case r.BlockKnown():
            return f"{name} {record.name}: {', '.join(record.ids)}"
        case r.BlockEnded():
            return f"{name} {record.name} {record.id}: {record.reason}"
        case r.WorkerJoined():
            return f"{name} w{record.worker}"
        case r.WorkerLeft():
            return f"{name} w{record.worker}: {record.reason}"
        case r.EpochBegan():
            return f"{name} {record.epoch}"
        case r.RunEnded():
            return f"{name} {record.state}: {record.reason}"
        case r.RunDescribed():
            return name
    raise AssertionError(f"{record} has no words")


def _names(attempts: list[list[Any]]) -> str:
    return ", ".join(f"{attempt[0]}.{attempt[1]}" for attempt in attempts)


def _targets(first: int, count: int) -> str:
    return f"target {first}" if count == 1 else f"targets {first} to {first + count - 1}"


def _effect(effect: want.Effect) -> str:
    match effect:
        case want.Send(peer, kind, body):
            return f"-> {peer} {kind.name}{_body(kind, body)}"
        case want.Tell(level, text):
            return f"{level}: {text}"
        case want.EndSession(peer):
            return f"end session {peer}"
        case want.Submit(name, n):
            return f"submit {name}, {n} workers"
        case want.Find(name):
            return f"find {name}"
        case want.CancelBlocks(ids, force):
            return f"cancel {', '.join(ids)}{' by force' if force else ''}"
        case want.RemoveTemp(chain):
            return f"remove the temp dirs of chain {chain}"
        case want.RemoveBlob(epoch, number, name):
            return f"remove blob {epoch}-{number}-{name}"
        case want.Output():
            return f"output of target {effect.target}"
    raise AssertionError(f"{effect} has no words")


def _body(kind: Type, body: list[Any]) -> str:
    match kind:
        case Type.WELCOME:
            words = [
                f"{epoch}.{number} {'goes on' if verdict == VERDICT_ADOPT else 'is cancelled'}, {on_disk} on disk"
                for epoch, number, verdict, on_disk in body[1]
            ]
            return f" w{body[0]['worker']}" + "".join(f"; {word}" for word in words)
        case Type.RUN:
            return "".join(f" .{number} {_targets(first, count)}" for number, first, count, *_ in body[1])
        case Type.ACK:
            return f" {body[0]}"
        case Type.RECALL:
            return f" {_names(body[0])}"
        case Type.STOP | Type.REJECT:
            return f" ({body[0]})"
    return ""

"""Small LSF and parasol for tests: one queue in a directory, real processes, and the words that were recorded from the real ones.

    python fakes.py DIRECTORY PROGRAM ARGUMENTS...

Sources of all texts, streams and exit statuses are observations of OpenLava 2.2 and parasol 12.20, and IBM's pages. A job starts
at once. What a real system does when it is ill (hang, garbage) is put in front of these programs by the contract tests.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

PROGRAMS = ("bsub", "bjobs", "bkill", "bhist", "bparams", "parasol")


def install(directory: Path) -> Path:
    """Put the programs into a directory that can be put on PATH."""
    programs = directory / "bin"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {directory} {name} "$@"\n')
        path.chmod(0o755)
    return programs


@contextmanager
def queue(directory: Path) -> Iterator[dict[str, Any]]:
    """The queue, for one program at a time."""
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = directory / "queue.json"
        state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"next": 1, "jobs": {}}
        yield state
        path.write_text(json.dumps(state))


def refuse(words: str, status: int = 255) -> NoReturn:
    print(words, file=sys.stderr)
    sys.exit(status)


def start(directory: Path, key: str, argv: list[str], environment: dict[str, str], out: str, cwd: str) -> None:
    """A process that runs a job, and notes how it ended."""
    subprocess.Popen(
        [sys.executable, __file__, str(directory), "_run", key, out, *argv],
        env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def run(directory: Path, key: str, out: str, *argv: str) -> None:
    with open(out, "ab") as file:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    with queue(directory) as state:
        state["jobs"][key] |= {"pid": process.pid, "state": "RUN", "started": int(time.time())}
    status = process.wait()
    with queue(directory) as state:
        job = state["jobs"][key]
        job |= {"state": "EXIT" if status else "DONE", "status": status, "ended": int(time.time())}
        if job.get("results") and not job.get("removed"):
            word = -status if status < 0 else status << 8
            with open(job["results"], "a") as file:
                file.write(
                    f"{word} node1 {key} {Path(job['command']).name} 0 0 {job['at']} {job['started']} {job['ended']} "
                    f"hpc /tmp/para{key}.err '{job['command']}'\n"
                )


def end(job: dict[str, Any], *signals: signal.Signals) -> None:
    """Signal a job's processes, as the system does."""
    deadline = time.monotonic() + 10
    while job.get("pid") is None and time.monotonic() < deadline:
        return
    for number in signals:
        try:
            os.killpg(job["pid"], number)
        except (ProcessLookupError, KeyError):
            return


# -- LSF --------------------------------------------------------------------------------------------------------------


def bsub(directory: Path, *words: str) -> None:
    rest, options = list(words), {}
    while rest:
        word = rest.pop(0)
        options[word] = "" if word == "-rn" else rest.pop(0)
    given = options
    if given.get("-q") == "nosuch":
        refuse("nosuch: No such queue. Job not submitted.")
    script = sys.stdin.read()
    name, _, spec = given["-J"].partition("[")
    low, _, high = spec.rstrip("]").partition("-")
    if int(low) < 1:
        refuse("Bad job name. Job not submitted.")
    with queue(directory) as state:
        number = state["next"]
        state["next"] += 1
        path = directory / f"{number}.script"
        path.write_text(script)
        for index in range(int(low), int(high) + 1):
            job = {"kind": "lsf", "name": name, "state": "PEND", "array": number, "index": index, "at": int(time.time())}
            state["jobs"][f"{number}[{index}]"] = job
    for index in range(int(low), int(high) + 1):
        environment = {**os.environ, "LSB_JOBID": str(number), "LSB_JOBINDEX": str(index), "LSB_JOBNAME": given["-J"]}
        out = given["-o"].replace("%I", str(index)).replace("%J", str(number))
        start(directory, f"{number}[{index}]", ["/bin/sh", str(path)], environment, os.path.abspath(out), os.getcwd())
    print(f"Job <{number}> is submitted to default queue <normal>.")


def bjobs(directory: Path, *words: str) -> None:
    if (directory / "old").exists() and "-json" in words:
        refuse("bjobs: invalid option -- 'o'\nUsage: bjobs [-h] [-V] [-A] [-a] ...")
    with queue(directory) as state:
        jobs = {key: job for key, job in state["jobs"].items() if job["kind"] == "lsf" and not job.get("forgotten")}
    if "-p" in words:
        print("JOBID   USER    STAT  QUEUE      FROM_HOST   JOB_NAME   SUBMIT_TIME")
        print(" Job's resource requirements not satisfied: 3 hosts;")
        return
    if not jobs:
        print("No job found", file=sys.stderr)
        return
    if "-json" not in words:
        print("JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME")
        for job in jobs.values():
            where = "-" if job["state"] == "PEND" else "node1"
            print(f"{job['array']:<7} hpc     {job['state']:<5} normal     head        {where:<11} "
                  f"{job['name']}[{job['index']}] Nov 22 11:32")  # fmt: skip
        return
    print("Cannot connect to LSF. Please wait ...")
    records = [
        {"JOBID": str(job["array"]), "JOBINDEX": str(job["index"]), "JOB_NAME": _element(job), "STAT": job["state"],
         "EXIT_CODE": str(job["status"] % 256) if job.get("status") else "", "EXEC_HOST": "node1",
         "EXIT_REASON": "TERM_OWNER: job killed by owner" if job.get("removed") else "", "PEND_REASON": ""}
        for job in jobs.values()
    ]  # fmt: skip
    print(json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, indent=2))


def _element(job: dict[str, Any]) -> str:
    return f"{job['name']}[{job['index']}]"


def bkill(directory: Path, *idents: str) -> None:
    failed = False
    with queue(directory) as state:
        for ident in idents:
            job = state["jobs"].get(ident)
            if job is None:
                print(f"Job <{ident}>: No matching job found", file=sys.stderr)
                failed = True
            elif job["state"] in ("DONE", "EXIT"):
                print(f"Job <{ident}>: Job has already finished", file=sys.stderr)
                failed = True
            else:
                job["removed"] = True
                end(job, signal.SIGINT, signal.SIGTERM)
                print(f"Job <{ident}> is being terminated")
    sys.exit(255 if failed else 0)


def bhist(directory: Path, *words: str) -> None:
    with queue(directory) as state:
        found = [job for job in state["jobs"].values() if job["kind"] == "lsf" and str(job["array"]) in words]
    if not found:
        refuse("No matching job found")
    for job in found:
        print(f"Job <{job['array']}[{job['index']}]>, Job Name <{job['name']}[{job['index']}]>, User <hpc>")
        if "status" in job:
            told = (
                f"Exited with exit code {job['status'] % 256}. The CPU time"
                if job["status"]
                else "Done successfully. The CPU time"
            )
            print(f"Sun Nov 22 11:34:33: {told[:20]}\n{' ' * 21}{told[20:]} used is 0.0 seconds;")


def bparams(directory: Path, *words: str) -> None:
    print("    RESOURCE_RESERVE_PER_TASK = Y" if (directory / "per_task").exists() else "    MBD_SLEEP_TIME = 20")


# -- parasol ----------------------------------------------------------------------------------------------------------


def parasol(directory: Path, *words: str) -> None:
    options = dict(word[1:].partition("=")[::2] for word in words if word.startswith("-"))
    verb = [word for word in words if not word.startswith("-")]
    with queue(directory) as state:
        match verb:
            case ["add", "job", *command]:
                _add(directory, state, options, " ".join(command).split())
            case ["list", "jobs"]:
                for key, job in _alive(state).items():
                    where = "none" if job["state"] == "PEND" else "node1"
                    print(f"{key:<5}{where:<11}hpc        2026/11/22 11:06:13 {job['command']}")
            case ["pstat2"]:
                for key, job in _alive(state).items():
                    if job["results"] == options["results"]:
                        exe = Path(job["command"]).name
                        print(f"q {key}" if job["state"] == "PEND" else f"r {key} hpc {exe} {job['at']} node1")
                print(f"Total Jobs: {len(_alive(state))}")
            case ["remove", "job", key]:
                job = state["jobs"].get(key)
                if job is not None:
                    job["removed"] = True
                    end(job, signal.SIGTERM)
            case ["ping", count]:
                print(f"Pinged hub {count} times")
            case ["list", "sick"] | ["clear", "sick"]:
                pass
            case _:
                refuse("parasol - Parasol program: submits and controls jobs.")


def _alive(state: dict[str, Any]) -> dict[str, Any]:
    return {
        key: job for key, job in state["jobs"].items()
        if job["kind"] == "parasol" and job["state"] in ("PEND", "RUN") and not job.get("removed")
    }  # fmt: skip


def _add(directory: Path, state: dict[str, Any], options: dict[str, str], command: list[str]) -> None:
    key = str(state["next"])
    state["next"] += 1
    job = {
        "kind": "parasol",
        "command": " ".join(command),
        "state": "PEND",
        "results": options["results"],
        "at": int(time.time()),
    }
    state["jobs"][key] = job
    environment = {"PATH": "/usr/bin:/bin", "JOB_ID": key, "PARASOL": "7", "HOST": "node1", "USER": "hpc", "HOME": "/"}
    start(directory, key, command, environment, os.devnull, os.getcwd())
    print(
        key if "printId" in options else f'your job {key} ("{job["command"]}") has been submitted' if "verbose" in options else ""
    )


if __name__ == "__main__":
    doing = {
        "bsub": bsub, "bjobs": bjobs, "bkill": bkill, "bhist": bhist, "bparams": bparams, "parasol": parasol, "_run": run,
    }  # fmt: skip
    doing[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])

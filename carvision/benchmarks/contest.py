"""Measure contenders in turns, each in a process of its own.

With turns, a change of the machine's speed affects all of them. Separate processes give each its
own peak of memory, and keep its settings from the others.
"""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import active_children, get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import cv2
import torch

from carvision.library_settings import set_up_libraries

#: Is called in the contender's process; returns the function to measure, which in turn returns the
#: number of items that it processed.
Build = Callable[[], Callable[[], int]]


@dataclass(frozen=True)
class Measurement:
    """A contender's rate in items a second (of the median pass) and its peak memory in bytes."""

    rate: float
    memory: int


def contest(
    contenders: Mapping[str, Build],
    passes: int,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Measurement]:
    """Measure each of ``contenders`` for ``passes`` passes, after one to warm up.

    Raises:
        RuntimeError: a contender failed; its process has printed the traceback.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    memory: dict[str, int] = {}
    context = get_context("spawn")
    with ExitStack() as stack:
        pipes: dict[str, Connection] = {}
        for name, build in contenders.items():
            pipes[name], theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, build))
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(pipes[name].close)
        for turn in range(passes + 1):
            for name, pipe in pipes.items():
                items, seconds = _ask(name, pipe, "pass")
                if turn:
                    rates[name].append(items / seconds)
                    progress(1)
        for name, pipe in pipes.items():
            memory[name] = int(_ask(name, pipe, "memory")[0])
    return {name: Measurement(median(rates[name]), memory[name]) for name in contenders}


def _ask(name: str, pipe: Connection, what: str) -> tuple[float, float]:
    try:
        pipe.send(what)
        return pipe.recv()
    except (EOFError, ConnectionError):
        raise RuntimeError(f"the contender {name!r} failed") from None


def _serve(pipe: Connection, build: Build) -> None:
    """Answer with (items, seconds), or with (peak memory, 0), until the pipe is closed."""
    # Else the workers of a contender's loader would be spawned, too, on every platform.
    set_start_method(None, force=True)
    # One core each, as the gain from several is not what is compared.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    set_up_libraries()
    run = build()
    try:
        while True:
            if pipe.recv() == "memory":
                pipe.send((_peak_memory(), 0.0))
                continue
            started = time.perf_counter()
            items = run()
            pipe.send((items, time.perf_counter() - started))
    except EOFError:
        return


def _peak_memory() -> int:
    """The peak of this process or of its largest child, in bytes."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return own
    # On Linux ru_maxrss includes the parent's memory from before the exec, while the high-water
    # mark in the status file does not.
    processes = ["self", *(str(child.pid) for child in active_children())]
    return max(_high_water_mark(process) for process in processes)


def _high_water_mark(process: str) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

"""Contenders in processes of their own, measured by turns.

Turns make a change in the machine's speed hit all of them; processes of their own give each its
own peak of memory, and keep one's settings away from the others.
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

#: Makes, in the contender's process, the pass that is measured; a pass returns how much it did.
Build = Callable[[], Callable[[], int]]


@dataclass(frozen=True)
class Result:
    """What a contender reached: items a second (the median pass) and its peak memory in bytes."""

    rate: float
    memory: int


def contest(
    contenders: Mapping[str, Build],
    passes: int,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Result]:
    """Measure each of ``contenders`` for ``passes`` passes, after one that warms up.

    Raises:
        RuntimeError: a contender failed; its own traceback is on the terminal.
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
    return {name: Result(median(rates[name]), memory[name]) for name in contenders}


def _ask(name: str, pipe: Connection, what: str) -> tuple[float, float]:
    try:
        pipe.send(what)
        return pipe.recv()
    except (EOFError, ConnectionError):
        raise RuntimeError(f"the contender {name!r} failed") from None


def _serve(pipe: Connection, build: Build) -> None:
    """Answer with (items, seconds), or with (peak memory, 0), until the pipe is closed."""
    # A spawned process would spawn its loader's workers, too, whatever the platform does.
    set_start_method(None, force=True)
    # One core each: what several would gain is not what is compared.
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
    """Of this process or of its largest child, in bytes."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return own
    # Linux counts what the process was before it became itself, its parent's memory, into
    # ru_maxrss; not so the high-water mark of the status file.
    processes = ["self", *(str(child.pid) for child in active_children())]
    return max(_high_water_mark(process) for process in processes)


def _high_water_mark(process: str) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

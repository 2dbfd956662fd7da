"""Which process a run belongs to, and whether that process is gone.

A process number alone is used again, and host names are not unique (containers, copies of a virtual
machine): a process is judged from the same boot of the same kernel, in the same namespace of
process numbers, by its number and its start. Of all others nothing is said, those that ran before a
reboot included. See proc(5), ``/proc/[pid]/stat``, and pid_namespaces(7).
"""

import json
import os
import socket
import uuid
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """This process, for a tag."""
    return json.dumps({**_here(), "pid": os.getpid(), "started": _started(os.getpid())})


def is_gone(process: str) -> bool:
    """Whether a process, as :func:`this_process` named itself, is known to have ended."""
    return _runs(process) is False


def is_alive(process: str) -> bool:
    """Whether a process is known to run; of some, neither this is known nor its end."""
    return _runs(process) is True


def _runs(process: str) -> bool | None:
    """Whether a process runs; None where that cannot be known."""
    try:
        named = json.loads(process)
        pid, before = int(named.pop("pid")), named.pop("started")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    if named != _here():
        return None
    started = _started(pid)
    return started is not None and (started == before or "" in (started, before))


@cache
def _here() -> dict[str, str]:
    """Where process numbers mean what they mean here."""
    try:
        boot = _BOOT_ID.read_text().strip()
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        # No Linux: the network card's own number, or a random one that equals no other.
        boot, numbers = f"{uuid.getnode():x}", ""
    return {"host": socket.gethostname(), "boot": boot, "pid_namespace": numbers}


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; empty if that is not told, None if gone."""
    try:
        # The name stands in brackets, and may hold some.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _alive(pid)
    return None if state in ("Z", "X") else fields[18]


def _alive(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # another user's
    return ""

"""Which process a run belongs to, and whether that process is gone.

The number of a process is used again after its end, and host names are not unique (containers,
copies of a virtual machine). So a process is judged only from the same boot of the same kernel and
the same namespace of process numbers (see pid_namespaces(7)), by its number and its start. Nothing
is known of any other process, such as one that ran before a reboot.
"""

import json
import os
import socket
import uuid
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


def this_process() -> str:
    """This process, as the text of a tag."""
    named = {**_here(), "pid": os.getpid(), "started": _started(psutil.Process())}
    return json.dumps(named)


def is_gone(process: str) -> bool:
    """Whether a process that :func:`this_process` named is known to have ended."""
    return _runs(process) is False


def is_alive(process: str) -> bool:
    """Whether a process that :func:`this_process` named is known to run."""
    return _runs(process) is True


def _runs(process: str) -> bool | None:
    """Whether a process runs; None where that cannot be known."""
    try:
        named = json.loads(process)
        pid, started = int(named.pop("pid")), named.pop("started")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    if named != _here() or pid < 1:
        return None
    try:
        found = psutil.Process(pid)
        if found.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        return _started(found) == started or "" in (_started(found), started)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # it is another user's


def _here() -> dict[str, str]:
    """What has to be equal where a process is named and where it is judged."""
    try:
        boot, numbers = _BOOT_ID.read_text().strip(), str(_NAMESPACE.readlink())
    except OSError:
        # Not Linux: the number of the network card, or a random one that equals no other.
        boot, numbers = f"{uuid.getnode():x}", ""
    return {"host": socket.gethostname(), "boot": boot, "pid_namespace": numbers}


def _started(process: psutil.Process) -> str:
    """When a process started, in clock ticks since the boot; empty where that is not known.

    Not since 1970: on Linux that changes when the clock is set, and elsewhere the difference does.
    """
    if not psutil.LINUX:
        return ""
    seconds = process.create_time() - psutil.boot_time()
    return str(round(seconds * os.sysconf("SC_CLK_TCK")))

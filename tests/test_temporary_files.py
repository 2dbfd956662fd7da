"""What a killed process leaves goes; what a living one works with stays."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carvision import temporary_files
from carvision.files import replacing, replacing_folder, scratch_folder
from carvision.temporary_files import clear_leftovers, temporary_path

#: One of each kind of temporary files and folders, in the places where they are made.
_WORKER = """
import sys
from contextlib import ExitStack
from pathlib import Path
from carvision.files import replacing, replacing_folder, scratch_folder
with ExitStack() as stack:
    enter = stack.enter_context
    folders = [enter(scratch_folder())]
    folders += [enter(replacing_folder(Path(name))) for name in (
        "work/archives/abc", "work/folds/set/fold1/finished")]
    for folder in folders:
        (folder / "part").write_text("half of")
    for name in ("work/scans/a.parquet", "work/folds/set/fold1/step.pt", "work/x.json"):
        enter(replacing(Path(name))).write_text("half of")
    print("ready", flush=True)
    sys.stdin.read()
"""


def _files() -> list[str]:
    return sorted(str(path) for path in Path("work").rglob("*") if path.is_file())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def worker(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(temporary_files.__file__).parents[1])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_of_a_living_process_nothing_goes(worker: subprocess.Popen[str]) -> None:
    before = _files()
    assert len([name for name in before if not name.endswith(".owner")]) == 6
    assert clear_leftovers(Path("work")) == []
    assert _files() == before


def test_of_a_killed_process_all_goes(worker: subprocess.Popen[str]) -> None:
    Path("work/folds/set/fold1/events.jsonl").write_text("kept")
    with scratch_folder() as mine, replacing(Path("work/mine.json")) as temporary:
        (mine / "part").write_text("mine")
        worker.kill()
        worker.wait()
        assert len(clear_leftovers(Path("work"))) == 6
        assert (mine / "part").read_text() == "mine"
        temporary.write_text("mine")
    assert Path("work/mine.json").read_text() == "mine"
    assert list(Path("work/scratch").iterdir()) == []
    assert _files() == ["work/folds/set/fold1/events.jsonl", "work/mine.json"]


def test_what_nobody_marked_stays(project: Path) -> None:
    for name in ("work/scratch/tmpabc/part", "work/cache/.old.abc/part", "work/scans/.a.part"):
        path = Path(name)
        path.parent.mkdir(parents=True)
        path.write_text("of an earlier version, or of another program")
    before = _files()
    assert clear_leftovers(Path("work")) == []
    assert _files() == before


def test_without_a_work_folder(project: Path) -> None:
    assert clear_leftovers(Path("work")) == []
    assert list(project.iterdir()) == []


def test_a_folder_that_was_being_exchanged_is_whole_afterwards(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two renames: neither the old nor the new folder has the name."""
    path = Path("work/archives/abc")
    with replacing_folder(path) as temporary:
        (temporary / "a").write_text("old")

    class Killed(BaseException):
        pass

    def killed(*args: object) -> None:
        raise Killed

    replace = Path.replace
    with (
        monkeypatch.context() as patch,
        pytest.raises(Killed),
        replacing_folder(path) as temporary,
    ):
        (temporary / "a").write_text("new")
        patch.setattr(Path, "replace", lambda a, b: killed() if a == temporary else replace(a, b))
    assert not path.exists()
    clear_leftovers(Path("work"))
    assert (path / "a").read_text() == "new"
    assert _files() == ["work/archives/abc/a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
def test_an_exchange_that_is_interrupted_loses_neither_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-C between the two renames, or a second one that the disk refuses for a moment."""
    path = Path("work/archives/abc")
    with replacing_folder(path) as temporary:
        (temporary / "a").write_text("old")
    replace, refused = Path.replace, []

    def once(source: Path, target: Path) -> Path:
        if source.name == path.name or refused:
            return replace(source, target)
        refused.append(source)
        raise error

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(Path, "replace", once)
        with replacing_folder(path) as temporary:
            (temporary / "a").write_text("new")
    assert len(refused) == 1
    assert (path / "a").read_text() == "new"
    assert _files() == ["work/archives/abc/a"]


@pytest.mark.parametrize("error", [OSError("no locks available"), NotImplementedError()])
def test_a_disk_without_locks(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class NoLock(temporary_files.FileLock):
        def acquire(self, *args: object, **named: object) -> None:
            raise error

    monkeypatch.setattr(temporary_files, "FileLock", NoLock)
    with temporary_path(Path("work/scratch"), "") as path:
        path.write_text("mine")
        assert clear_leftovers(Path("work")) == []
        assert path.read_text() == "mine"
    assert _files() == []


def test_a_folder_that_is_taken_for_a_leftover_while_it_is_made(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of the lock file and its locking."""
    taken = []

    class Slow(temporary_files.FileLock):
        def acquire(self, *args: object, **named: object) -> object:
            if not taken:
                taken.append(self.lock_file)
                monkeypatch.setattr(temporary_files, "FileLock", lock)
                clear_leftovers(Path("work"))
            return super().acquire(*args, **named)

    lock = temporary_files.FileLock
    monkeypatch.setattr(temporary_files, "FileLock", Slow)
    with temporary_path(Path("work/scratch"), "") as path:
        assert len(taken) == 1
        assert Path(f"{path}.owner").exists()
        assert clear_leftovers(Path("work")) == []


@pytest.mark.parametrize("name", ["a" * 240 + ".csv", "차" * 80 + ".csv"])
def test_long_names(project: Path, name: str) -> None:
    with replacing(Path(name)) as temporary:
        temporary.write_text("whole")
    assert Path(name).read_text() == "whole"

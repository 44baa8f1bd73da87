"""The user's output file: whole at every moment, and nobody's edit is lost."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.errors import InvalidOutput, InvalidParameter, StorageFull
from pauseflow_nb.private_files import create
from pauseflow_nb.runner import cell_statuses, output_file
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.output_file import OutputFile, require_writable, write_whole


@pytest.fixture
def document() -> Document:
    document = Document(new_notebook(cells=[new_code_cell("1")]))
    cell_statuses.note_notebook_started(document, "e1")
    return document


def touch(document: Document, text: str) -> None:
    document.cells[0].source = text
    document.changed(0)


def source_in(path: Path) -> str:
    return str(nbformat.read(path, as_version=4).cells[0].source)


def test_it_replaces_what_was_there_and_leaves_nothing_else(tmp_path: Path, document: Document) -> None:
    path = tmp_path / "out.ipynb"
    path.write_text("an older run")
    path.chmod(0o640)
    output = OutputFile(str(path), execution="e1", is_first=True)

    output.save(document)

    assert source_in(path) == "1"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in tmp_path.iterdir()] == ["out.ipynb"]


def test_it_removes_what_a_writer_has_left_that_was_killed(tmp_path: Path, document: Document) -> None:
    path = tmp_path / "out [1].ipynb"
    others = [".out 1.ipynb.pauseflow.tmp", "out [1].ipynb.pauseflow.tmp", ".out [1].ipynb"]
    for name in [".out [1].ipynb.pauseflow.tmp", *others]:
        (tmp_path / name).write_text("half")
    program = f"""
import os
from pathlib import Path
from pauseflow_nb.runner import output_file
output_file.os.fsync = lambda _file: os.kill(os.getpid(), 9)
output_file.write_whole({str(path)!r}, "of the dead")
"""
    for _ in range(2):
        died = subprocess.run([sys.executable, "-c", program], check=False)
        assert died.returncode == -signal.SIGKILL
        assert (tmp_path / ".out [1].ipynb.pauseflow.tmp").is_file()

    OutputFile(str(path), execution="e1", is_first=False).save(document)

    assert sorted(found.name for found in tmp_path.iterdir()) == sorted([path.name, *others])
    assert source_in(path) == "1"


def test_writers_at_the_same_time_do_not_disturb_each_other(
    tmp_path: Path, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.ipynb"
    fsync, turns = os.fsync, [3]

    def write_meanwhile(descriptor: int) -> None:
        if turns[0]:
            turns[0] -= 1
            OutputFile(str(path), execution="e1", is_first=True).save(document)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", write_meanwhile)
    OutputFile(str(path), execution="e1", is_first=True).save(document)

    assert source_in(path) == "1"
    assert [found.name for found in tmp_path.iterdir()] == ["out.ipynb"]


def test_a_file_that_another_writer_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.ipynb"

    def create_and_lose(temporary: Path, *, mode: int) -> BinaryIO:
        file = create(temporary, mode=mode)
        if temporary.name == ".out.ipynb.pauseflow.tmp":
            output_file._remove_unlocked(temporary)
        return file

    monkeypatch.setattr(output_file, "create", create_and_lose)
    OutputFile(str(path), execution="e1", is_first=True).save(document)

    assert source_in(path) == "1"
    assert [found.name for found in tmp_path.iterdir()] == ["out.ipynb"]


def test_where_a_disk_has_no_locks_the_file_is_written_and_nothing_is_left(
    tmp_path: Path, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_file, "lock_alone", lambda _descriptor: False)
    output = OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True)

    for text in ("2", "3"):
        touch(document, text)
        output.save(document)

    assert source_in(tmp_path / "out.ipynb") == "3"
    assert [found.name for found in tmp_path.iterdir()] == ["out.ipynb"]


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path, document: Document) -> None:
    path, private = tmp_path / "out.ipynb", tmp_path / "private"
    private.write_text("mine")
    (tmp_path / ".out.ipynb.pauseflow.tmp").symlink_to(private)

    OutputFile(str(path), execution="e1", is_first=True).save(document)

    assert (source_in(path), private.read_text()) == ("1", "mine")
    assert not path.is_symlink()


def test_an_unchanged_document_is_not_written_again(tmp_path: Path, document: Document) -> None:
    output = OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True)
    output.save(document)
    inode = output.path.stat().st_ino

    output.save(document)
    assert output.path.stat().st_ino == inode
    assert output.save_when_due(document) is None


def test_while_cells_run_it_follows_at_a_distance(tmp_path: Path, document: Document) -> None:
    output = OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True)
    output.save(document)
    touch(document, "2")

    due = output.save_when_due(document)

    assert due is not None
    assert 0.5 < due <= 60
    assert source_in(output.path) == "1"


def test_a_file_that_another_program_changed_is_not_overwritten(tmp_path: Path, document: Document) -> None:
    path, moved = tmp_path / "out.ipynb", list[str]()
    output = OutputFile(str(path), execution="e1", is_first=True, on_moved=moved.append)
    output.save(document)
    edited = nbformat.read(path, as_version=4)
    edited.cells[0].source = "theirs"
    nbformat.write(edited, path)

    touch(document, "ours")
    output.save(document)
    touch(document, "ours again")
    output.save(document)

    assert source_in(path) == "theirs"
    assert source_in(tmp_path / "out.pauseflow-e1.ipynb") == "ours again"
    assert moved == [str(tmp_path / "out.pauseflow-e1.ipynb")]


@pytest.mark.parametrize("theirs", ["theirs", "[]", "[" * 100_000])
def test_a_later_segment_knows_the_file_of_an_earlier_one(tmp_path: Path, document: Document, theirs: str) -> None:
    path, moved = tmp_path / "out.ipynb", list[str]()
    OutputFile(str(path), execution="e1", is_first=True).save(document)
    touch(document, "2")

    OutputFile(str(path), execution="e1", is_first=False, on_moved=moved.append).save(document)
    assert (source_in(path), moved) == ("2", [])

    path.write_text(theirs)
    touch(document, "3")
    OutputFile(str(path), execution="e1", is_first=False, on_moved=moved.append).save(document)
    assert (path.read_text(), len(moved)) == (theirs, 1)


def test_a_deleted_file_is_written_again(tmp_path: Path, document: Document) -> None:
    output = OutputFile(str(tmp_path / "deep" / "out.ipynb"), execution="e1", is_first=False)
    output.save(document)
    output.path.unlink()
    output.path.parent.rmdir()

    output.save(document)

    assert source_in(output.path) == "1"


def test_a_symbolic_link_is_followed(tmp_path: Path, document: Document) -> None:
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "real.ipynb")

    OutputFile(str(tmp_path / "link.ipynb"), execution="e1", is_first=True).save(document)

    assert (tmp_path / "link.ipynb").is_symlink()
    assert source_in(tmp_path / "real.ipynb") == "1"


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.name != "posix"
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=False).returncode
    ):
        pytest.skip("needs to mount a small disk")
    return folder


def test_a_full_disk_is_an_error_and_leaves_the_old_file_whole(small_disk: Path, document: Document) -> None:
    try:
        output = OutputFile(str(small_disk / "out.ipynb"), execution="e1", is_first=True)
        output.save(document)
        touch(document, "x" * 100_000)

        with pytest.raises(StorageFull, match="no space left"):
            output.save(document)

        assert source_in(output.path) == "1"
        assert [found.name for found in small_disk.iterdir()] == ["out.ipynb"]
        output._due = 0
        assert output.save_when_due(document) is not None
    finally:
        subprocess.run(["umount", small_disk], check=True)


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, Path]:
    """A link that another user has made at the place of the output, in a folder like /tmp; and its target."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root gives files away")
    folder, victim = tmp_path / "shared", tmp_path / "victim"
    folder.mkdir()
    folder.chmod(0o1777)
    victim.write_text("precious")
    (folder / "out.ipynb").symlink_to(victim)
    os.lchown(folder / "out.ipynb", 12345, 12345)
    return folder / "out.ipynb", victim


def test_a_link_of_another_user_is_refused_before_anything_runs(planted: tuple[Path, Path]) -> None:
    with pytest.raises(InvalidParameter, match="is a link that another user has made: name the file itself"):
        require_writable(str(planted[0]))


@pytest.mark.parametrize("path", ["a" * 300, "a/" * 3000, "nul\0", "half\ud800", "~nobody_of_this_name/out.ipynb"])
def test_what_cannot_be_a_path_is_refused_before_anything_runs(path: str) -> None:
    with pytest.raises(InvalidParameter, match="cannot be the path of a file"):
        require_writable(path)


@pytest.mark.parametrize("letter", ["a", "ä", "😀"])
def test_a_name_that_could_not_be_written_in_the_end_is_refused_before_anything_runs(
    tmp_path: Path, document: Document, letter: str
) -> None:
    longest = letter * ((210 - len(".ipynb")) // len(letter.encode())) + ".ipynb"
    with pytest.raises(InvalidParameter, match="has a name that is too long: at most 210 bytes"):
        require_writable(str(tmp_path / (letter + longest)))

    require_writable(str(tmp_path / longest))
    output = OutputFile(str(tmp_path / longest), execution="0123456789ab", is_first=False)
    output.path.write_text("theirs")
    output.save(document)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("is_first", [True, False])
def test_a_link_that_another_user_makes_later_is_not_followed(
    planted: tuple[Path, Path], document: Document, is_first: bool
) -> None:
    path, victim = planted
    output = OutputFile(str(path), execution="e1", is_first=is_first)

    output.save(document)

    assert victim.read_text() == "precious"
    assert source_in(output.path) == "1"
    assert not output.path.is_symlink()


def test_a_file_that_is_replaced_is_at_no_moment_more_readable(
    tmp_path: Path, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.ipynb"
    path.touch(mode=0o600)
    modes: list[int] = []
    sync = os.fsync

    def look(descriptor: int) -> None:
        modes.append(os.fstat(descriptor).st_mode & 0o777)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    OutputFile(str(path), execution="e1", is_first=True).save(document)

    assert modes[0] == 0o600
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_follows_the_umask_because_it_is_the_users(
    tmp_path: Path, document: Document, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True).save(document)
    finally:
        os.umask(before)

    assert (tmp_path / "out.ipynb").stat().st_mode & 0o777 == mode


def test_a_file_is_replaced_as_a_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "copy.ipynb"
    path.write_text("old")
    path.chmod(0o640)

    with path.open() as reader:
        written = write_whole(str(path), "new")

        assert (written, reader.read()) == (str(path), "old")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_as_a_whole_keeps_what_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "copy.ipynb"
    path.write_text("old")

    def fill_the_disk(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill_the_disk)

    with pytest.raises(InvalidOutput, match=r"copy.ipynb cannot be written: No space left on device"):
        write_whole(str(path), "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_may_stand_in_the_home_folder_at_a_url_or_be_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    write_whole("~/here.txt", "a")
    write_whole(f"file://{tmp_path}/there.txt", "b")
    write_whole(str(pipe), "c")

    assert ((tmp_path / "here.txt").read_text(), (tmp_path / "there.txt").read_text()) == ("a", "b")
    assert os.read(reader, 10) == b"c"
    os.close(reader)

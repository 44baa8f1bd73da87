"""What we write is for this user alone, whatever the umask is; links of other users lead nowhere."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pauseflow_nb.private_files import create, follow, make_folder

SOMEBODY = 12345
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(params=[0, 0o022, 0o077, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[str, Path], Path]:
    """Make a link as another user does."""

    def make(name: str, target: Path) -> Path:
        link = tmp_path / name
        link.symlink_to(target)
        os.lchown(link, SOMEBODY, SOMEBODY)
        return link

    return make


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
def test_folders_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    make_folder(folder)
    with create(folder / "file") as file:
        file.write(b"x")

    assert [mode(each) for each in (folder, folder.parent, folder.parent.parent)] == [0o700] * 3
    assert mode(folder / "file") == 0o600
    assert (folder / "file").read_bytes() == b"x"


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    make_folder(tmp_path / "shared" / "mine")

    assert mode(tmp_path / "shared") == 0o2770
    assert mode(tmp_path / "shared" / "mine") == 0o700


@pytest.mark.parametrize("is_dangling", [True, False])
def test_a_file_is_never_made_through_a_link(tmp_path: Path, is_dangling: bool) -> None:
    target = tmp_path / "target"
    if not is_dangling:
        target.write_text("old")
    (tmp_path / "link").symlink_to(target)

    with pytest.raises(FileExistsError):
        create(tmp_path / "link")
    assert target.exists() != is_dangling


def test_ones_own_links_are_followed_to_their_end(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "folder").symlink_to("real/deep")
    (tmp_path / "real" / "deep" / "back").symlink_to("../../real/./file")
    (tmp_path / "first").symlink_to(tmp_path / "folder" / "back")

    for path in (tmp_path / "first", tmp_path / "folder" / "new", tmp_path / "folder" / ".." / "x", tmp_path / "none"):
        assert follow(path) == path.resolve()


@pytest.mark.skipif(os.name == "nt", reason="Windows says it in another way")
def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert follow(tmp_path / "a").is_symlink()


@as_root
def test_a_link_of_another_user_at_the_end_is_not_followed(tmp_path: Path, plant: Callable[..., Path]) -> None:
    planted = plant("out.ipynb", tmp_path / "victim")
    (tmp_path / "mine").symlink_to(planted)

    assert follow(planted) == planted
    assert follow(tmp_path / "mine") == planted


@as_root
@pytest.mark.parametrize("is_open", [True, False], ids=["anybody may write", "only its owner may write"])
def test_a_folder_that_another_user_has_linked(tmp_path: Path, plant: Callable[..., Path], is_open: bool) -> None:
    """Where only its owner could make it, somebody has arranged it so."""
    (tmp_path / "victim").mkdir()
    link = plant("folder", tmp_path / "victim")
    tmp_path.chmod(0o1777 if is_open else 0o755)

    found = follow(link / "out.ipynb")

    assert found == (link / "out.ipynb" if is_open else tmp_path / "victim" / "out.ipynb")

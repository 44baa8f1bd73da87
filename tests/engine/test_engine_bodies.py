"""Large bodies of answers: how much of the storage they may take."""

from pathlib import Path

import pytest

from pauseflow_nb.engine.stored_bodies import BodyRoom
from pauseflow_nb.errors import BodyTooLarge, NoRoomForBody
from pauseflow_nb.links import Claim
from pauseflow_nb.store.files import Files

MEBIBYTE = 1024**2


class Disk(Files):
    """A storage on a disk that says how much it has free."""

    free_bytes = 10**12

    def free(self) -> int:
        return self.free_bytes


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(str(tmp_path / "files"))


def claim(step: str = "ask", ordinal: int = 0) -> Claim:
    return Claim("e1", 0, step, ordinal, "resume")


def stored(disk: Disk) -> list[int]:
    return sorted(path.stat().st_size for path in Path(disk.url).rglob("*") if path.is_file())


def test_a_body_within_the_quota_is_kept_whole(disk: Disk) -> None:
    room = BodyRoom(disk, 20 * MEBIBYTE, 100 * MEBIBYTE)

    body = room.open(claim())
    for _ in range(10):
        body.write(b"x" * MEBIBYTE)
    path = Path(body.close())

    assert path.stat().st_size == 10 * MEBIBYTE
    assert room._promised == {}


def test_a_body_that_passes_the_quota_on_its_way_is_refused_and_leaves_nothing(disk: Disk) -> None:
    room = BodyRoom(disk, 10 * MEBIBYTE, 100 * MEBIBYTE)
    body = room.open(claim())
    for _ in range(8):
        body.write(b"x" * MEBIBYTE)

    with pytest.raises(NoRoomForBody):
        body.write(b"x" * 3 * MEBIBYTE)
    body.discard()

    assert stored(disk) == []
    assert room._promised == {}


def test_bodies_at_the_same_time_do_not_count_on_the_same_room(disk: Disk) -> None:
    room = BodyRoom(disk, 10 * MEBIBYTE, 100 * MEBIBYTE)
    first, second = room.open(claim()), room.open(claim("other"))

    with pytest.raises(NoRoomForBody):
        room.open(claim("third"))
    first.discard()
    room.open(claim("third")).discard()
    second.write(b"x")
    second.close()

    assert stored(disk) == [1]


def test_a_disk_keeps_room_for_everything_else(disk: Disk) -> None:
    disk.free_bytes = 258 * MEBIBYTE

    with pytest.raises(NoRoomForBody):
        BodyRoom(disk, None, 100 * MEBIBYTE).open(claim())

    disk.free_bytes = 280 * MEBIBYTE
    BodyRoom(disk, None, 100 * MEBIBYTE).open(claim()).discard()


def test_all_bodies_of_one_pause_may_take_what_one_may(disk: Disk) -> None:
    room = BodyRoom(disk, None, 8 * MEBIBYTE)
    for _ in range(2):
        body = room.open(claim())
        body.write(b"x" * 6 * MEBIBYTE)
        body.close()

    with pytest.raises(BodyTooLarge):
        room.open(claim())
    room.open(claim(ordinal=1)).discard()
    room.open(claim("other")).discard()


def test_a_storage_that_cannot_be_written_gives_its_room_back(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    room = BodyRoom(disk, None, 100 * MEBIBYTE)

    with pytest.raises(Exception, match="files"):
        room.open(claim())

    assert room._promised == {}

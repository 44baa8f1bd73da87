"""Read the files of an export, a repository or a single file, within bounds and without leaving it."""

import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import yaml

from pauseflow_nb.errors import InvalidImport
from pauseflow_nb.json_values import JSON, is_whole_text

MOST_FILES = 10_000
MOST_BYTES_PER_FILE = 8 * 2**20
MOST_BYTES = 128 * 2**20
#: An archive's list of files is read as a whole.
MOST_BYTES_OF_ARCHIVE = 32 * 2**20
#: The parser of YAML in pure Python takes some ten seconds for so much.
MOST_BYTES_OF_YAML = 2**20
#: With aliases written out, of which a few lines can make billions.
MOST_VALUES = 200_000
MOST_LEVELS = 100

_MEGABYTE = 2**20
_LINK = "a symbolic link, or no file"
_ABSENT = "not in what was imported"
#: What `zipfile` raises for bytes that are not what they should be.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


@dataclass
class Source:
    """Files by their path, which has `/` and begins with neither `/` nor `..`."""

    #: As the user named it.
    name: str
    paths: list[str]
    #: Paths that are not read, each with the reason.
    skipped: dict[str, str] = field(default_factory=dict)
    #: Where files beside a single definition are, which are looked for when a step names them.
    beside: Path | None = None
    _read: Callable[[str], bytes] = field(default=lambda _: b"", repr=False)
    _left: int = MOST_BYTES

    def __post_init__(self) -> None:
        self._known = set(self.paths)

    @property
    def is_exhausted(self) -> bool:
        """Whether as much was read as may be."""
        return self._left < 0

    def find_obstacle(self, path: str) -> str | None:
        """Say why a file cannot be read; None if it can."""
        if path in self._known:
            return None
        if path in self.skipped or self.beside is None:
            return self.skipped.get(path, _ABSENT)
        whole = self.beside
        for part in PurePosixPath(path).parts:
            if part in {"", "..", "/", "//"} or re.search(r"[\0:\\]", part):
                return _ABSENT
            whole /= part
            if whole.is_symlink():
                return _LINK
        return None if whole.is_file() else _ABSENT

    def read(self, path: str) -> str:
        """Return the text of a file.

        Raises:
            InvalidImport: If it is too large, damaged, or no text in UTF-8.
        """
        content = self._read(path)
        self._left -= len(content)
        if self._left < 0:
            raise InvalidImport(self.name, f"its files hold more than {MOST_BYTES // _MEGABYTE} MB")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidImport(self.name, f"{path} is not text in UTF-8") from None


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a ZIP archive, a folder or a single file.

    Raises:
        InvalidImport: If there is nothing that can be read, or a path in it leads out of it.
    """
    if path.is_dir():
        yield _list_folder(path)
    elif not path.is_file():
        what = (
            "it is neither a file nor a folder"
            if path.exists()
            else "there is no such file or folder: check the path and the working directory"
        )
        raise InvalidImport(str(path), what)
    elif zipfile.is_zipfile(path):
        with _open_archive(path) as archive:
            yield _list_archive(path, archive)
    elif path.suffix.lower() == ".zip":
        raise InvalidImport(str(path), "it is not a ZIP archive, or it is damaged")
    else:
        beside = path.parent if path.suffix.lower() in {".yaml", ".yml"} else None
        yield Source(str(path), [path.name], beside=beside, _read=_reader(str(path), path.parent))


def _list_folder(root: Path) -> Source:
    paths: list[str] = []
    skipped: dict[str, str] = {}
    hidden = {".git", "node_modules", "__pycache__", ".venv"}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in hidden)
        for name in sorted(files):
            whole = Path(folder, name)
            path = whole.relative_to(root).as_posix()
            if whole.is_symlink() or not whole.is_file():
                skipped[path] = _LINK
            else:
                paths.append(path)
        if len(paths) > MOST_FILES:
            raise InvalidImport(str(root), f"it holds more than {MOST_FILES:,} files: name the folder of the project")
    return Source(str(root), paths, skipped, _read=_reader(str(root), root))


def _reader(source: str, root: Path) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        try:
            with (root / path).open("rb") as file:
                content = file.read(MOST_BYTES_PER_FILE + 1)
        except OSError as error:
            raise InvalidImport(source, f"{path} cannot be read: {error.strerror}") from None
        return _bounded(source, path, content)

    return read


def _bounded(source: str, path: str, content: bytes) -> bytes:
    # What is read counts, not what an archive says of its size.
    if len(content) > MOST_BYTES_PER_FILE:
        raise InvalidImport(source, f"{path} is larger than {MOST_BYTES_PER_FILE // _MEGABYTE} MB")
    return content


def _open_archive(path: Path) -> zipfile.ZipFile:
    if path.stat().st_size > MOST_BYTES_OF_ARCHIVE:
        raise InvalidImport(str(path), f"it is larger than {MOST_BYTES_OF_ARCHIVE // _MEGABYTE} MB")
    try:
        return zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise InvalidImport(str(path), f"it is a damaged ZIP archive: {error}") from None


def _list_archive(path: Path, archive: zipfile.ZipFile) -> Source:
    name = str(path)
    members = archive.infolist()
    if len(members) > MOST_FILES:
        raise InvalidImport(name, f"it holds more than {MOST_FILES:,} files")
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        _check_member(name, member)
        if member.is_dir():
            continue
        if member.filename in found:
            raise InvalidImport(name, f"it holds {member.filename} twice")
        found[member.filename] = member

    def read(member: str) -> bytes:
        try:
            with archive.open(found[member]) as file:
                content = file.read(MOST_BYTES_PER_FILE + 1)
        except _DAMAGED as error:
            raise InvalidImport(name, f"{member} in it cannot be read: {error}") from None
        return _bounded(name, member, content)

    return Source(name, list(found), _read=read)


def _check_member(source: str, member: zipfile.ZipInfo) -> None:
    path, shown = member.filename, member.orig_filename
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in shown:
        raise InvalidImport(source, f"the path {shown!r} in it leads out of it: such an archive is not safe to read")
    if "\\" in path:
        raise InvalidImport(source, f"the path {shown!r} in it has a backslash, which means a folder on Windows only")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InvalidImport(source, f"{path} in it is a symbolic link: put the file itself into the archive")
    if member.flag_bits & 1:
        raise InvalidImport(source, f"{path} in it is encrypted: make an archive without a password")
    # Others may ask for gigabytes before the first byte is read.
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise InvalidImport(source, f"{path} in it is compressed in an unusual way: make an ordinary ZIP archive")


def parse_json(source: str, path: str, text: str) -> JSON:
    """Parse JSON, within bounds.

    Raises:
        InvalidImport: If it is none, or too deep or too large.
    """
    try:
        value: JSON = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidImport(source, f"{path} is nested too deeply") from None
    except ValueError as error:
        raise InvalidImport(source, f"{path} is not JSON: {error}") from None
    _check_size(source, path, value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value of JSON")


def parse_yaml(source: str, path: str, text: str) -> JSON:
    """Parse YAML, within bounds; its values are those of JSON.

    Raises:
        InvalidImport: If it is none, or too deep or too large with its aliases written out.
    """
    if len(text) > MOST_BYTES_OF_YAML:
        raise InvalidImport(source, f"{path} is larger than {MOST_BYTES_OF_YAML // _MEGABYTE} MB")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count_nodes(source, path, node)
            value: JSON = loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise InvalidImport(source, f"{path} is nested too deeply") from None
    except InvalidImport:
        raise
    except (yaml.YAMLError, ValueError, TypeError) as error:
        sentence = " ".join(str(error).split())
        raise InvalidImport(source, f"{path} is not YAML: {sentence}") from None
    _check_size(source, path, value)
    return value


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # not every build has the fast one
    """Leaves dates and times as the texts that they are."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _count_nodes(source: str, path: str, root: yaml.Node) -> None:
    """Refuse a document that its aliases make too large, before it is built."""
    counts: dict[int, float] = {}

    def count(node: yaml.Node, level: int) -> float:
        if level > MOST_LEVELS:
            raise InvalidImport(source, f"{path} is nested too deeply: more than {MOST_LEVELS} levels")
        if id(node) in counts:
            return counts[id(node)]
        counts[id(node)] = math.inf  # what holds itself has no end
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inside = node.value
        elif isinstance(node, yaml.MappingNode):
            inside = [each for pair in node.value for each in pair]
        counts[id(node)] = 1 + sum(count(each, level + 1) for each in inside)
        return counts[id(node)]

    if count(root, 1) > MOST_VALUES:
        raise InvalidImport(source, f"{path} holds more than {MOST_VALUES:,} values, with its aliases written out")


def _check_size(source: str, path: str, value: Any) -> None:
    """Refuse what is too deep, too large, or no JSON."""
    seen, level = 0, [value]
    for _ in range(MOST_LEVELS):
        if not level:
            return
        seen += len(level)
        if seen > MOST_VALUES:
            break
        level = [value for each in level for value in _look_into(source, path, each)]
    if level:
        raise InvalidImport(source, f"{path} holds more than {MOST_VALUES:,} values, or more than {MOST_LEVELS} levels")


def _look_into(source: str, path: str, value: Any) -> list[Any]:
    """Return the values inside of one, and refuse one that is not JSON."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            _make_keys_texts(value)
        for key in value:
            _look_into(source, path, key)
        return list(value.values())
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        if not is_whole_text(value):
            raise InvalidImport(
                source, f"{path} holds a text that is not Unicode: half of a character (a lone surrogate)"
            )
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidImport(source, f"{path} holds a value that is not JSON: {value}")
    elif not (value is None or isinstance(value, (bool, int, float))):
        raise InvalidImport(source, f"{path} holds a value that is not JSON: a {type(value).__name__}")
    return []


def _make_keys_texts(mapping: dict[Any, Any]) -> None:
    """Spell keys such as the number 1 or `true`, which YAML has and JSON has not, as texts."""
    items = list(mapping.items())
    mapping.clear()
    mapping.update({key if isinstance(key, str) else json.dumps(key, default=str): value for key, value in items})

"""Read the files of an export, a repository or a single file, within bounds and without leaving it."""

import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pauseflow_nb.errors import InvalidImport
from pauseflow_nb.json_values import JSON

__all__ = ["Source", "open_source", "parse_json", "parse_yaml"]

MOST_FILES = 10_000
MOST_BYTES_PER_FILE = 8 * 2**20
MOST_BYTES = 128 * 2**20
#: With aliases written out, of which a few lines can make billions.
MOST_VALUES = 200_000
MOST_LEVELS = 100

_MEGABYTE = 2**20


@dataclass
class Source:
    """Files by their path, which has `/` and begins with neither `/` nor `..`."""

    #: As the user named it.
    name: str
    paths: list[str]
    #: Paths that are not read, each with the reason.
    skipped: dict[str, str] = field(default_factory=dict)
    _read: Callable[[str], bytes] = field(default=lambda _: b"", repr=False)
    _left: int = MOST_BYTES

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
            raise InvalidImport(self.name, f"{path} is no text in UTF-8") from None


def open_source(path: Path) -> Source:
    """Open a ZIP archive, a folder or a single file.

    Raises:
        InvalidImport: If there is nothing that can be read, or a path in it leaves it.
    """
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise InvalidImport(str(path), "there is no such file or folder")
    if zipfile.is_zipfile(path):
        return _open_archive(path)
    if path.suffix.lower() == ".zip":
        raise InvalidImport(str(path), "it is no ZIP archive, or a damaged one")
    if path.suffix.lower() in {".yaml", ".yml"}:
        # Its steps name files beside it.
        folder = _open_folder(path.parent or Path())
        folder.paths = [path.name, *(each for each in folder.paths if not _is_definition(each))]
        folder.name = str(path)
        return folder
    return Source(str(path), [path.name], _read=lambda _: _bounded(str(path), path.name, path))


def _is_definition(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in {".yaml", ".yml", ".json", ".zip"}


def _open_folder(root: Path) -> Source:
    source = Source(str(root), [])
    hidden = {".git", "node_modules", "__pycache__", ".venv"}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in hidden)
        for name in sorted(files):
            whole = Path(folder, name)
            path = whole.relative_to(root).as_posix()
            if whole.is_symlink() or not whole.is_file():
                source.skipped[path] = "a symbolic link, or no file"
            else:
                source.paths.append(path)
        if len(source.paths) > MOST_FILES:
            raise InvalidImport(str(root), f"it holds more than {MOST_FILES:,} files: name the folder of the project")
    source._read = lambda path: _bounded(str(root), path, root / path)  # noqa: SLF001 - of this module
    return source


def _bounded(source: str, path: str, whole: Path) -> bytes:
    with whole.open("rb") as file:
        content = file.read(MOST_BYTES_PER_FILE + 1)
    if len(content) > MOST_BYTES_PER_FILE:
        raise InvalidImport(source, f"{path} is larger than {MOST_BYTES_PER_FILE // _MEGABYTE} MB")
    return content


def _open_archive(path: Path) -> Source:
    name = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InvalidImport(name, f"it is a damaged ZIP archive: {error}") from None
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
            with zipfile.ZipFile(path) as archive, archive.open(found[member]) as file:
                content = file.read(MOST_BYTES_PER_FILE + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise InvalidImport(name, f"{member} in it cannot be read: {error}") from None
        # What is read counts, not what the archive says of its size.
        if len(content) > MOST_BYTES_PER_FILE:
            raise InvalidImport(name, f"{member} in it is larger than {MOST_BYTES_PER_FILE // _MEGABYTE} MB")
        return content

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


def parse_json(source: str, path: str, text: str) -> JSON:
    """Parse JSON, within bounds.

    Raises:
        InvalidImport: If it is none, or too deep or too large.
    """
    try:
        value: JSON = json.loads(text)
    except RecursionError:
        raise InvalidImport(source, f"{path} is nested too deeply") from None
    except ValueError as error:
        raise InvalidImport(source, f"{path} is no JSON: {error}") from None
    _check_size(source, path, value)
    return value


def parse_yaml(source: str, path: str, text: str) -> JSON:
    """Parse YAML, within bounds; its values are those of JSON.

    Raises:
        InvalidImport: If it is none, or too deep or too large with its aliases written out.
    """
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
    except (yaml.YAMLError, ValueError, TypeError) as error:
        sentence = " ".join(str(error).split())
        raise InvalidImport(source, f"{path} is no YAML: {sentence}") from None
    _check_size(source, path, value)
    return value


class _Loader(yaml.SafeLoader):
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
        inside: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if not all(isinstance(key, str) for key in each):
                    _make_keys_texts(each)
                inside.extend(each.values())
            elif isinstance(each, list):
                inside.extend(each)
            elif not (each is None or isinstance(each, (str, bool, int, float))):
                raise InvalidImport(source, f"{path} holds a value that is no JSON: a {type(each).__name__}")
        level = inside
    if level:
        raise InvalidImport(source, f"{path} holds more than {MOST_VALUES:,} values, or more than {MOST_LEVELS} levels")


def _make_keys_texts(mapping: dict[Any, Any]) -> None:
    """Spell keys such as the number 1 or `true`, which YAML has and JSON has not, as texts."""
    items = list(mapping.items())
    mapping.clear()
    mapping.update({key if isinstance(key, str) else json.dumps(key, default=str): value for key, value in items})

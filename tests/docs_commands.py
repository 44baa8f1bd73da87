"""Check the commands of a shell block without running them: each program with its own parser."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import click
import yaml
from papermill.__main__ import papermill

from pauseflow_nb.cli import main
from pauseflow_nb.settings import known_variables

__all__ = ["check_shell", "check_variables"]

_ROOT = Path(__file__).parents[1]
#: Programs of the system: that they are spelt correctly is all that is checked.
_OTHERS = {
    *(".", "cd", "cp", "createdb", "crontab", "docker", "echo", "export", "gh", "git", "install", "keyring", "mkdir"),
    *("pg_dump", "psql", "rm", "rsync", "set", "sudo", "systemctl", "tar", "test", "useradd", "wait"),
}
_SEPARATORS = re.compile(r"[();<>|&]+")


def check_shell(code: str) -> None:
    """Raise an error if a block has a command that its program would refuse."""
    subprocess.run(["bash", "-n"], input=code, text=True, check=True, capture_output=True)
    check_variables(code)
    for command in _split(code):
        _check(command)


def check_variables(code: str) -> None:
    """Raise an error if a text names a variable of ours that nothing reads."""
    names = set(re.findall(r"\bPAUSEFLOW_[A-Z_]+", code))
    unknown = {name for name in names - known_variables() if not name.startswith("PAUSEFLOW_SECRET_")}
    assert unknown == set(), f"no setting: {', '.join(sorted(unknown))}"


def _split(code: str) -> Iterator[list[str]]:
    """Split a block into the words of its single commands."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        skips = False
        for token in lexer:
            if not _SEPARATORS.fullmatch(token):
                if not skips:
                    words.append(token)
                skips = False
            elif "<" in token or ">" in token:
                skips = True
            else:
                yield words
                words = []
        yield words


def _check(words: list[str]) -> None:
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if not words:
        return
    program, arguments = words[0].rpartition("/")[2], words[1:]
    if program in _CHECKS:
        _CHECKS[program](arguments)
    elif program == "sudo":
        _check(arguments[2:] if arguments[0] == "-u" else arguments)
    else:
        assert program in _OTHERS, f"{program} is not known to tests/docs_commands.py"


def _check_click(command: click.Command, name: str, arguments: list[str]) -> None:
    context = command.make_context(name, [*arguments])
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        _, found, arguments = command.resolve_command(context, rest)
        assert found is not None
        _check_click(found, str(found.name), arguments)


def _check_pauseflow(arguments: list[str]) -> None:
    if arguments and not {"--help", "--version"} & {*arguments}:
        _check_click(main, "pauseflow", arguments)


def _check_papermill(arguments: list[str]) -> None:
    _check_click(papermill, "papermill", arguments)


def _check_pip(arguments: list[str]) -> None:
    extras = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert arguments[0] == "install"
    for found in re.findall(r"pauseflow[-_]nb\[([^\]]*)\]", " ".join(arguments)):
        assert set(found.split(",")) <= extras.keys(), f"no extra: {found}"


def _check_make(arguments: list[str]) -> None:
    words = re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [word for word in arguments if "=" not in word and word not in words] == []


def _check_jupyter(arguments: list[str]) -> None:
    for name in re.findall(r"=(pauseflow_nb\.[\w.]+)", " ".join(arguments)):
        module, _, attribute = name.rpartition(".")
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        assert f"class {attribute}" in Path(spec.origin).read_text(encoding="utf-8"), name


def _check_curl(arguments: list[str]) -> None:
    for path in (urlsplit(word).path for word in arguments if "/pauseflow/" in word):
        assert any(pattern.search(path) for pattern in _paths()), f"no such address: {path}"


def _check_python(arguments: list[str]) -> None:
    if "-c" in arguments:
        compile(arguments[arguments.index("-c") + 1], "-c", "exec")
    elif "-m" in arguments:
        assert arguments[arguments.index("-m") + 1] in {"venv", "pauseflow_nb", "pip", "ipykernel"}
    elif arguments and "/" in arguments[0]:
        assert (_ROOT / arguments[0]).exists(), arguments[0]


@cache
def _paths() -> list[re.Pattern[str]]:
    """The addresses of the server: the REST API and the links."""
    api = yaml.safe_load((_ROOT / "pauseflow_nb" / "server" / "api" / "openapi.yaml").read_text(encoding="utf-8"))
    links = [f"/pauseflow/{action}/{{token}}" for action in ("resume", "cancel", "send_back", "approve", "start")]
    return [re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$") for path in [*api["paths"], *links]]


_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "curl": _check_curl,
    "jupyter": _check_jupyter,
    "make": _check_make,
    "papermill": _check_papermill,
    "pauseflow": _check_pauseflow,
    "pip": _check_pip,
    "python": _check_python,
    "python3": _check_python,
}

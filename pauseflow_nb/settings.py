"""Read the settings, and remember where each value came from.

The first source that has a value wins: a flag, an environment variable `PAUSEFLOW_…`,
`pauseflow.toml` beside the notebook, `pauseflow.toml` in the data directory, the default.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from pauseflow_nb.errors import InvalidSetting, InvalidValue
from pauseflow_nb.operator_secrets import MASKED, has_password, is_secret_name, mask_passwords
from pauseflow_nb.queues import DEFAULT_QUEUE, parse_queues
from pauseflow_nb.suggestions import did_you_mean
from pauseflow_nb.validation_words import reword_error

Network: TypeAlias = IPv4Network | IPv6Network

FILE_NAME = "pauseflow.toml"
_PREFIX = "PAUSEFLOW_"
#: Variables with this prefix that are read, but are not settings.
_NO_SETTINGS = frozenset({"PAUSEFLOW_HASH_SEED", "PAUSEFLOW_SNAPSHOTS"})
#: Schemes of fsspec whose files no other process can see.
_OF_ONE_PROCESS = frozenset({"memory", "data"})
_NO_FOLDER = "must be the path of a folder"


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read comma-separated addresses and networks.

    Raises:
        ValueError: If a part is neither; names the part.
    """
    networks: list[Network] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ip_network(name, strict=False))
        except ValueError:
            raise ValueError(
                f"must be addresses or networks such as 127.0.0.1, 10.0.0.0/8 with commas between them, and {name!r} is none"
            ) from None
    return tuple(networks)


class Settings(BaseModel):
    """The settings of this process; make them with `Settings.load`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    #: Folder of the database, the files and `pauseflow.toml`.
    data_dir: Path
    #: SQLAlchemy URL; the default is an SQLite file in the data directory.
    db: str
    #: fsspec URL of the files; the default is a folder in the data directory.
    storage: str
    #: URL that links begin with, if it is not the server's own address.
    public_url: str | None = None
    #: Port of `pauseflow serve` and of an attached run's listener: the letters PAUS on a phone's keypad.
    port: int = Field(default=7287, ge=0, le=65535)
    #: When a GET request may act: `strict` never, `confirm` if it does not come from a browser, `open` always.
    links: Literal["strict", "confirm", "open"] = "confirm"
    #: Comma-separated addresses or networks of proxies whose `X-Forwarded-For` is trusted; None: no proxy is.
    trusted_proxies: str | None = None
    #: Folder of templates for the pages that links open; None: the built-in ones.
    templates: Path | None = None
    #: URL that the browser opens after an answer on such a page; None: it stays on the page.
    redirect: str | None = None
    #: How many segments one worker process runs at once.
    workers: int = Field(default=2, ge=1, le=64)
    #: Comma-separated queues whose segments a worker runs.
    queues: str = DEFAULT_QUEUE
    #: How a worker starts kernels: `cold`, `prestarted` or `forked`; `auto`: forked if that is safe.
    kernels: Literal["auto", "cold", "prestarted", "forked"] = "auto"
    #: How many kernels one process keeps for kernel-bound executions.
    kept_kernels: int = Field(default=16, ge=0, le=1000)
    #: Which parts of a snapshot on a local disk are verified: those that look changed (`fast`), or all (`full`).
    snapshot_check: Literal["fast", "full"] = "fast"
    #: How many bytes this machine's cache of remote snapshots may take on its disk.
    snapshot_cache: ByteSize = Field(default=ByteSize(10 * 1024**3), ge=0)
    #: Largest body of a callback, in bytes; `"10 MiB"` is accepted.
    max_body: ByteSize = ByteSize(1024**3)
    #: How many bytes the storage may hold before new executions are refused; None: no limit.
    quota: ByteSize | None = None
    #: How many executions of one user may run or wait at the same time, not counting nested ones; None: no limit.
    executions_per_user: int | None = Field(default=None, ge=0)
    #: How many executions of one queue may run or wait at the same time, not counting nested ones; None: no limit.
    executions_per_queue: int | None = Field(default=None, ge=0)
    #: How many bytes the executions of one user may hold before new ones are refused; None: no limit.
    bytes_per_user: ByteSize | None = None
    #: How servers and workers write their logs: lines for people (`text`), or one JSON object a line (`json`).
    log_format: Literal["text", "json"] = "text"

    #: Folder with one file for each secret; None: only `/run/secrets`, which is always searched.
    secrets_dir: Path | None = None

    #: Host name of the mail server for `flow.send.email`; None: no mail can be sent.
    smtp_host: str | None = None
    #: Port of the mail server; None: the usual one for `smtp_security`.
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    #: `starttls`, `tls` from the beginning, or `none`.
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    #: User name at the mail server; None: no login.
    smtp_user: str | None = None
    smtp_password: str | None = None
    #: Sender address of mails.
    smtp_from: str | None = None
    #: Recipients of mails that name none.
    smtp_to: str | None = None
    #: Targets of `flow.notify`: name → URL of apprise.
    notify: dict[str, str] = Field(default_factory=dict)

    @field_validator("notify", mode="before")
    @classmethod
    def _is_table(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError('must be JSON, such as {"team": "slack://…"}') from None

    @field_validator("db")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if ":" not in url:
            raise ValueError(f"must be a URL: for this file, write sqlite:///{Path(url).expanduser().absolute()}")
        return url

    @field_validator("public_url")
    @classmethod
    def _is_base(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must look like https://example.org or https://example.org/path")
        if parts.username or parts.password:
            raise ValueError("must not contain a user or password: every link would show them")
        return url.rstrip("/")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _are_networks(cls, proxies: Any) -> Any:
        if isinstance(proxies, list) and all(isinstance(proxy, str) for proxy in proxies):
            proxies = ", ".join(proxies)
        if isinstance(proxies, str):
            parse_networks(proxies)
        return proxies

    @field_validator("queues", mode="before")
    @classmethod
    def _are_queues(cls, names: Any) -> Any:
        if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
            names = ",".join(names)
        try:
            return ",".join(parse_queues(names)) if isinstance(names, str) else names
        except InvalidValue as problem:
            raise ValueError(f"{problem.problem}; several have commas between them") from None

    @field_validator("storage")
    @classmethod
    def _outlives_the_process(cls, url: str) -> str:
        # In a chain of fsspec, the part after the last `::` is the storage.
        if url.rpartition("::")[2].partition("://")[0] in _OF_ONE_PROCESS:
            raise ValueError(
                "keeps files in the memory of one process, where no kernel finds them and nothing is left when it ends: "
                "use a folder, such as /srv/pauseflow, or an object store, such as s3://bucket/pauseflow"
            )
        if "://" in url and has_password(url):
            raise ValueError(
                "must hold no password, because notebooks and the database hold this address: put it into fsspec's "
                "own variables, such as FSSPEC_FTP_PASSWORD, or into its configuration file"
            )
        return url

    @field_validator("templates")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        whole = _make_absolute(folder)
        if not whole.is_dir():
            raise ValueError(_NO_FOLDER)
        return whole

    @field_validator("secrets_dir")
    @classmethod
    def _is_path(cls, folder: Path | None) -> Path | None:
        # It may be mounted later, so it need not exist now.
        return None if folder is None else _make_absolute(folder)

    @field_validator("redirect")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is None:
            return None
        parts = urlsplit(address)
        is_whole = parts.scheme in {"http", "https"} and parts.hostname
        is_here = not parts.scheme and not parts.netloc and address.startswith("/")
        if not (is_whole or is_here) or not address.isascii() or any(char in address for char in " ;,\r\n\t"):
            raise ValueError("must look like https://example.org/thanks?run={execution} or /thanks")
        return address

    @classmethod
    def load(
        cls,
        *,
        flags: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        beside: Path | None = None,
    ) -> "Settings":
        """Read the settings from all sources.

        Args:
            flags: Values from the command line or from traitlets; None values are ignored.
            environment: Used instead of `os.environ`.
            beside: The notebook's folder, where a `pauseflow.toml` may lie.

        Raises:
            InvalidSetting: If a value cannot be used; names the setting, the value and its source.
        """
        environment = os.environ if environment is None else environment
        known = set(cls.model_fields)
        passed = {k: v for k, v in (flags or {}).items() if v is not None}
        variables = {
            k.removeprefix(_PREFIX).lower(): v
            for k, v in environment.items()
            if k.startswith(_PREFIX) and k.removeprefix(_PREFIX).lower() in known and v != ""
        }
        sources = [("flag", passed), ("environment", variables)]
        if beside is not None:
            sources.append((str(beside / FILE_NAME), _read(beside / FILE_NAME)))
        data_dir = _data_dir(sources, beside)
        file = data_dir / FILE_NAME
        found = _read(file)
        if "data_dir" in found:
            raise InvalidSetting(
                "data_dir", found["data_dir"], str(file), "this file cannot name another data directory"
            )
        defaults = {"db": f"sqlite:///{data_dir / 'pauseflow.db'}", "storage": str(data_dir / "files")}
        sources += [(str(file), found), ("default", defaults)]
        return cls._merged(sources)

    def origin(self, name: str) -> str:
        """Return where a value came from: `"flag"`, `"environment"`, a file's path or `"default"`."""
        return self._origins.get(name, "default")

    def source(self, name: str) -> str | None:
        """Name for people what set a value: a flag, a variable, or a place in a file; None: it is the default."""
        origin = self.origin(name)
        if origin == "default":
            return None
        named = {"flag": f"--{name.replace('_', '-')}", "environment": f"{_PREFIX}{name.upper()}"}
        return named.get(origin, f"{name} in {origin}")

    def shown(self, name: str) -> str:
        """Return a value as text for people, without passwords."""
        if name == "notify":
            return ", ".join(f"{target}: {url.partition('://')[0]}://{MASKED}" for target, url in self.notify.items())
        return str(_mask_value(name, getattr(self, name)))

    @classmethod
    def _merged(cls, sources: list[tuple[str, dict[str, Any]]]) -> "Settings":
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for origin, found in sources:
            for name, value in found.items():
                if name not in values:
                    values[name], origins[name] = value, origin
        try:
            settings = cls(**values)
        except ValidationError as problem:
            error = problem.errors()[0]
            name = str(error["loc"][0])
            # The value of an unknown setting may be a password under a misspelt name.
            is_text = name not in cls.model_fields and isinstance(error["input"], str)
            value = MASKED if is_text else _mask_value(name, error["input"])
            unknown = name not in cls.model_fields
            reason = f"is not a setting{did_you_mean(name, Settings.model_fields)}" if unknown else reword_error(error)
            raise InvalidSetting(name, value, origins.get(name, "default"), reason) from None
        settings._origins.update(origins)
        return settings


def known_variables() -> frozenset[str]:
    """Return the names of all environment variables that are read."""
    return frozenset({*(f"{_PREFIX}{name.upper()}" for name in Settings.model_fields), *_NO_SETTINGS})


def _mask_value(name: str, value: object) -> Any:
    """Return a value for people, with secrets masked."""
    if value is not None and (name == "notify" or (is_secret_name(name) and name != "secrets_dir")):
        return MASKED
    return mask_passwords(str(value)) if isinstance(value, (str, Path, bytes)) else value


def _data_dir(sources: list[tuple[str, dict[str, Any]]], beside: Path | None) -> Path:
    """Make the data directory absolute, in the source that names it."""
    for origin, found in sources:
        if "data_dir" in found:
            # A relative path in a file is relative to the file.
            start = beside if beside is not None and origin == str(beside / FILE_NAME) else Path()
            break
    else:
        origin, found, start = "default", {"data_dir": default_data_dir()}, Path()
        sources.append((origin, found))
    written = found["data_dir"]
    if not isinstance(written, (str, Path)):
        raise InvalidSetting("data_dir", written, origin, _NO_FOLDER)
    try:
        found["data_dir"] = whole = _make_absolute(written, start)
    except ValueError as problem:
        raise InvalidSetting("data_dir", written, origin, str(problem)) from None
    return whole


def _make_absolute(written: str | Path, start: Path = Path()) -> Path:
    """Return the absolute path of a folder.

    Raises:
        ValueError: If there can be no such folder: a name is too long, has a bad character, or an unknown user.
    """
    try:
        whole = (start / Path(written).expanduser()).absolute()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            whole.stat()
    except OSError as problem:
        raise ValueError(f"{_NO_FOLDER} ({problem.strerror})") from None
    except (RuntimeError, ValueError) as problem:
        raise ValueError(f"{_NO_FOLDER} ({problem})") from None
    return whole


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as problem:
        raise InvalidSetting(FILE_NAME, str(file), str(file), f"cannot be read: {problem}") from None


def default_data_dir() -> str:
    """Return the data directory for when no setting names one."""
    from jupyter_core.paths import jupyter_data_dir

    return str(Path(jupyter_data_dir()) / "pauseflow")

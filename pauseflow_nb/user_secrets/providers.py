"""Read the value of a secret from the environment, a mounted file or the keyring.

Workers read them; a kernel does so only when cells are run by hand.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pauseflow_nb.errors import MissingSecret
from pauseflow_nb.user_secrets.references import check_name

#: Prefix of a variable that holds a secret; one that ends in `_FILE` holds the path of a file.
VARIABLE_PREFIX = "PAUSEFLOW_SECRET_"
#: Where Docker mounts secrets.
_MOUNTED = Path("/run/secrets")
#: Name of the service in the keyring: `keyring set pauseflow NAME`.
KEYRING_SERVICE = "pauseflow"
#: A larger file is no secret, and was put there by mistake.
_LARGEST = 256 << 10


@dataclass(frozen=True)
class Providers:
    """The places where secrets are looked up, in this order: the environment, the folders, the keyring."""

    #: The setting `secrets_dir`; this folder is searched first.
    secrets_dir: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def find(self, name: str) -> str:
        """Return the value of a secret.

        Raises:
            InvalidValue: If the name cannot be one.
            MissingSecret: If no provider has it, or its value cannot be used.
        """
        check_name(name)
        for value in (self._in_environment(name), self._in_folders(name), self._in_keyring(name)):
            if value is not None:
                return _check_value(name, value)
        raise MissingSecret(name, f"no provider has it: {self._advice(name)}")

    def describe(self) -> tuple[bool, str]:
        """Return whether any provider has a secret, and a line for each provider with the names that it has."""
        ours = [name for name in self.environment if name.startswith(VARIABLE_PREFIX)]
        names = sorted({name.removeprefix(VARIABLE_PREFIX).removesuffix("_FILE") for name in ours})
        listed = {"environment": names, **{str(folder): _list_names(folder) for folder in self._folders}}
        has_keyring, keyring = _describe_keyring()
        shown = [f"{where}: {', '.join(found) or 'none'}" for where, found in listed.items()]
        return has_keyring or any(listed.values()), "; ".join([*shown, f"keyring: {keyring}"])

    @property
    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(filter(None, (self.secrets_dir, _MOUNTED))))

    def _in_environment(self, name: str) -> str | None:
        for each in _list_spellings(name):
            if (value := self.environment.get(VARIABLE_PREFIX + each)) is not None:
                return value
            if (path := self.environment.get(f"{VARIABLE_PREFIX}{each}_FILE")) is not None:
                value = _read(name, Path(path))
                if value is None:
                    raise MissingSecret(name, f"{VARIABLE_PREFIX}{each}_FILE names {path}, and there is no such file")
                return value
        return None

    def _in_folders(self, name: str) -> str | None:
        # Docker's names are usually in lower case.
        files = (folder / each for folder in self._folders for each in dict.fromkeys((name, name.lower())))
        return next((value for file in files if (value := _read(name, file)) is not None), None)

    def _in_keyring(self, name: str) -> str | None:
        if importlib.util.find_spec("keyring") is None:
            return None
        try:
            return _ask_keyring(name)
        except Exception as problem:  # noqa: BLE001 - backends are plug-ins, which may raise anything
            raise MissingSecret(name, f"the keyring cannot be read: {problem}") from None

    def _advice(self, name: str) -> str:
        folders = " or ".join(str(folder) for folder in self._folders)
        variable = VARIABLE_PREFIX + list(_list_spellings(name))[-1]
        return (
            f"set the variable {variable} for the worker, put a file {name} into {folders}, or store it with "
            f"`keyring set {KEYRING_SERVICE} {name}`"
        )


def _list_spellings(name: str) -> Iterator[str]:
    """Return the names that the variable may have: as written, and as a shell allows."""
    yield from dict.fromkeys((name, re.sub(r"[^A-Za-z0-9]", "_", name).upper()))


def _check_value(name: str, value: str) -> str:
    if not value:
        raise MissingSecret(name, "its value is empty")
    if "\0" in value:
        raise MissingSecret(name, "its value is not text")
    return value


def _read(name: str, file: Path) -> str | None:
    """Read a mounted file without the final line break that editors add; None if there is no file."""
    try:
        if not file.is_file():
            return None
        if file.stat().st_size > _LARGEST:
            raise MissingSecret(name, f"{file} has more than {_LARGEST >> 10} KiB, which is too large for a secret")
        return re.sub(r"\r?\n\Z", "", file.read_bytes().decode())
    except (OSError, ValueError) as problem:
        what = "it is not text in UTF-8" if isinstance(problem, UnicodeDecodeError) else str(problem)
        raise MissingSecret(name, f"{file} cannot be read: {what}") from None


def _list_names(folder: Path) -> list[str]:
    with suppress(OSError):
        return sorted(file.name for file in folder.iterdir() if file.is_file())
    return []


def _ask_keyring(name: str) -> str | None:
    import keyring  # lazily: it is an extra, and slow to import
    from keyring.errors import NoKeyringError

    try:
        value: str | None = keyring.get_password(KEYRING_SERVICE, name)
    except NoKeyringError:
        return None
    return value


def _describe_keyring() -> tuple[bool, str]:
    """Name the keyring in use, or say why there is none."""
    if importlib.util.find_spec("keyring") is None:
        return False, "not installed (pip install 'pauseflow-nb[keyring]')"
    with suppress(Exception):  # see above
        import keyring  # lazily: see above

        backend = keyring.get_keyring()
        return backend.priority > 0, str(backend.name)
    return False, "cannot be used"

"""Provide `flow.secret`: a text with the value of a secret, which displays as `••••` and pickles as its name."""

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pauseflow_nb.errors import InvalidValue, MissingSecret
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.mask_messages import mask_messages
from pauseflow_nb.user_secrets.providers import VARIABLE_PREFIX
from pauseflow_nb.user_secrets.references import PREFIX, check_name, read_reference
from pauseflow_nb.user_secrets.secret_mask import SECRET_MASK, SecretMask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Masks the kernel's messages; knows every secret that was fetched here.
MASK = SecretMask()


class _Finder(Protocol):
    def find_secret(self, name: str) -> str:
        """Return the value of a secret."""


class _Session(Protocol):
    """The parts of the session that secrets use."""

    shell: "InteractiveShell"

    @property
    def mode(self) -> _Finder:
        """Return the mode, which fetches values."""


_session: _Session | None = None
_fetched: dict[str, "Secret"] = {}
_lock = threading.Lock()


class Secret(str):
    """The value of a secret: a text like any other for libraries, `••••` where it is displayed.

    `str(secret)` and `f"{secret}"` are the value, because that is what a header or a connection needs; what a cell prints
    is masked. A pickle holds only the name.
    """

    __slots__ = ("name",)

    name: str

    def __new__(cls, value: str, name: str) -> Self:
        """Take the name and the value."""
        made = super().__new__(cls, value)
        made.name = name
        return made

    def __repr__(self) -> str:
        return f"'{SECRET_MASK}'"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        """Pickle only the name."""
        return fetch_secret, (self.name,)

    def __copy__(self) -> "Secret":
        """Return the secret itself, as texts do."""
        return self

    def __deepcopy__(self, _memo: object) -> "Secret":
        """Return the secret itself, as texts do."""
        return self


def fetch_secret(name: str) -> Secret:
    """Return a secret, which each kernel fetches once. Pickles name this function in `reconstruct`.

    Raises:
        InvalidValue: If the name cannot be one.
        MissingSecret: If no provider has it.
    """
    name = check_name(name)
    found = _fetched.get(name)
    return found if found is not None else _keep(name, _ask(name))


def fetch_secrets(names: Iterable[str]) -> None:
    """Fetch the secrets that cells may use, so that threads have them; a missing one is reported when it is used."""
    for name in names:
        try:
            fetch_secret(name)
        except MissingSecret:
            continue


def resolve_references(value: JSON) -> Any:
    """Return a JSON value with each `secret:NAME` replaced by the secret."""
    if isinstance(value, dict):
        return {key: resolve_references(each) for key, each in value.items()}
    if isinstance(value, list):
        return [resolve_references(each) for each in value]
    name = read_reference(value)
    return value if name is None else fetch_secret(name)


def name_secrets(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return parameters for another notebook with each secret replaced by `secret:NAME`, so that they can be stored.

    Raises:
        InvalidValue: If the value of a secret is a part of a text.
    """
    if not MASK or not isinstance(parameters, Mapping):
        # Parameters that are not a mapping are reported when the notebook is read.
        return parameters
    values = dict(parameters)
    try:
        named: dict[str, Any] = _refer(values)
        is_written = MASK.is_in(named)
    except RecursionError:
        # It contains itself or is far too deep, which is reported when the parameters are written.
        return values
    if is_written:
        problem = "hold the value of a secret as plain text: pass `flow.secret(…)` itself, as a parameter of its own"
        raise InvalidValue("parameters", MASK.value(named), problem)
    return named


def _refer(value: Any) -> Any:
    if isinstance(value, Secret):
        return PREFIX + value.name
    if isinstance(value, dict):
        return {key: _refer(each) for key, each in value.items()}
    # Papermill writes a tuple as a tuple.
    return type(value)(map(_refer, value)) if type(value) in {list, tuple} else value


def take_secrets_from(session: _Session) -> None:
    """Fetch secrets through this session's mode, and mask the messages of its kernel."""
    global _session  # noqa: PLW0603 (one kernel has one session, and users call `flow` by name)
    _session = session
    # When cells are run by hand, the kernel's environment has values that `%env` would show.
    for name, value in os.environ.items():
        if name.startswith(VARIABLE_PREFIX) and not name.endswith("_FILE"):
            _hide(value)


def as_secret(text: str) -> str:
    """Return the secret with this value, which pickles as its name; the text itself if there is none."""
    return next((secret for secret in _fetched.values() if secret == text), text)


def _keep(name: str, value: str) -> Secret:
    with _lock:
        _hide(value)
        return _fetched.setdefault(name, Secret(value, name))


def _hide(value: str) -> None:
    MASK.add(value)
    if _session is not None:
        mask_messages(_session.shell, MASK)


def _ask(name: str) -> str:
    return find_by_hand(name) if _session is None else _session.mode.find_secret(name)


def find_by_hand(name: str) -> str:
    """Find a secret in this process, because no worker runs the cells."""
    from pauseflow_nb.settings import Settings  # lazily: it takes longer to import than all the rest
    from pauseflow_nb.user_secrets.providers import Providers

    return Providers(Settings.load(beside=Path.cwd()).secrets_dir).find(name)


def read_found(name: str, answer: str) -> str:
    """Read the runner's reply to a request for a secret.

    Raises:
        MissingSecret: If no provider has it.
    """
    found = json.loads(answer)
    if found.get("value") is None:
        raise MissingSecret(name, str(found.get("problem")))
    return str(found["value"])

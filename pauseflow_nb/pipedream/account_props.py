"""Write the props of a step as Python, with `flow.secret` in the place of accounts and secret values."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb.json_values import JSON
from pauseflow_nb.pipedream.code_scan import find_account_fields
from pauseflow_nb.pipedream.markdown_text import code_span
from pauseflow_nb.pipedream.workflow import Step

_LOOKS_SECRET = re.compile(
    r"(?:^|_)(?:secret|password|passwd|passphrase|token|api_?key|access_?key|private_?key|authorization|cookie)$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _Call:
    """A call of `flow.secret` in the text of a dict."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f'flow.secret("{self.name}")'


class Accounts:
    """The accounts of a project: each has names of secrets of its own."""

    def __init__(self) -> None:
        self._found: dict[str, dict[object, str]] = {}

    def name(self, app: str, identifier: object) -> str:
        """Name an account: by its app, with a number from the second account of the same app on."""
        of_app = self._found.setdefault(app, {})
        return of_app.setdefault(identifier, app if not of_app else f"{app}_{len(of_app) + 1}")


@dataclass
class PropsOfStep:
    """The props of a step, and what a person must know of them."""

    #: A dict whose `repr` is Python.
    values: dict[str, Any] = field(default_factory=dict)
    #: Name of each secret, and what it is.
    secrets: dict[str, str] = field(default_factory=dict)
    #: Sentences about what needs to_do.
    to_do: list[str] = field(default_factory=list)


def convert_props(step: Step, accounts: Accounts) -> PropsOfStep:
    """Convert the props of a step."""
    made = PropsOfStep()
    fields = find_account_fields(step.code or "")
    apps = {name: str(each.get("app") or name) for name, each in step.definitions.items() if each.get("type") == "app"}
    for name in dict.fromkeys([*step.props, *apps, *fields]):
        value = step.props.get(name)
        if name in apps or name in fields or (isinstance(value, dict) and "authProvisionId" in value):
            identifier = value.get("authProvisionId") if isinstance(value, dict) else None
            app = accounts.name(apps.get(name, name), identifier if isinstance(identifier, str) else None)
            made.values[name] = {"$auth": _convert_account(step, name, app, fields.get(name), made)}
        elif isinstance(value, dict) and "storeId" in value:
            made.values[name] = value
            store = code_span(value["storeId"])
            made.to_do.append(f"`{name}` is the data store {store}: use a file or a database instead")
        elif name in step.props:
            is_declared = step.definitions.get(name, {}).get("secret") is True
            made.values[name] = _replace_secrets(
                value, (name,), lambda path: _refer(step, path, made), is_secret=is_declared
            )
    return made


def replace_secrets(value: JSON) -> JSON:
    """Return a value with a note in the place of each text whose name says that it is a secret."""
    return _replace_secrets(value, (), lambda _: "(a secret: not copied)")


def _replace_secrets(
    value: Any, path: tuple[str, ...], replace: Callable[[tuple[str, ...]], Any], *, is_secret: bool = False
) -> Any:
    """Replace the texts in a value whose names, or headers' names, say that they are secrets."""
    if isinstance(value, str):
        hides = bool(value) and "{{" not in value and (is_secret or _sounds_secret(path[-1:]))
        return replace(path) if hides else value
    if isinstance(value, list):
        return [_replace_secrets(each, path, replace, is_secret=is_secret) for each in value]
    if not isinstance(value, dict):
        return value
    title = value.get("name") or value.get("key")
    row = (*path, title) if isinstance(title, str) and _sounds_secret((title,)) else None
    return {
        name: _replace_secrets(each, row, replace, is_secret=True)
        if row and name == "value"
        else _replace_secrets(each, (*path, name), replace, is_secret=is_secret)
        for name, each in value.items()
    }


def _refer(step: Step, path: tuple[str, ...], made: PropsOfStep) -> _Call:
    secret = base = _make_secret_name("_".join((step.name, *path)))
    number = 2
    while secret in made.secrets:
        secret, number = f"{base}_{number}", number + 1
    prop = code_span(".".join(path))
    made.secrets[secret] = f"the prop {prop} of step `{step.name}`"
    made.to_do.append(f"the value of the prop {prop} was not copied: it is read from the secret `{secret}`")
    return _Call(secret)


def _convert_account(step: Step, name: str, app: str, fields: list[str] | None, made: PropsOfStep) -> dict[str, _Call]:
    if not fields:
        kind = step.definitions.get(name, {}).get("authType")
        fields = ["oauth_access_token"] if kind != "keys" else ["api_key"]
        made.to_do.append(
            f"the code does not show which fields of the account {code_span(app)} the step reads: "
            f"`{fields[0]}` is a guess"
        )
    calls = {}
    for each in fields:
        secret = _make_secret_name(f"{app}_{each}")
        calls[each] = _Call(secret)
        made.secrets[secret] = f"{code_span(each)} of the account {code_span(app)}"
    return calls


def _sounds_secret(names: tuple[str, ...]) -> bool:
    return any(_LOOKS_SECRET.search(_CAMEL.sub("_", name).replace("-", "_")) for name in names)


def _make_secret_name(name: str) -> str:
    """Make the name of a secret, which is that of an environment variable, too."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub("_", name)).encode("ascii", "ignore").decode()
    spelled = re.sub(r"\W", "_", plain).upper()[:100].strip("_")
    return spelled if spelled[:1].isalpha() else f"SECRET_{spelled}"

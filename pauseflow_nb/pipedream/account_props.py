"""Write the props of a step as Python, with `flow.secret` in the place of accounts and secret values."""

import re
from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb.pipedream.code_scan import find_account_fields
from pauseflow_nb.pipedream.workflow import Step

__all__ = ["PropsOfStep", "convert_props"]

_LOOKS_SECRET = re.compile(r"(?:^|_)(?:secret|password|passwd|token|api_?key|private_key)$", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _Call:
    """A call of `flow.secret` in the text of a dict."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f'flow.secret("{self.name}")'


@dataclass
class PropsOfStep:
    """The props of a step, and what a person must know of them."""

    #: A dict whose `repr` is Python.
    values: dict[str, Any] = field(default_factory=dict)
    #: Name of each secret, and what it is.
    secrets: dict[str, str] = field(default_factory=dict)
    #: Sentences about what needs hands.
    hands: list[str] = field(default_factory=list)


def convert_props(step: Step) -> PropsOfStep:
    """Convert the props of a step."""
    made = PropsOfStep()
    fields = find_account_fields(step.code or "")
    apps = {name: str(each.get("app") or name) for name, each in step.definitions.items() if each.get("type") == "app"}
    for name in dict.fromkeys([*step.props, *apps, *fields]):
        value = step.props.get(name)
        definition = step.definitions.get(name, {})
        is_account = name in apps or name in fields or (isinstance(value, dict) and "authProvisionId" in value)
        if is_account:
            made.values[name] = {"$auth": _convert_account(step, name, apps.get(name, name), fields.get(name), made)}
        elif isinstance(value, dict) and "storeId" in value:
            made.values[name] = value
            made.hands.append(f"`{name}` is the data store `{value['storeId']}`: use a file or a database instead")
        elif isinstance(value, str) and _is_secret(name, value, definition):
            secret = _spell(f"{step.name}_{name}")
            made.values[name] = _Call(secret)
            made.secrets[secret] = f"the prop `{name}` of step `{step.name}`"
            made.hands.append(f"the value of the prop `{name}` was not copied: it is the secret `{secret}` now")
        elif name in step.props:
            made.values[name] = value
    return made


def _convert_account(step: Step, name: str, app: str, fields: list[str] | None, made: PropsOfStep) -> dict[str, _Call]:
    if not fields:
        kind = step.definitions.get(name, {}).get("authType")
        fields = ["oauth_access_token"] if kind != "keys" else ["api_key"]
        made.hands.append(
            f"which fields of the account `{app}` the step reads cannot be seen in its code: `{fields[0]}` is a guess"
        )
    calls = {}
    for each in fields:
        secret = _spell(f"{app}_{each}")
        calls[each] = _Call(secret)
        made.secrets[secret] = f"`{each}` of the account `{app}`"
    return calls


def _is_secret(name: str, value: str, definition: dict[str, Any]) -> bool:
    if not value or "{{" in value:
        return False
    return definition.get("secret") is True or _LOOKS_SECRET.search(_CAMEL.sub("_", name)) is not None


def _spell(name: str) -> str:
    return re.sub(r"\W", "_", _CAMEL.sub("_", name)).upper()

"""Keep the operator's secrets from kernels, and mask them in texts.

The user's own variables, `AWS_SECRET_ACCESS_KEY` or `PGPASSWORD`, are not the operator's: kernels get them.
"""

import re
from collections.abc import Mapping

#: Stands in the place of a secret.
MASKED = "***"

#: Variables of ours, of Jupyter's servers and hub, and of its gateways.
_FAMILIES = ("PAUSEFLOW_", "JUPYTER", "JPY_", "CONFIGPROXY_", "KG_", "EG_")
#: Secret as a whole: the addresses in PAUSEFLOW_NOTIFY hold tokens, and a gateway is no business of a kernel.
_SECRET = ("PAUSEFLOW_NOTIFY", "PAUSEFLOW_SECRET", "JUPYTER_GATEWAY_")
_WORDS = "password|passwd|passphrase|pwd|token|secret|key|credential|cookie|signature"
_SECRET_WORD = re.compile(_WORDS, re.IGNORECASE)

#: In `scheme://user:password@host`; a password may hold any character but a space.
_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
_PARAMETER = re.compile(rf"(?<=[?&])([\w.-]*(?:{_WORDS}|\bsig\b)[\w.-]*)=[^&\s]*", re.IGNORECASE)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out the operator's secrets: what remains is what kernels, fork servers and workers may start with."""
    return {name: value for name, value in environment.items() if not _is_secret(name, value)}


def is_secret_name(name: str) -> bool:
    """Whether the name of a variable, setting or parameter says that its value is secret."""
    return _SECRET_WORD.search(name) is not None


def has_password(url: str) -> bool:
    """Whether an address holds a password, before its host or among its parameters."""
    return mask_passwords(url) != url


def mask_passwords(text: str) -> str:
    """Mask the passwords of all addresses in a text."""
    return _PARAMETER.sub(rf"\1={MASKED}", _PASSWORD.sub(rf"\1:{MASKED}@", text))


def _is_secret(name: str, value: str) -> bool:
    # Windows writes all names in capitals, other systems keep them as they are.
    known = name.upper()
    if not known.startswith(_FAMILIES):
        return False
    return known.startswith(_SECRET) or is_secret_name(known) or has_password(value)

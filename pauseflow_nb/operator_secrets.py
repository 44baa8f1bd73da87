"""Keep the operator's secrets away from kernels, and mask them in texts.

The user's own variables, `AWS_SECRET_ACCESS_KEY` or `PGPASSWORD`, are not the operator's: kernels get them.
"""

import re
from collections.abc import Mapping

#: What is shown instead of a secret.
MASKED = "***"

#: Prefixes of variables of pauseflow, and of Jupyter's servers, hub and gateways.
_FAMILIES = ("PAUSEFLOW_", "JUPYTER", "JPY_", "CONFIGPROXY_", "KG_", "EG_")
#: Always secret: the addresses in PAUSEFLOW_NOTIFY hold tokens, and kernels need no gateway.
_SECRET = ("PAUSEFLOW_NOTIFY", "PAUSEFLOW_SECRET", "JUPYTER_GATEWAY_")
_WORDS = "password|passwd|passphrase|pwd|token|secret|key|credential|cookie|signature"
_SECRET_WORD = re.compile(_WORDS, re.IGNORECASE)

#: In `scheme://user:password@host`; a password may hold any character but a space.
_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
_PARAMETER = re.compile(rf"(?<=[?&])([\w.-]*(?:{_WORDS}|\bsig\b)[\w.-]*)=[^&\s]*", re.IGNORECASE)


def remove_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the operator's secrets, for kernels, fork servers and workers."""
    return {name: value for name, value in environment.items() if not _is_secret(name, value)}


def is_secret_name(name: str) -> bool:
    """Whether the name of a variable, setting or parameter suggests that its value is secret."""
    return _SECRET_WORD.search(name) is not None


def has_password(url: str) -> bool:
    """Whether a URL holds a password, before its host or among its parameters."""
    return mask_passwords(url) != url


def mask_passwords(text: str) -> str:
    """Mask the passwords of all URLs in a text."""
    return _PARAMETER.sub(rf"\1={MASKED}", _PASSWORD.sub(rf"\1:{MASKED}@", text))


def _is_secret(name: str, value: str) -> bool:
    # Windows writes all names in capitals; other systems are case-sensitive.
    known = name.upper()
    if not known.startswith(_FAMILIES):
        return False
    return known.startswith(_SECRET) or is_secret_name(known) or has_password(value)

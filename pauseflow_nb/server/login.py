"""Identify the user of an authenticated request by Jupyter's login, or JupyterHub's."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast
from uuid import UUID

from jupyter_server.auth.decorator import authorized
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider, User
from tornado.web import authenticated

from pauseflow_nb.identity import Who, identify_account, identify_user

#: What Jupyter's authoriser is asked about.
RESOURCE = "pauseflow"

#: Identity providers that know a token or a password, and no names.
_NAMELESS = (IdentityProvider, PasswordIdentityProvider)


Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


def require_permission(action: str) -> Callable[[Method], Method]:
    """Require that the user is signed in and that the authoriser allows the action."""

    def guard(method: Method) -> Method:
        checked: Any = authenticated(authorized(action, RESOURCE)(method))
        return cast("Method", checked)

    return guard


def identify(user: User, provider: IdentityProvider) -> Who:
    """Identify the user that sent an authenticated request.

    A server with only a token or a password makes up a name for each session. The token gives the rights of the account that
    runs the server, so that account is returned, as on the command line.
    """
    if type(provider) in _NAMELESS or _is_made_up(user):
        return Who(identify_account({}), "login")
    return identify_user(user.username)


def _is_made_up(user: User) -> bool:
    # The names that `generate_anonymous_user` makes. The display name alone proves nothing, because people choose it.
    try:
        is_random = UUID(user.username).hex == user.username
    except ValueError:
        return False
    return is_random and (user.display_name or "").startswith("Anonymous ")

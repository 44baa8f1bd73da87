"""Who sends an authenticated request: what Jupyter's login, or JupyterHub's, knows."""

from uuid import UUID

from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider, User

from pauseflow_nb.identity import Who, account, signed_in

__all__ = ["who_is"]

#: They know a token or a password, and no names.
_NAMELESS = (IdentityProvider, PasswordIdentityProvider)


def who_is(user: User, provider: IdentityProvider) -> Who:
    """Name a signed-in user.

    A server with a token or a password gives everybody a made-up name for the session. Whoever has
    that token acts for the account that runs the server, and that is also what the command line says.

    Args:
        user: Whom the server takes for signed in.
        provider: The server's `identity_provider`.
    """
    if type(provider) in _NAMELESS or _is_made_up(user):
        return Who(account({}), "login")
    return signed_in(user.username)


def _is_made_up(user: User) -> bool:
    # What `generate_anonymous_user` makes. The name that is displayed is not enough: people choose it.
    try:
        is_random = UUID(user.username).hex == user.username
    except ValueError:
        return False
    return is_random and (user.display_name or "").startswith("Anonymous ")

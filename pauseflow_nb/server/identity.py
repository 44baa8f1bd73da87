"""Who sends an authenticated request, in the words of the audit trail: `user:NAME`."""

import getpass

from jupyter_server.auth.identity import User

__all__ = ["name_of"]


def name_of(user: User) -> str:
    """Name a signed-in user.

    A server with a token or a password gives everybody a made-up name for the session. Whoever has
    that token acts for the account that runs the server, and that is also what the command line says.
    """
    is_made_up = user.display_name is not None and user.display_name.startswith("Anonymous ")
    return f"user:{_account() if is_made_up else user.username}"


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a number without a name.
        return "unknown"

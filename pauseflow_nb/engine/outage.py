"""Log the first of many failures in a row, and their end: a database can be away for hours."""

import logging


class Outage:
    """Counts the failures of one loop."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        """Take where to log, and what is failing, as the beginning of a sentence."""
        self._log, self._what = log, what
        self._is_on = False

    def failed(self, problem: BaseException) -> None:
        """Note a failure."""
        if not self._is_on:
            self._log.warning("%s: %s", self._what, problem)
        self._is_on = True

    def ended(self) -> None:
        """Note that it worked."""
        if self._is_on:
            self._log.warning("%s: it works again", self._what)
        self._is_on = False

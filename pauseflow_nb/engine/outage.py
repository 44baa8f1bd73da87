"""Log only the first of many failures in a row, and their end: a database can be unavailable for hours."""

import logging


class Outage:
    """Counts the failures of one loop."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        """Take the logger, and the beginning of the sentence to log."""
        self._log, self._what = log, what
        self._is_on = False

    def failed(self, problem: BaseException) -> None:
        """Log the failure if it is the first in a row."""
        if not self._is_on:
            self._log.warning("%s: %s", self._what, problem)
        self._is_on = True

    def ended(self) -> None:
        """Log the end of the failures, if there were any."""
        if self._is_on:
            self._log.warning("%s: it works again", self._what)
        self._is_on = False

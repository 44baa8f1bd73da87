"""Mask the tokens of links in the logs of the server.

Our own handlers log no paths. But the server logs the paths of unknown addresses (a link with a mistyped base, a proxy that
strips a prefix) and the Referer of requests that fail, so its loggers get a filter.
"""

import logging

from pauseflow_nb.runner.masking import Mask

_MASK = Mask()
_FORMATTER = logging.Formatter()


def mask_links_in(*loggers: logging.Logger) -> None:
    """Mask links in all records of these loggers; a second call has no effect."""
    for logger in loggers:
        # The filter of a logger does not see the records of its children; the filters of its handlers see all records.
        for filtered in (logger, *logger.handlers):
            if _mask not in filtered.filters:
                filtered.addFilter(_mask)


def _mask(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    masked = _MASK.text(message)
    if masked != message:
        record.msg, record.args = masked, None
    if record.exc_info and not record.exc_text:
        # An exception may contain the path of the request; formatters use `exc_text` if it is set.
        record.exc_text = _MASK.text(_FORMATTER.formatException(record.exc_info))
    return True

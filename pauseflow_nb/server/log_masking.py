"""Keep tokens out of the logs of a server that carries our links.

Our own handlers log nothing. But the server logs what it does not know (a link with a mistyped base,
a proxy that strips a prefix) and the Referer of requests that fail, so its loggers get a filter.
"""

import logging

from pauseflow_nb.runner.masking import Mask

__all__ = ["mask_links_in"]

_MASK = Mask()
_FORMATTER = logging.Formatter()


def mask_links_in(*loggers: logging.Logger) -> None:
    """Mask links in all that these loggers log. Doing it twice is doing it once."""
    for logger in loggers:
        # A logger's own filter does not see its children's records; its handlers' filters see all.
        for filtered in (logger, *logger.handlers):
            if _mask not in filtered.filters:
                filtered.addFilter(_mask)


def _mask(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    masked = _MASK.text(message)
    if masked != message:
        record.msg, record.args = masked, None
    if record.exc_info and not record.exc_text:
        # An exception may name the path of the request; formatters take the text that is there.
        record.exc_text = _MASK.text(_FORMATTER.formatException(record.exc_info))
    return True

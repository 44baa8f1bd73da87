"""Write log records as JSON, one object in a line, for programs that collect logs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from pauseflow_nb.printable import CLEANED

#: The attributes of every log record; all others were added by `extra=`.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color", "end_color", CLEANED}


class JsonFormatter(logging.Formatter):
    """Writes `time`, `level`, `logger`, `message`, `exception` if there is one, and the attributes from `extra=`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one log record as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= {name: value for name, value in vars(record).items() if name not in _USUAL and not name.startswith("_")}
        if record.exc_info or record.exc_text:
            line["exception"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """Write the log of this process as JSON on standard error, from `INFO` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)

"""`--log-json`: one JSON object a log line, for machines that collect logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """time (UTC, ISO 8601), level, logger, message; worker where one said it; error with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """
        >>> record = logging.LogRecord("reelbeam", logging.INFO, "", 1, "snapshot %d", (7,), None)
        >>> sorted(json.loads(JsonLines().format(record)).items())[:3]
        [('level', 'INFO'), ('logger', 'reelbeam'), ('message', 'snapshot 7')]
        """
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (worker := getattr(record, "worker", None)) is not None:
            fields["worker"] = worker
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


@contextmanager
def json_logs(wanted: bool) -> Iterator[None]:
    """While the context is open, the handlers of the root logger write JSON."""
    handlers = logging.getLogger().handlers if wanted else []
    before = [(handler, handler.formatter) for handler in handlers]
    for handler in handlers:
        handler.setFormatter(JsonLines())
    try:
        yield
    finally:
        for handler, formatter in before:
            handler.setFormatter(formatter)

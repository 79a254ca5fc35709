"""The bot token stays out of the logs: Telegram puts it into every URL, and the libraries log URLs and errors."""

from __future__ import annotations

import logging

from core.log_lines import LogLines

_HIDDEN = "<token>"


class Redactor(logging.Filter):
    """Writes ``<token>`` for the token in messages and tracebacks."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if self._token in message:
            record.msg, record.args = message.replace(self._token, _HIDDEN), None
        if record.exc_info and not record.exc_text:
            record.exc_text = LogLines().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = record.exc_text.replace(self._token, _HIDDEN)
        return True


def keep_out_of_logs(token: str) -> Redactor:
    """Quiets what speaks HTTP, puts a filter on every root handler there is now. Give it back to ``allow_again``."""
    for library in ("httpx", "google_genai"):  # the second one has a line for every question, of no use to anybody
        logging.getLogger(library).setLevel(logging.WARNING)
    redactor = Redactor(token)
    for handler in logging.getLogger().handlers:
        handler.addFilter(redactor)
    return redactor


def allow_again(redactor: Redactor) -> None:
    for handler in logging.getLogger().handlers:
        handler.removeFilter(redactor)

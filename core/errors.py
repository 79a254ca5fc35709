"""Everything Julaba raises on purpose.

::

    JulabaError                 the message is one clear sentence for a person
    |-- UsageError              wrong use or settings                    -> exit code 2
    |   `-- SettingsError       config.yaml, environment, secrets
    |-- DataError               candles or files that cannot be trusted  -> exit code 1
    |-- ModelError              a model file, a manifest, a training set -> exit code 1
    |   `-- TooFewSamples       nothing to learn from yet (``rows`` of ``needed``)
    |-- StoreError              the database                             -> exit code 1
    `-- MarketError             the exchange                             -> exit code 1
        |-- UnknownPair         it does not list the pair
        `-- RateLimited         it asked to wait (``retry_after`` in seconds)
"""

from __future__ import annotations


class JulabaError(Exception):
    """A failure with a sentence for the user; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(JulabaError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown, impossible or in the wrong place."""


class DataError(JulabaError):
    """Candles or a file are missing or cannot be trusted."""


class ModelError(JulabaError):
    """A model, its manifest or its training data cannot be used."""


class TooFewSamples(ModelError):  # noqa: N818
    """Not enough to learn from yet; its words are the chat's short form, ``ML learning 31/50``."""

    def __init__(self, rows: int, needed: int) -> None:
        super().__init__(f"ML learning {rows}/{needed}")
        self.rows = rows
        self.needed = needed

    def __reduce__(self) -> tuple[type[TooFewSamples], tuple[int, int]]:
        # It comes back from a worker process, and pickle would call it with its sentence alone.
        return TooFewSamples, (self.rows, self.needed)


class StoreError(JulabaError):
    """The database refused."""


class MarketError(JulabaError):
    """The exchange failed or answered nonsense."""


class UnknownPair(MarketError):  # noqa: N818 - reads as the noun it is
    """The exchange does not trade the pair."""


class RateLimited(MarketError):  # noqa: N818
    """The exchange asked to wait."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after

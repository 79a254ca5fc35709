"""Julaba's engine: candles, strategy, learning, paper trading. It knows nothing of Telegram."""

__version__ = "0.1.0"

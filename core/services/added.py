"""Pairs that were added from the chat: kept in the store, beside the configured ones when the engine is built."""

from __future__ import annotations

MOST_PAIRS = 60
"""Configured and added together: each is a request at every close, and two years of history to learn from."""

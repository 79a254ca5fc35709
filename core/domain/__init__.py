"""Nouns: candles, trading, account, messages. Nothing here computes or touches the outside."""

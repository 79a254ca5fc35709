"""Verbs, pure and synchronous: indicators, strategy, fills, filters, sizing, the trader, metrics."""

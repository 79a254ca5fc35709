"""Tests of truth: what would show that a number is not what it seems. Each gives figures; none prints."""

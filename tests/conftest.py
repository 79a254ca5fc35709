from __future__ import annotations

from hypothesis import settings

# How long a busy machine takes says nothing about what a property holds; pytest's own timeout ends what hangs.
settings.register_profile("julaba", deadline=None)
settings.load_profile("julaba")

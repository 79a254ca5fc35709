"""The Telegram bot: the only package that imports telegram."""

import os

# The library's next major version gives retry-after as a timedelta; asking for it now spares a warning at each 429.
os.environ.setdefault("PTB_TIMEDELTA", "true")

"""The one place that names concrete adapters. Nothing here connects anywhere until it is used."""

from __future__ import annotations

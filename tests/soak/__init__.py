"""The real process lives through a month, with kills and without, and must come to the same books."""

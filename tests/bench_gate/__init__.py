"""How often the gate is wrong, measured on planted models: ``make bench-gate``."""

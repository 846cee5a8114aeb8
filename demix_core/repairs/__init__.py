"""Repairs: proposals (a file per kind) and apply.py, the only code that changes data."""

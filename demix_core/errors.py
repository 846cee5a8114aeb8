"""Everything that can go wrong for a person, in one tree:

DemixError
├── InputError        the data, the weights or an option: what, where, how to mend it (exit 2)
├── RunError          a run folder that is missing, of another version or damaged (exit 2)
├── StorageError      the disk is full or not writable; nothing was lost (exit 2)
└── Cancelled         the person asked to stop (exit 130)
"""

from __future__ import annotations


class DemixError(Exception):
    """One clear sentence: what happened, where, and how to mend it."""

    exit_code = 2


class InputError(DemixError):
    """The input can't be used as it is."""


class RunError(DemixError):
    """The run folder can't be read by this version."""


class StorageError(DemixError):
    """Writing failed; what was there before is untouched."""


class Cancelled(DemixError):
    """The person asked to stop."""

    exit_code = 130

"""How a home knows whom it leaves out."""

from __future__ import annotations

from catalog.erasure.records import Marks
from datalab.curation.optout import OptOuts
from datalab.home import Home

KEY = "erasure-key"
"""Secret of the home with which pseudonyms become marks; whoever restores a backup needs it too."""


def opt_outs(home: Home, marks: Marks) -> OptOuts:
    """Return whom a curation of this home leaves out."""
    return OptOuts(home.secret(KEY).encode(), marks.holder, frozenset(marks.marks))

"""Shared core: domain terms, settings, permits, audit, storage, curation, the command line and the supervisor.

It imports none of the other packages; see docs/adr/0002-packages-and-import-rules.md.
"""

__version__ = "0.1.0"

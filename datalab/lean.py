"""structlog without rich.

structlog loads rich, where it is installed, to colour traces on a terminal. Services write JSON lines, and an agent is
5 MB lighter and connected sooner without it.
"""

from __future__ import annotations

import sys

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]  # makes `import rich` fail while structlog is loaded
    try:
        import structlog
    finally:
        del sys.modules["rich"]

__all__ = ["structlog"]

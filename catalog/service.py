"""The lab server as a service of the lab."""

from __future__ import annotations

from datalab.service import Service

SERVICE = Service(name="lab", module="catalog.web.server", requires=("object-store",))

"""The embedded S3 server as a service of the lab."""

from __future__ import annotations

from datalab.service import Service

SERVICE = Service(name="object-store", module="datalab.storage.embedded")

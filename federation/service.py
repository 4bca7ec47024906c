"""What the supervisor needs to know of the gateway."""

from datalab.service import Service

SERVICE = Service(name="gateway", module="federation.gateway.server", requires=("lab",))

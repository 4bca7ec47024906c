"""What the supervisor needs to know of the gateway, and of what takes up interrupted runs."""

from datalab.service import Service

SERVICE = Service(name="gateway", module="federation.gateway.server", requires=("lab",))
RESUMER = Service(name="resumer", module="federation.resumer", requires=("gateway",))

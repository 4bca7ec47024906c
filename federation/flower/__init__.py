"""Where Datalab touches Flower: its records, its messages, its apps (runner and worker only).

Flower must neither phone home nor look for updates; it reads these variables when it is imported.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

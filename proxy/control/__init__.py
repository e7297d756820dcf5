"""The ADS client: names of destinations in, destinations out (`control`), over the project's own HTTP/2."""

from proxy.control.control import Control
from proxy.control.messages import Node

__all__ = ["Control", "Node"]

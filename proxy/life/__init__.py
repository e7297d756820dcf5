"""How a sidecar ends, in the order that its pod does: who is told when, and what is waited for (DESIGN 3.2, Drain)."""

from proxy.life.drain import Door, Drain
from proxy.life.settings import Life, read_life
from proxy.life.siblings import Siblings, Worker

__all__ = ["Door", "Drain", "Life", "Siblings", "Worker", "read_life"]

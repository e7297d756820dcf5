"""What injection makes of a pod, and how it is undone: pure functions, without I/O.

`inject` and `uninject` take a pod, or a pod template, as the JSON object it is and return an `Outcome`; its `patch()`
is the RFC 6902 patch from the one to the other. The same functions serve the webhook and `mesh inject`.
"""

from injector.patch.injection import inject
from injector.patch.outcome import Outcome, Verdict
from injector.patch.place import Place
from injector.patch.removal import ask_for_sidecar, uninject
from injector.patch.settings import Settings

__all__ = ["Outcome", "Place", "Settings", "Verdict", "ask_for_sidecar", "inject", "uninject"]

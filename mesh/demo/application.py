"""The voting application: its services, their pods, and the two faults that the mesh is to bring to light.

Only the processes of the application read the faults; the verdict is found in the measured figures alone.

The times are long enough to keep some ten requests in flight at the default rate: a balancer that weighs latency and
pending requests evens equal pods out only where requests overlap, and a stall of a few milliseconds on a busy laptop
must stay small beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE = "emojivoto"
PODS_PER_SERVICE = 3
POD_HEADER = "pod"  # each replica says its name in the initial metadata of every answer

SLOW_POD = "voting-2"
SLOW_BY_S = 0.2
FAILING_METHOD = "/emojivoto.v1.VotingService/VoteDoughnut"

KILLED_POD = "emoji-3"  # of the service without faults, so that each failure beyond the kill would stand out

EMOJIS = {
    "Doughnut": "🍩",
    "Ghost": "👻",
    "Rocket": "🚀",
    "Tada": "🎉",
    "Joy": "😂",
    "Sunglasses": "😎",
    "Champagne": "🍾",
    "Unicorn": "🦄",
    "Pizza": "🍕",
    "Guitar": "🎸",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC service of the application, as a Kubernetes Service would have it."""

    name: str
    grpc_name: str
    methods: tuple[str, ...]
    mean_time_s: float  # what a healthy replica takes for a request, on average

    @property
    def authority(self) -> str:
        return f"{self.name}.{NAMESPACE}"

    @property
    def pods(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{number}" for number in range(1, PODS_PER_SERVICE + 1))

    def path(self, method: str) -> str:
        return f"/{self.grpc_name}/{method}"


EMOJI = Service("emoji", "emojivoto.v1.EmojiService", ("FindByShortcode",), mean_time_s=0.07)
VOTING = Service("voting", "emojivoto.v1.VotingService", tuple(f"Vote{name}" for name in EMOJIS), mean_time_s=0.04)
SERVICES = {service.name: service for service in (EMOJI, VOTING)}
PODS = [(service.name, service.pods) for service in SERVICES.values()]

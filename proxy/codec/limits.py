"""Bounds against hostile peers that belong to one HTTP/2 connection (DESIGN 3.6), and the counts that enforce them.

Each is an attack with a name: rapid reset (CVE-2023-44487) and MadeYouReset (CVE-2025-8671), CONTINUATION flood
(CVE-2024-27316), the floods of CVE-2019-9511 to 9518. The bounds on control frames are Envoy's.
"""

from __future__ import annotations

from proxy.codec.constants import ENHANCE_YOUR_CALM
from proxy.codec.errors import ConnectionFault


class Limits:
    """What one connection may ask of us. Bytes are as on the wire unless said otherwise."""

    __slots__ = (
        "connection_window_bytes",
        "growth_bytes",
        "max_backlog_bytes",
        "max_concurrent_streams",
        "max_consecutive_empty_frames",
        "max_consecutive_interim_responses",
        "max_header_bytes",
        "max_header_fields",
        "max_idle_frames",
        "max_queued_control_frames",
        "max_settings_entries",
        "max_settings_frames",
        "max_stream_window_bytes",
        "min_streams_judged",
        "premature_s",
        "priority_frames_per_stream",
        "stream_window_bytes",
        "window_updates_per_data_frame",
    )

    def __init__(
        self,
        *,
        max_concurrent_streams: int = 100,
        stream_window_bytes: int = 65_536,
        # Credited on receipt: the streams' windows bound the memory, this only has to cover the path.
        connection_window_bytes: int = 4 * 1024 * 1024,
        # Streams that drain may grow up to this, all of a connection together by at most `growth_bytes`.
        max_stream_window_bytes: int = 1024 * 1024,
        growth_bytes: int = 4 * 1024 * 1024,
        max_header_bytes: int = 61_440,
        max_header_fields: int = 100,
        max_settings_entries: int = 32,
        # And ten for each stream.
        max_settings_frames: int = 100,
        # RST_STREAM before our response headers and this early: more than half of over `min_streams_judged`.
        premature_s: float = 1.0,
        min_streams_judged: int = 500,
        max_queued_control_frames: int = 1_000,
        # Frames that lead to nothing (PING, ACK, extensions, RST_STREAM of closed streams) in ten seconds, and ten more
        # for each stream opened and each DATA frame sent meanwhile.
        max_idle_frames: int = 10_000,
        max_consecutive_empty_frames: int = 100,
        max_consecutive_interim_responses: int = 1_000,
        # While a peer does not read, what waits for it besides bodies: then it gets no new streams.
        max_backlog_bytes: int = 1024 * 1024,
        priority_frames_per_stream: int = 100,
        window_updates_per_data_frame: int = 10,
    ) -> None:
        self.max_concurrent_streams = max_concurrent_streams
        self.stream_window_bytes = stream_window_bytes
        self.connection_window_bytes = connection_window_bytes
        self.max_stream_window_bytes = max_stream_window_bytes
        self.growth_bytes = growth_bytes
        self.max_header_bytes = max_header_bytes
        self.max_header_fields = max_header_fields
        self.max_settings_entries = max_settings_entries
        self.max_settings_frames = max_settings_frames
        self.premature_s = premature_s
        self.min_streams_judged = min_streams_judged
        self.max_idle_frames = max_idle_frames
        self.max_queued_control_frames = max_queued_control_frames
        self.max_consecutive_empty_frames = max_consecutive_empty_frames
        self.max_consecutive_interim_responses = max_consecutive_interim_responses
        self.max_backlog_bytes = max_backlog_bytes
        self.priority_frames_per_stream = priority_frames_per_stream
        self.window_updates_per_data_frame = window_updates_per_data_frame


DEFAULT_LIMITS = Limits()
_IDLE_SPAN_S = 10.0


class FloodGuard:
    """Counts what costs us work and the peer nothing; raises ConnectionFault(ENHANCE_YOUR_CALM) above the bounds."""

    __slots__ = (
        "control",
        "data_sent",
        "empty",
        "idle",
        "idle_since_s",
        "idle_work",
        "interim",
        "judged",
        "limits",
        "premature",
        "priority",
        "settings",
        "streams",
        "updates",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.streams = 0
        self.judged = 0
        self.premature = 0
        self.empty = 0
        self.interim = 0
        self.priority = 0
        self.updates = 0
        self.settings = 0
        self.data_sent = 0
        self.control = 0
        self.idle = 0
        self.idle_since_s = 0.0
        self.idle_work = 0

    def stream_opened(self) -> None:
        self.streams += 1
        self.judged += 1
        if self.judged >= 2 * self.limits.min_streams_judged + 2:
            # Forget slowly, so that an hour of good calls does not pay for an attack.
            self.judged //= 2
            self.premature //= 2

    def is_rapid_reset(self) -> bool:
        """Count one more early reset: whether they are too many now."""
        self.premature += 1
        return self.judged > self.limits.min_streams_judged and 2 * self.premature > self.judged

    def interim_response(self) -> None:
        self.interim += 1
        if self.interim > self.limits.max_consecutive_interim_responses:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "interim responses flood")

    def empty_frame(self) -> None:
        self.empty += 1
        if self.empty > self.limits.max_consecutive_empty_frames:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "empty frames flood")

    def idle_frame(self, now: float) -> None:
        work = self.streams + self.data_sent
        if now - self.idle_since_s > _IDLE_SPAN_S:
            self.idle_since_s = now
            self.idle_work = work
            self.idle = 0
        self.idle += 1
        if self.idle > self.limits.max_idle_frames + 10 * (work - self.idle_work):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "frames that lead to nothing")

    def priority_frame(self) -> None:
        self.priority += 1
        if self.priority > self.limits.priority_frames_per_stream * (1 + self.streams):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "PRIORITY flood")

    def settings_frame(self) -> None:
        self.settings += 1
        if self.settings > self.limits.max_settings_frames + 10 * self.streams:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "SETTINGS flood")

    def window_update(self) -> None:
        self.updates += 1
        if self.updates > 100 + 2 * self.streams + self.limits.window_updates_per_data_frame * self.data_sent:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "WINDOW_UPDATE flood")

    def control_queued(self) -> None:
        """An answer (ACK, RST_STREAM) was queued while the peer does not read."""
        self.control += 1
        if self.control > self.limits.max_queued_control_frames:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "control frames flood")

    def control_flushed(self) -> None:
        self.control = 0

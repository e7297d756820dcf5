cimport cython

cdef double _IDLE_SPAN_S

@cython.final
cdef class Limits:
    cdef readonly long long max_concurrent_streams
    cdef readonly long long stream_window_bytes
    cdef readonly long long connection_window_bytes
    cdef readonly long long max_stream_window_bytes
    cdef readonly long long growth_bytes
    cdef readonly long long max_header_bytes
    cdef readonly long long max_header_fields
    cdef readonly long long max_settings_entries
    cdef readonly long long max_settings_frames
    cdef readonly double premature_s
    cdef readonly long long min_streams_judged
    cdef readonly long long max_idle_frames
    cdef readonly long long max_queued_control_frames
    cdef readonly long long max_consecutive_empty_frames
    cdef readonly long long max_consecutive_interim_responses
    cdef readonly long long max_backlog_bytes
    cdef readonly long long priority_frames_per_stream
    cdef readonly long long window_updates_per_data_frame

@cython.final
cdef class FloodGuard:
    cdef public Limits limits
    cdef public long long streams
    cdef public long long judged
    cdef public long long premature
    cdef public long long empty, interim
    cdef public long long priority
    cdef public long long updates, settings
    cdef public long long data_sent
    cdef public long long control
    cdef public long long idle, idle_work
    cdef public double idle_since_s
    cpdef stream_opened(self)
    cpdef bint is_rapid_reset(self) except -1
    cpdef interim_response(self)
    cpdef empty_frame(self)
    @cython.locals(work=cython.longlong)
    cpdef idle_frame(self, double now)
    cpdef priority_frame(self)
    cpdef settings_frame(self)
    cpdef window_update(self)
    cpdef control_queued(self)
    cpdef control_flushed(self)

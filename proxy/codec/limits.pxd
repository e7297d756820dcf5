cimport cython

@cython.final
cdef class FloodGuard:
    cdef public object limits
    cdef public long long streams
    cdef public long long judged
    cdef public long long premature
    cdef public long long empty, interim
    cdef public long long priority
    cdef public long long updates
    cdef public long long data_sent
    cdef public long long control
    cpdef stream_opened(self)
    cpdef bint is_rapid_reset(self) except -1
    cpdef interim_response(self)
    cpdef empty_frame(self)
    cpdef priority_frame(self)
    cpdef window_update(self)
    cpdef control_queued(self)
    cpdef control_flushed(self)

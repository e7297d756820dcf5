cimport cython

cdef tuple _BOUNDS_MS

@cython.final
cdef class HttpMetrics:
    cdef public tuple labels
    cdef public long long requests
    cdef dict _responses
    cdef list _buckets
    cdef long _outcome
    cdef Py_ssize_t _at
    cdef long long _run
    cdef public double latency_sum_ms
    cdef public long long seen
    cdef public double idle_since

    @cython.locals(outcome=cython.long, at=Py_ssize_t, bound=cython.double)
    cpdef observe(self, bint success, int status, int grpc_status, double latency_ms)
    @cython.locals(outcome=cython.long)
    cdef _settle(self)

@cython.final
cdef class TcpMetrics:
    cdef public tuple labels
    cdef public long long opened, read_bytes, write_bytes, seen
    cdef public dict closed
    cdef public double idle_since

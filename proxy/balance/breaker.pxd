cimport cython

cdef double _NEVER
cdef double _ROUNDING_S

@cython.final
cdef class Breaker:
    cdef readonly object settings
    cdef public double backoff_s
    cdef public double forgiven_at_s
    cdef public double probe_at_s
    cdef public double probed_at_s
    cdef public bint ejected
    cdef public bint jittered
    cdef public int streak
    cdef int _successes
    cdef int _faults
    cdef int _old_successes
    cdef int _old_faults
    cdef double _half_s
    cdef double _rolls_at_s
    cpdef void success(self, double now)
    cpdef void fault(self, double now)
    cpdef int faults(self, double now)
    cpdef int requests(self, double now)
    cpdef delay(self, double fraction)
    cpdef probe(self, double now)
    cpdef bint is_probe(self, double elapsed_s, double now)
    cpdef readmit(self)
    cdef void _roll(self, double now)

cimport cython
from libc cimport math

@cython.final
cdef class PeakEwma:
    cdef public double rtt_s
    cdef public double at_s
    cdef public double decay_s
    cdef public bint known
    cpdef double read(self, double now)
    cpdef void observe(self, double rtt_s, double now)
    @cython.locals(estimate_s=double)
    cpdef void raise_to(self, double bound_s, double now)
    cdef void _set(self, double rtt_s, double now)

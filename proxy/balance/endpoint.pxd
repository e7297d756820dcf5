cimport cython
from libc cimport math
from proxy.balance.breaker cimport Breaker
from proxy.balance.ewma cimport PeakEwma

cdef int SUCCESS
cdef int FAULT
cdef int NEUTRAL
cdef int CANCELLED
cdef int EXPIRED
cdef int UNPROCESSED
cdef double _NEVER

@cython.final
cdef class Endpoint:
    cdef public object address
    cdef public Breaker breaker
    cdef public PeakEwma estimate
    cdef public dict handles
    cdef public object link
    cdef public object owner
    cdef public object settings
    cdef public int weight
    cdef public int pending
    cdef public bint ready
    cdef readonly int unanswered
    cdef readonly double silent_since_s
    cdef readonly double asked_at_s
    cdef double _silence_min_s
    cdef public double rests_until_s
    cdef public double share
    cpdef renew(self)
    @cython.locals(estimate=PeakEwma, rtt_s=double)
    cpdef double rtt(self, double now) except? -1.0
    @cython.locals(asked_s=double)
    cdef double _weigh_silence(self, double rtt_s, double now) except? -1.0
    cpdef double load(self, double now) except? -1.0
    cpdef begin(self, double now)
    cpdef sample(self, double rtt_s, double now)
    cpdef end(self, int outcome, double elapsed_s, bint sampled, double now, double retry_after_s=*)
    cdef _answered(self, double elapsed_s, double now)
    @cython.locals(penalty_s=double, wait_s=double, breaker=Breaker)
    cdef _failed(self, double elapsed_s, double now, double retry_after_s)

cimport cython

from proxy.codec.headers cimport HeaderBlock
from proxy.metrics.handles cimport HttpMetrics

cdef int _MAX_DECISIONS

@cython.final
cdef class Decision:
    cdef public object tally
    cdef public str authority
    cdef public object cluster
    cdef public double timeout_s
    cdef public dict handles
    cpdef HttpMetrics handle(self, endpoint)

@cython.final
cdef class Relay:
    cdef public object route, rng, tally
    cdef public long long epoch
    cdef public dict decisions
    cdef public Decision last
    cdef public bytes last_authority, last_path
    cdef public list flushes
    cdef public dict deadlines, suspects
    cdef public long long last_tick

    cpdef forget_decisions(self)
    @cython.locals(decision=Decision)
    cpdef Decision decide(self, HeaderBlock block)
    @cython.locals(key=tuple, known=Decision)
    cdef Decision _look_up(self, bytes authority, bytes path)
    cpdef failed(self, failure)
    cpdef long add_deadline(self, exchange, double at_s) except -1
    cpdef remove_deadline(self, exchange, long long tick)

cimport cython
from proxy.balance.breaker cimport Breaker
from proxy.balance.endpoint cimport Endpoint

cdef double _NEVER
cdef double _JUDGE_EVERY_S

@cython.final
cdef class Balancer:
    cdef readonly object settings
    cdef readonly list endpoints
    cdef readonly list ready
    cdef list _draws
    cdef list _ejected
    cdef dict _by_address
    cdef double _next_check_s
    cdef double _judged_at_s
    cdef double _tie_ratio
    @cython.locals(draws=list, n=Py_ssize_t, i=Py_ssize_t, j=Py_ssize_t, x=double, first=Endpoint, second=Endpoint, first_s=double, second_s=double, first_load=double, second_load=double)
    cpdef pick(self, double now, object rng, tuple avoid=*)
    cpdef readmit(self, Endpoint endpoint)
    @cython.locals(endpoint=Endpoint, breaker=Breaker, next_check_s=double)
    cdef _due_probe(self, double now, object rng, tuple avoid)

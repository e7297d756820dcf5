cimport cython

from proxy.balance.endpoint cimport Endpoint
from proxy.balance.p2c cimport Balancer

@cython.final
cdef class Cluster:
    cdef public str name, last_error
    cdef public Balancer balancer
    cdef public bint is_refused, leaving
    cdef public dict refusals
    cdef public double asked_s, failfast_s, deserted_since_s
    cdef public object waiting, failure
    cpdef str describe(self)
    cpdef leave(self)
    cpdef bint fails_fast(self, double now) except -1
    cpdef set_ready(self, Endpoint endpoint, bint ready, double now)

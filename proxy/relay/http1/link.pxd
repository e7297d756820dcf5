cimport cython

from proxy.balance.endpoint cimport Endpoint
from proxy.codec.h1_client cimport Http1Client
from proxy.relay.cluster cimport Cluster

@cython.final
cdef class Link:
    cdef public Cluster cluster
    cdef public Endpoint endpoint
    cdef public object dial, waiting, target
    cdef public bint removed
    cdef public int failures, conns, dialling
    cdef public double connect_timeout_s
    cdef public list idle

    cpdef Http1Client take(self)
    @cython.locals(conn=Http1Client)
    cpdef Http1Client take_sure(self)
    cpdef bint park(self, exchange) except -1
    cdef _dial_more(self)
    cpdef attach(self, Http1Client conn, double now)
    cpdef failed(self, str error, double now)
    cpdef release(self, Http1Client conn, double now)
    cdef _give(self, Http1Client conn, bint is_fresh, double now)
    cpdef forget(self, Http1Client conn)
    cpdef remove(self, double now)
    cpdef scatter(self, double now)
    @cython.locals(conn=Http1Client)
    cpdef close_idle(self, double now)

cpdef double idle_limit_s(Http1Client conn) except? -1.0

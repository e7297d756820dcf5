cimport cython

from proxy.balance.endpoint cimport Endpoint
from proxy.codec.client cimport Client
from proxy.relay.cluster cimport Cluster

@cython.final
cdef class Link:
    cdef public Cluster cluster
    cdef public Endpoint endpoint
    cdef public object dial, waiting
    cdef public bint dialling, removed
    cdef public int failures
    cdef public double connect_timeout_s
    cdef public Client current
    cdef public list conns
    @cython.locals(conn=Client)
    cpdef Client take(self)
    cpdef dial_more(self)
    cpdef bint park(self, exchange) except -1
    cpdef attach(self, Client conn, double now)
    cpdef detach(self, Client conn, double now)
    cpdef serve(self, double now)
    cpdef scatter(self, double now)

cimport cython

from proxy.codec.h1_request cimport RequestHead
from proxy.codec.h1_server cimport Http1Server
from proxy.relay.http1.exchange cimport Exchange
from proxy.relay.relay cimport Relay

cdef class Downstream(Http1Server):
    cdef public Relay relay
    cdef public double drain_at_s

    @cython.locals(exchange=Exchange)
    cpdef request_received(self, RequestHead head, bint end)
    @cython.locals(exchange=Exchange)
    cpdef data_received(self, bytes piece)
    @cython.locals(exchange=Exchange)
    cpdef message_received(self, bytes trailers, bint clean)
    @cython.locals(exchange=Exchange)
    cpdef block(self)
    @cython.locals(exchange=Exchange)
    cpdef unblock(self)
    @cython.locals(exchange=Exchange)
    cpdef faulted(self, int status, str reason)
    cpdef refuse(self, failure, str detail)
    @cython.locals(exchange=Exchange)
    cpdef head_timed_out(self)
    @cython.locals(exchange=Exchange)
    cpdef peer_ended(self, double now)
    @cython.locals(exchange=Exchange)
    cpdef lost(self, str reason, double now)
    cpdef drain(self, double now)

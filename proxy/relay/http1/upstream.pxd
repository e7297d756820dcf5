cimport cython

from proxy.codec.h1_client cimport Http1Client
from proxy.codec.h1_response cimport ResponseHead
from proxy.relay.http1.exchange cimport Exchange
from proxy.relay.http1.link cimport Link
from proxy.relay.relay cimport Relay

cdef class Upstream(Http1Client):
    cdef public Relay relay
    cdef public bint counted

    @cython.locals(link=Link)
    cpdef attach(self, double now)
    @cython.locals(exchange=Exchange)
    cpdef interim_received(self, ResponseHead head)
    @cython.locals(exchange=Exchange)
    cpdef switched(self, ResponseHead head)
    @cython.locals(exchange=Exchange)
    cpdef response_received(self, ResponseHead head, int framing)
    @cython.locals(exchange=Exchange)
    cpdef data_received(self, bytes piece)
    @cython.locals(exchange=Exchange)
    cpdef message_received(self, bytes trailers, bint clean)
    @cython.locals(exchange=Exchange)
    cpdef tunnel_ended(self)
    @cython.locals(exchange=Exchange)
    cpdef block(self)
    @cython.locals(exchange=Exchange)
    cpdef unblock(self)
    @cython.locals(exchange=Exchange)
    cpdef faulted(self, int status, str reason)
    cpdef head_timed_out(self, double now)
    @cython.locals(exchange=Exchange, is_answered=cython.bint, was_counted=cython.bint, link=Link)
    cpdef lost(self, str reason, double now)
    cpdef close(self)
    @cython.locals(link=Link)
    cdef _leave(self)

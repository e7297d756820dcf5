cimport cython

from proxy.codec.headers cimport HeaderBlock
from proxy.codec.server cimport Server
from proxy.codec.stream cimport Stream
from proxy.relay.exchange cimport Exchange
from proxy.relay.relay cimport Relay

cdef int CANCEL, NO_ERROR
cdef long long MAX_STREAM_ID, _LAST_ID

@cython.locals(count=cython.longlong, piece=bytes)
cpdef long count_queued(Stream stream) except -1

cdef class Downstream(Server):
    cdef public Relay relay
    cdef public double drain_at_s, idle_since_s

    @cython.locals(exchange=Exchange)
    cpdef request_received(self, Stream stream, HeaderBlock block, bint end)
    @cython.locals(exchange=Exchange)
    cpdef data_received(self, Stream stream, bytes payload, bint end)
    @cython.locals(exchange=Exchange)
    cpdef trailers_received(self, Stream stream, HeaderBlock block)
    @cython.locals(exchange=Exchange)
    cpdef reset_received(self, Stream stream, long long code)
    @cython.locals(exchange=Exchange)
    cpdef stream_failed(self, Stream stream, long long code, str reason)
    @cython.locals(exchange=Exchange)
    cpdef bint is_expired(self, Stream stream) except -1
    @cython.locals(exchange=Exchange)
    cpdef stream_closed(self, Stream stream)
    cpdef settings_changed(self)
    cpdef goaway_received(self, long long last_stream_id, long long code)
    @cython.locals(exchange=Exchange, stream=Stream, kept=cython.longlong, count=cython.longlong)
    cpdef long count_held(self) except -1
    cpdef drain(self, double now)
    cpdef ping_acked(self, bytes opaque)
    cpdef refuse_more(self)
    @cython.locals(exchange=Exchange, stream=Stream)
    cpdef lost(self, str reason, double now)

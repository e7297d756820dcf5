cimport cython

from proxy.codec.headers cimport HeaderBlock
from proxy.codec.stream cimport Stream
from proxy.relay.exchange cimport Exchange
from proxy.relay.link cimport Carrier, Link
from proxy.relay.relay cimport Relay

cdef long long REPLACE_AT_ID

cdef class Upstream(Carrier):
    cdef public Relay relay
    cdef public Link link
    cdef public bint attached, replacing, retired

    cpdef Stream open(self, double opened_s)
    cpdef settings_changed(self)
    @cython.locals(exchange=Exchange)
    cpdef response_received(self, Stream stream, HeaderBlock block, bint end)
    @cython.locals(exchange=Exchange)
    cpdef data_received(self, Stream stream, bytes payload, bint end)
    @cython.locals(exchange=Exchange)
    cpdef trailers_received(self, Stream stream, HeaderBlock block)
    @cython.locals(exchange=Exchange)
    cpdef reset_received(self, Stream stream, long long code)
    @cython.locals(exchange=Exchange)
    cpdef stream_failed(self, Stream stream, long long code, str reason)
    @cython.locals(exchange=Exchange, stream=Stream)
    cpdef goaway_received(self, long long last_stream_id, long long code)
    cpdef ping_acked(self, bytes opaque)
    @cython.locals(exchange=Exchange)
    cpdef stream_closed(self, Stream stream)
    cpdef unblock(self)
    cpdef retire(self, double now)
    @cython.locals(exchange=Exchange, stream=Stream)
    cpdef lost(self, str reason, double now)

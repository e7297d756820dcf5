cimport cython

from proxy.codec.encoder cimport Encoder
from proxy.codec.frames cimport (
    encode_goaway,
    encode_head,
    encode_headers,
    encode_ping,
    encode_rst_stream,
    encode_window_update,
)
from proxy.codec.headers cimport HeaderBlock
from proxy.codec.limits cimport FloodGuard, Limits
from proxy.codec.stream cimport Stream

cdef int DATA, DEFAULT_MAX_FRAME_BYTES, DEFAULT_WINDOW_BYTES, END_HEADERS, END_STREAM, HEADERS
cdef int IDLE, OPEN, CLOSED
cdef long long _MAX_UNSENT_BYTES, MAX_WINDOW_BYTES, MAX_TABLE_BYTES

@cython.locals(last=Py_ssize_t)
cpdef append_piece(pieces, bytes payload)

@cython.locals(chunk=bytes, part=bytes, parts=list, size=Py_ssize_t)
cpdef bytes take_chunk(queue, long long room)

cdef class Sender:
    cdef public Limits limits
    cdef public list flushes
    cdef public FloodGuard guard
    cdef public dict streams
    cdef public long open_streams
    cdef public list out
    cdef public long long unsent, backlog
    cdef public bint dirty, blocked, closed, sent_block, is_shared
    cdef public long long peer_max_list_bytes, peer_table_bytes
    cdef public Encoder encoder
    cdef public str fault
    cdef public object io
    cdef public long long send_window, widest_window, grown, peer_initial_window, last_peer_id, goaway_sent
    cdef public dict waiting

    cpdef stream_closed(self, Stream stream)
    cpdef bytes take(self)
    cdef _put(self, bytes frame)
    cdef _answer(self, bytes frame)
    cpdef ping(self, bytes opaque)
    cpdef goaway(self, long long last_stream_id, long long code, bytes debug=*)
    cpdef fail(self, long long code, str reason)
    cpdef close(self)
    cpdef send_block(self, Stream stream, HeaderBlock block, bint end)
    cpdef limit_table(self, long long size_bytes)
    @cython.locals(size=Py_ssize_t, out=list)
    cpdef send_headers(self, Stream stream, bytes block, bint end)
    @cython.locals(size=Py_ssize_t)
    cpdef send_data(self, Stream stream, bytes payload, bint end)
    @cython.locals(uncredited=cython.longlong)
    cdef long _window(self, Stream stream) except? -1
    @cython.locals(out=list, source=Stream, conn=Sender)
    cdef _write_data(self, Stream stream, bytes payload, Py_ssize_t size, bint end)
    @cython.locals(chunk=bytes, size=Py_ssize_t, room=cython.longlong)
    cdef bint _pump_stream(self, Stream stream, long long budget) except -1
    @cython.locals(waiting=dict, stream=Stream, progress=cython.bint, before=cython.longlong)
    cpdef pump(self)
    cpdef unblock(self)
    @cython.locals(limits=Limits, other=Stream, grant=cython.longlong, growth=cython.longlong)
    cpdef credit(self, Stream stream, long long size)
    cpdef reset(self, Stream stream, long long code)
    cpdef reset_sent(self, long long stream_id)
    cdef _send_closed(self, Stream stream)
    cdef _unqueue(self, Stream stream)
    cpdef drop(self, Stream stream)
    cdef _forget(self, Stream stream)

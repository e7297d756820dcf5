cimport cython

from proxy.codec.buffer cimport cut
from proxy.codec.frames cimport (
    encode_ping,
    encode_rst_stream,
    encode_window_update,
)
from proxy.codec.headers cimport HeaderBlock, HeaderReader
from proxy.codec.sender cimport Sender
from proxy.codec.stream cimport Stream

cdef int ACK, CONTINUATION, DATA, DEFAULT_MAX_FRAME_BYTES, DEFAULT_WINDOW_BYTES, ENABLE_PUSH, END_HEADERS, END_STREAM
cdef int ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HAS_PRIORITY, HEADERS, HEADER_TABLE_SIZE
cdef int INITIAL_WINDOW_SIZE
cdef int MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, PADDED, PING, PRIORITY
cdef int PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE
cdef long long MAX_WINDOW_BYTES
cdef int IDLE, OPEN, CLOSED

cdef class Connection(Sender):
    cdef public HeaderReader reader
    cdef public bint peer_settings_seen, settings_acked
    cdef public double now
    cdef public long long frames, recv_window, recv_uncredited, peer_max_streams
    cdef public long long assembling, assembling_size, max_block_bytes
    cdef public int assembling_flags
    cdef public list assembling_parts

    cpdef dict opening_settings(self)
    cpdef headers_complete(self, long long stream_id, bint end, bytes block)
    cpdef bint is_idle(self, long long stream_id) except -1
    cpdef data_received(self, Stream stream, bytes payload, bint end)
    cpdef reset_received(self, Stream stream, long long code)
    cpdef stream_failed(self, Stream stream, long long code, str reason)
    cpdef stream_rejected(self, long long code)
    cpdef goaway_received(self, long long last_stream_id, long long code)
    cpdef ping_acked(self, bytes opaque)
    cpdef settings_changed(self)
    cpdef trailers_received(self, Stream stream, HeaderBlock block)
    cpdef lost(self, str reason, double now)

    @cython.locals(p=cython.p_uchar, pos=Py_ssize_t, length=Py_ssize_t, after=Py_ssize_t, kind=cython.int,
                   flags=cython.int, stream_id=cython.longlong)
    cpdef Py_ssize_t feed(self, bytearray buf, Py_ssize_t start, Py_ssize_t end, double now) except -1
    @cython.locals(p=cython.p_uchar, stream=Stream, size=Py_ssize_t, end=cython.bint)
    cdef _data(self, bytearray buf, Py_ssize_t pos, Py_ssize_t length, int flags, long long stream_id)
    @cython.locals(p=cython.p_uchar, end=Py_ssize_t, pad=Py_ssize_t, self_dependent=cython.bint, block=bytes)
    cdef _headers(self, bytearray buf, Py_ssize_t pos, Py_ssize_t length, int flags, long long stream_id)
    @cython.locals(reader=HeaderReader)
    cdef HeaderBlock read_headers(self, int position, bytes block)
    cdef _trailers(self, Stream stream, bint end, HeaderBlock block)
    cdef _continuation(self, int flags, long long stream_id, bytes payload)
    cdef _control(self, int kind, int flags, long long stream_id, bytes payload)
    @cython.locals(p=cython.p_uchar, stream=Stream, increment=cython.longlong)
    cdef _window_update(self, long long stream_id, bytes payload)
    @cython.locals(stream=Stream)
    cdef _rst_stream(self, long long stream_id, bytes payload)
    cdef _ping(self, int flags, long long stream_id, bytes payload)
    cdef _settings(self, int flags, long long stream_id, bytes payload)
    @cython.locals(stream=Stream, delta=cython.longlong)
    cdef _setting(self, long long key, long long value)
    cdef _goaway(self, long long stream_id, bytes payload)
    cdef _priority(self, long long stream_id, bytes payload)
    cpdef unknown_stream(self, long long stream_id, bint end)

    cpdef start(self, bytes preface=*)
    cdef _fail_stream(self, fault)

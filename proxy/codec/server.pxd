cimport cython

from proxy.codec.connection cimport Connection
from proxy.codec.headers cimport HeaderBlock
from proxy.codec.stream cimport Stream

cdef int CANCEL, DEFAULT_WINDOW_BYTES, ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED
cdef int REQUEST, TRAILERS
cdef int CLOSED, IDLE, OPEN
cdef Py_ssize_t _PREFACE_BYTES
cdef int _MAX_UNAWARE, _MAX_SKIPPED, _MAX_LIMBO

cdef class Server(Connection):
    cdef public bint draining, preface_seen
    cdef public long recent_cancels, refused
    cdef public double recent_since_s
    cdef public list skipped
    cdef public dict limbo

    cpdef request_received(self, Stream stream, HeaderBlock block, bint end)
    cpdef bint is_expired(self, Stream stream) except -1
    @cython.locals(have=Py_ssize_t, size=Py_ssize_t)
    cpdef Py_ssize_t feed(self, bytearray buf, Py_ssize_t start, Py_ssize_t end, double now) except -1
    cpdef start(self, bytes preface=*)
    cdef bint _turns_away(self, bytes first_bytes) except -1
    cpdef bint is_idle(self, long long stream_id) except -1
    @cython.locals(stream=Stream)
    cpdef headers_complete(self, long long stream_id, bint end, bytes block)
    @cython.locals(stream=Stream, limit=cython.long, window=cython.longlong, granted=cython.longlong)
    cdef _open(self, long long stream_id, bint end, HeaderBlock block)
    cdef _skip(self, long long low, long long high)
    cdef long _unfinished_cancels(self) except -1
    cpdef stream_rejected(self, long long code)
    cdef _count_early_reset(self)
    cpdef judge_reset(self, Stream stream, long long code)
    cpdef finish(self)

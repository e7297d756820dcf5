cimport cython

from proxy.codec.connection cimport Connection
from proxy.codec.headers cimport HeaderBlock
from proxy.codec.stream cimport Stream

cdef int DEFAULT_MAX_FRAME_BYTES, PROTOCOL_ERROR
cdef long long MAX_STREAM_ID
cdef int RESPONSE, TRAILERS
cdef int CLOSED, IDLE, OPEN

cdef class Client(Connection):
    cdef public long long next_id

    cpdef response_received(self, Stream stream, HeaderBlock block, bint end)
    cpdef bint has_room(self) except -1
    cpdef bint is_clogged(self) except -1
    @cython.locals(stream_id=cython.longlong, stream=Stream)
    cpdef Stream open(self, double opened_s)
    cpdef bint is_idle(self, long long stream_id) except -1
    @cython.locals(stream=Stream)
    cpdef headers_complete(self, long long stream_id, bint end, bytes block)
    cdef _response(self, Stream stream, bint end, HeaderBlock block)

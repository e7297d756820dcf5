cimport cython

from proxy.codec.h1_fields cimport Fields, without
from proxy.codec.h1_head cimport check_bytes
from proxy.codec.headers cimport HeaderBlock

cdef Py_ssize_t MAX_LINE_BYTES

@cython.final
cdef class RequestHead:
    cdef public HeaderBlock block
    cdef public bytes encoded
    cdef public long long content_length
    cdef public int framing, minor
    cdef public bint close, idempotent, is_connect, is_head, websocket

cpdef RequestHead read_request(bytes raw, Py_ssize_t max_bytes, Py_ssize_t max_fields)
@cython.locals(after=Py_ssize_t, first=bytes, fields=Fields, head=RequestHead, minor=cython.int)
cpdef RequestHead parse_request(bytes raw, Py_ssize_t max_fields)
@cython.locals(parts=list, method=bytes, target=bytes, version=bytes)
cpdef tuple read_request_line(bytes line)
cpdef HeaderBlock make_route_block(bytes method, bytes authority, bytes path)
@cython.locals(parts=list, block=HeaderBlock)
cpdef bytes encode_request(RequestHead head, bytes raw, bytes first, Fields fields, bint is_absolute)

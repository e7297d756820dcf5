cimport cython

from proxy.codec.h1_fields cimport Fields, is_legal, without
from proxy.codec.headers cimport HeaderBlock
from proxy.codec.values cimport read_number

cdef Py_ssize_t MAX_LINE_BYTES

@cython.final
cdef class RequestHead:
    cdef public HeaderBlock block
    cdef public bytes encoded
    cdef public long long content_length
    cdef public int framing, minor
    cdef public bint close, idempotent, is_connect, is_head, websocket

@cython.final
cdef class ResponseHead:
    cdef public bytes encoded
    cdef public long long content_length
    cdef public int framing, status
    cdef public bint close, informational, websocket
    cdef public double keep_alive_s, retry_after_s

@cython.locals(line=Py_ssize_t)
cpdef check_bytes(bytes text, Py_ssize_t max_bytes)
cpdef RequestHead read_request(bytes raw, Py_ssize_t max_bytes, Py_ssize_t max_fields)
@cython.locals(after=Py_ssize_t, first=bytes, fields=Fields, head=RequestHead, minor=cython.int)
cpdef RequestHead parse_request(bytes raw, Py_ssize_t max_fields)
@cython.locals(parts=list, method=bytes, target=bytes, version=bytes)
cpdef tuple read_request_line(bytes line)
cpdef HeaderBlock make_route_block(bytes method, bytes authority, bytes path)
@cython.locals(parts=list, block=HeaderBlock)
cpdef bytes encode_request(RequestHead head, bytes raw, bytes first, Fields fields, bint is_absolute)
cpdef ResponseHead read_response(bytes raw, Py_ssize_t max_bytes, Py_ssize_t max_fields)
@cython.locals(after=Py_ssize_t, first=bytes, fields=Fields, head=ResponseHead, minor=cython.int, status=cython.int)
cpdef ResponseHead parse_response(bytes raw, Py_ssize_t max_fields)
cpdef bytes encode_response(ResponseHead head, bytes raw, bytes first, Fields fields, int minor)

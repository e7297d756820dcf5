cimport cython

from proxy.codec.h1_fields cimport Fields, is_legal, without
from proxy.codec.h1_head cimport check_bytes
from proxy.codec.values cimport read_number

cdef int _NO_BODY, _LENGTH, _CHUNKED, _UNTIL_CLOSE, _NO_CONTENT, _NOT_MODIFIED
cdef Py_ssize_t MAX_LINE_BYTES

@cython.final
cdef class ResponseHead:
    cdef public bytes encoded
    cdef public long long content_length
    cdef public int framing, status
    cdef public bint close, informational, refused, websocket
    cdef public double keep_alive_s, retry_after_s

cpdef ResponseHead read_response(bytes raw, Py_ssize_t max_bytes, Py_ssize_t max_fields)
@cython.locals(after=Py_ssize_t, first=bytes, fields=Fields, head=ResponseHead, minor=cython.int, status=cython.int)
cpdef ResponseHead parse_response(bytes raw, Py_ssize_t max_fields)
cpdef bytes encode_response(ResponseHead head, bytes raw, bytes first, Fields fields, int minor)

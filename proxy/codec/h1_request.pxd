cimport cython

from proxy.codec.h1_fields cimport Fields, without
from proxy.codec.h1_head cimport check_bytes
from proxy.codec.headers cimport HeaderBlock

cdef int _NO_BODY, _LENGTH, _CHUNKED
cdef Py_ssize_t _MAX_LINE_BYTES, _VERSION_BYTES
cdef bytes _IN_NAME, _IN_TARGET, _IN_AUTHORITY
cdef frozenset _IDEMPOTENT, _HOST

@cython.final
cdef class RequestHead:
    cdef public HeaderBlock block
    cdef public bytes encoded
    cdef public long long content_length
    cdef public int framing, minor
    cdef public bint close, hostless, idempotent, is_connect, is_head, websocket

cpdef RequestHead read_request(bytes raw, Py_ssize_t max_bytes, Py_ssize_t max_fields)
@cython.locals(p=cython.p_uchar, space=Py_ssize_t, stop=Py_ssize_t, after=Py_ssize_t, fields=Fields, head=RequestHead,
               minor=cython.int, method=bytes, authority=bytes, path=bytes)
cpdef RequestHead parse_request(bytes raw, Py_ssize_t max_fields)
@cython.locals(p=cython.p_uchar, table=cython.p_uchar)
cpdef Py_ssize_t skip(bytes line, Py_ssize_t pos, bytes allowed) except -1
@cython.locals(head=RequestHead)
cpdef RequestHead make_head(bytes method, int minor, Fields fields)
cpdef int read_version(bytes raw, Py_ssize_t at) except -2
cpdef tuple split_target(bytes method, bytes target)
@cython.locals(chosen=bytes)
cpdef bytes choose_authority(bytes authority, bytes host, int minor)
@cython.locals(p=cython.p_uchar, in_authority=cython.p_uchar, at=Py_ssize_t, size=Py_ssize_t)
cpdef bint is_authority(bytes text) except -1
cpdef HeaderBlock make_route_block(bytes method, bytes authority, bytes path)
@cython.locals(parts=list, block=HeaderBlock)
cpdef bytes encode_request(RequestHead head, bytes raw, Py_ssize_t after, Fields fields, bint is_absolute)

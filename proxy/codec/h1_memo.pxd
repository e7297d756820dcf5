cimport cython

from proxy.codec.h1_request cimport RequestHead, read_request
from proxy.codec.h1_response cimport ResponseHead, read_response
from proxy.codec.limits cimport Limits

cdef int _MARKS_MASK, _MARK_SHIFT

@cython.final
cdef class HeadMemo:
    cdef public dict requests, old_requests, responses, old_responses
    cdef public bytearray marks
    cdef public Py_ssize_t generation_bytes, max_bytes, max_fields, max_response_fields, request_bytes, response_bytes

    cpdef forget(self)
    @cython.locals(head=RequestHead, known=RequestHead, cost_bytes=Py_ssize_t)
    cpdef RequestHead request(self, bytes raw)
    @cython.locals(head=ResponseHead, known=ResponseHead, cost_bytes=Py_ssize_t)
    cpdef ResponseHead response(self, bytes raw)
    @cython.locals(marks=bytearray, digest=Py_hash_t, at=Py_ssize_t, mark=cython.int)
    cdef bint _is_first(self, bytes raw) except -1

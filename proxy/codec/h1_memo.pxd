cimport cython

from proxy.codec.h1_request cimport RequestHead, read_request
from proxy.codec.h1_response cimport ResponseHead, read_response
from proxy.codec.limits cimport Limits

cdef int _MARKS_MASK, _MARK_SHIFT

@cython.final
cdef class Generations:
    cdef public dict old, young
    cdef public bytes last_raw
    cdef public object last
    cdef public Py_ssize_t generation_bytes, used_bytes

    cpdef find(self, bytes raw)
    @cython.locals(cost_bytes=Py_ssize_t)
    cpdef keep(self, bytes raw, head)

@cython.final
cdef class HeadMemo:
    cdef public Generations requests, responses
    cdef public bytearray marks
    cdef public Py_ssize_t generation_bytes, max_bytes, max_fields, max_response_fields

    cpdef forget(self)
    @cython.locals(head=RequestHead)
    cpdef RequestHead request(self, bytes raw)
    @cython.locals(head=ResponseHead)
    cpdef ResponseHead response(self, bytes raw)
    @cython.locals(marks=bytearray, digest=Py_hash_t, at=Py_ssize_t, mark=cython.int)
    cdef bint _is_first(self, bytes raw) except -1

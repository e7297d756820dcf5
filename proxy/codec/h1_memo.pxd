cimport cython

from proxy.codec.h1_head cimport check_bytes
from proxy.codec.h1_request cimport RequestHead, read_request
from proxy.codec.h1_response cimport ResponseHead, read_response
from proxy.codec.limits cimport Limits

@cython.final
cdef class HeadMemo:
    cdef public dict requests, old_requests, responses, old_responses
    cdef public Py_ssize_t generation_bytes, max_bytes, max_fields, request_bytes, response_bytes

    cpdef forget(self)
    @cython.locals(head=RequestHead, known=RequestHead, cost_bytes=Py_ssize_t)
    cpdef RequestHead request(self, bytes raw)
    @cython.locals(head=ResponseHead, known=ResponseHead, cost_bytes=Py_ssize_t)
    cpdef ResponseHead response(self, bytes raw)
    cpdef check(self, bytes beginning)

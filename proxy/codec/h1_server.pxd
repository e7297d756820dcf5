cimport cython

from proxy.codec.h1_connection cimport Http1Connection
from proxy.codec.h1_request cimport RequestHead
from proxy.codec.h1_response cimport ResponseHead

cdef int _HEAD, _HEAD_COST, _NOTHING, _NO_BODY, _CHUNKED, _UNTIL_CLOSE, _BAD_REQUEST
cdef bytes _KEEP, _CLOSE, _CHUNKED_KEEP, _CHUNKED_CLOSE

cdef class Http1Server(Http1Connection):
    cdef public bint draining, held, keep, skipped
    cdef public int minor
    cdef public double idle_since_s

    cpdef request_received(self, RequestHead head, bint end)
    @cython.locals(p=cython.p_uchar)
    cpdef Py_ssize_t _read_head(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    @cython.locals(head=RequestHead)
    cpdef head_received(self, bytes raw, bint clean)
    cpdef surplus_received(self)
    @cython.locals(p=cython.p_uchar)
    cpdef Py_ssize_t _read_surplus(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    @cython.locals(encoded=bytes, tail=bytes)
    cpdef send_response(self, ResponseHead head, int framing, bint keep)
    cpdef answered(self, double now)
    cpdef unblock(self)

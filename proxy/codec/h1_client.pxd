cimport cython

from proxy.codec.h1_connection cimport Http1Connection
from proxy.codec.h1_head cimport Beginning, begin_head
from proxy.codec.h1_request cimport RequestHead
from proxy.codec.h1_response cimport ResponseHead

cdef int _HEAD, _NOTHING, _OPEN_BODY, _TUNNEL, _NO_BODY, _UNTIL_CLOSE

cdef class Http1Client(Http1Connection):
    cdef public bint is_head, reusable, websocket, proven
    cdef public object link
    cdef public int interim
    cdef public bint rested
    cdef public double keep_alive_s

    cpdef send_request(self, RequestHead head)
    cpdef Beginning make_beginning(self)
    cpdef interim_received(self, ResponseHead head)
    cpdef switched(self, ResponseHead head)
    cpdef response_received(self, ResponseHead head, int framing)
    @cython.locals(head=ResponseHead, framing=cython.int)
    cpdef head_received(self, bytes raw, bint clean)
    cdef _read_interim(self, ResponseHead head)
    cpdef surplus_received(self)
    cpdef peer_ended(self, double now)
    cpdef tunnel_ended(self)

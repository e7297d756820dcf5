cimport cython

from proxy.balance.endpoint cimport Endpoint
from proxy.codec.h1_client cimport Http1Client
from proxy.relay.cluster cimport Cluster
from proxy.relay.http1.queue cimport Queue

cdef int _MAX_UNFINISHED, _MAX_IDLE
cdef double _UNFINISHED_S, _MIN_BYTES_PER_S, _MAKE_ROOM_S, _WANTED_S

@cython.final
cdef class Link:
    cdef public Cluster cluster
    cdef public Endpoint endpoint
    cdef public object dial, target
    cdef public Queue waiting
    cdef public bint removed, asleep, doubted
    cdef public int failures, conns, dialling, max_connections, unfinished, refusals
    cdef public double connect_timeout_s, made_room_s, asked_s
    cdef public dict members
    cdef public list idle

    cpdef Http1Client take(self)
    cpdef Http1Client take_sure(self)
    @cython.locals(conn=Http1Client)
    cdef Http1Client _take_sure(self)
    @cython.locals(conn=Http1Client)
    cpdef bint park(self, exchange) except -1
    cpdef began(self, exchange)
    cpdef completed(self, exchange)
    cdef bint _is_full(self)
    cdef bint _make_place(self, exchange) except -1
    @cython.locals(conn=Http1Client, stalled=list)
    cpdef make_room(self, double now)
    cdef _dial_more(self, bint is_complete)
    cpdef redial(self)
    cpdef seek(self)
    cpdef bint rouse(self, double now)
    cdef bint _is_wanted(self, double now)
    cpdef attach(self, Http1Client conn, double now)
    cpdef failed(self, str error, double now, bint is_refused=*)
    cpdef bint is_foreign(self)
    cdef _refuse(self, double now)
    cpdef release(self, Http1Client conn, double now)
    cdef _give(self, Http1Client conn, bint is_fresh, double now)
    cpdef forget(self, Http1Client conn)
    cpdef remove(self, double now)
    cpdef scatter(self, double now)
    @cython.locals(conn=Http1Client)
    cpdef close_idle(self, double now)

@cython.locals(endpoints=list, link=Link)
cpdef Link find_sole(Cluster cluster)
cpdef bint is_stalled(exchange, double now) except -1
cpdef double idle_limit_s(Http1Client conn) except? -1.0

cimport cython

from proxy.balance.endpoint cimport Endpoint
from proxy.codec.client cimport Client
from proxy.codec.stream cimport Stream
from proxy.relay.cluster cimport Cluster

cdef class Carrier(Client):
    cdef public bint answered
    cpdef retire(self, double now)

@cython.final
cdef class Link:
    cdef public Cluster cluster
    cdef public Endpoint endpoint
    cdef public object dial, waiting, target
    cdef public bint dialling, removed
    cdef public int failures
    cdef public double connect_timeout_s, made_room_s
    cdef public Carrier current
    cdef public list conns
    @cython.locals(conn=Carrier, clogged=Carrier)
    cpdef Carrier take(self)
    @cython.locals(conn=Carrier, room=cython.longlong, most=cython.longlong)
    cpdef long count_room(self) except -1
    cpdef dial_more(self)
    cpdef bint park(self, exchange) except -1
    @cython.locals(conn=Carrier, stream=Stream, stalled=list)
    cpdef make_room(self, double now)
    cpdef attach(self, Carrier conn, double now)
    cpdef detach(self, Carrier conn, double now)
    @cython.locals(conn=Carrier)
    cpdef remove(self, double now)
    cpdef serve(self, double now)
    cpdef scatter(self, double now)

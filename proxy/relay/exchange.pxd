cimport cython

from proxy.balance.endpoint cimport Endpoint
from proxy.codec.client cimport Client
from proxy.codec.connection cimport Connection
from proxy.codec.headers cimport HeaderBlock
from proxy.codec.stream cimport Stream
from proxy.metrics.handles cimport HttpMetrics
from proxy.relay.cluster cimport Cluster
from proxy.relay.link cimport Link
from proxy.relay.relay cimport Decision, Relay

cdef int ABANDONED, CANCELLED, EXPIRED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
cdef int CANCEL, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM
cdef int CLOSED
cdef int GRPC_UNAVAILABLE, GRPC_RESOURCE_EXHAUSTED

cdef long long _SHARE, _TOO_MANY
cdef double _BODILESS_S, _PAUSED_S

cpdef bint is_http_fault(HeaderBlock block) except -1

@cython.locals(count=cython.longlong, stream=Stream, exchange=Exchange)
cpdef long count_streams(Connection client, Link link, double now) except -1

@cython.final
cdef class Exchange:
    cdef public Relay relay
    cdef public Stream down, up
    cdef public HeaderBlock block
    cdef public list body
    cdef public long long body_bytes
    cdef public bint request_end, responding, sampled, faulty, done
    cdef public HeaderBlock trailers
    cdef public Decision decision
    cdef public Endpoint endpoint
    cdef public HttpMetrics handle
    cdef public tuple tried
    cdef public double started_s, begun_s, ended_s, expires_s
    cdef public int status, grpc_status, attempts
    cdef public long long tick

    cpdef start(self, double now)
    @cython.locals(cluster=Cluster, endpoint=Endpoint, other=Endpoint, link=Link, conn=Client)
    cpdef dispatch(self, double now)
    @cython.locals(endpoint=Endpoint, link=Link)
    cdef _find_room(self, Cluster cluster, Endpoint full, double now)
    @cython.locals(conn=Client)
    cdef Client _take(self, Link link, double now)
    @cython.locals(down=Stream, client=Connection, room=cython.longlong)
    cpdef bint may_have(self, Link link, Client conn, double now) except -1
    @cython.locals(cluster=Cluster, decision=Decision)
    cdef _wait_for_endpoint(self, double now)
    cdef _limit_wait(self, double at_s)
    @cython.locals(down=Stream, up=Stream, body=list, trailers=HeaderBlock, chunk=bytes, last=Py_ssize_t, at=Py_ssize_t)
    cpdef send(self, Client conn, double now)
    cpdef bint is_stalled(self, double now) except -1
    cpdef give_way(self, double now)
    @cython.locals(conn=Connection)
    cdef _send_trailers(self, Stream up, HeaderBlock trailers, double now)
    cpdef keep(self, bytes payload)
    cpdef long count_kept(self) except -1
    @cython.locals(up=Stream, conn=Connection)
    cpdef request_data(self, bytes payload, bint end, Stream down, double now)
    @cython.locals(up=Stream)
    cpdef request_trailers(self, HeaderBlock block, Stream down, double now)
    cpdef cancel(self, long long code, double now)
    @cython.locals(timeout_s=cython.double)
    cpdef bint is_expired(self, double now) except -1
    @cython.locals(down=Stream, conn=Connection)
    cpdef response(self, HeaderBlock block, bint end, Stream up, double now)
    @cython.locals(down=Stream, conn=Connection)
    cpdef response_data(self, bytes payload, bint end, Stream up, double now)
    @cython.locals(down=Stream, conn=Connection)
    cpdef response_trailers(self, HeaderBlock block, Stream up, double now)
    @cython.locals(conn=Connection)
    cdef bint _is_too_large(self, HeaderBlock block, Stream down) except -1
    cpdef upstream_reset(self, long long code, double now)
    cpdef upstream_lost(self, failure, str detail, bint is_fault, double now)
    cpdef unprocessed(self, bint refused, double now)
    cpdef redispatch(self, double now)
    @cython.locals(status=cython.int, faulty=cython.bint, success=cython.bint)
    cpdef complete(self, double pushback_s, double now)
    cpdef deadline_passed(self, double now)
    @cython.locals(conn=Client)
    cdef _room_or_fail(self, Link link, double now)
    cpdef fail(self, failure, str detail, double now, bint is_fault=*)
    cpdef refuse(self, double now)
    @cython.locals(down=Stream, conn=Connection)
    cdef _answer(self, failure, str detail)
    @cython.locals(down=Stream, conn=Connection)
    cdef _stop_upload(self)
    @cython.locals(down=Stream, conn=Connection)
    cdef _reset_downstream(self, long long code)
    @cython.locals(up=Stream, conn=Connection)
    cdef _abandon_upstream(self, long long code)
    @cython.locals(up=Stream)
    cdef _detach_upstream(self)
    @cython.locals(endpoint=Endpoint)
    cdef _sample(self, double now)
    @cython.locals(handle=HttpMetrics)
    cdef HttpMetrics _claim(self)
    @cython.locals(handle=HttpMetrics)
    cdef _count(self, bint success, int grpc_status, double now)
    @cython.locals(endpoint=Endpoint, link=Link)
    cdef _leave_endpoint(self, int outcome, double now, double pushback_s=*)
    cdef _finish(self, int outcome, double now, double pushback_s=*)
    @cython.locals(other=Stream)
    cpdef stream_closed(self, Stream stream)

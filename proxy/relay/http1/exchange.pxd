cimport cython

from proxy.balance.endpoint cimport Endpoint
from proxy.codec.h1_client cimport Http1Client
from proxy.codec.h1_request cimport RequestHead
from proxy.codec.h1_response cimport ResponseHead
from proxy.codec.h1_server cimport Http1Server
from proxy.codec.sender cimport append_piece
from proxy.metrics.handles cimport HttpMetrics
from proxy.relay.cluster cimport Cluster
from proxy.relay.http1.link cimport Link, find_sole
from proxy.relay.relay cimport Decision, Relay

cdef int ABANDONED, CANCELLED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
cdef int MAX_REFUSALS, _HTTP_REDIRECTS, _HTTP_BAD_REQUEST, _NO_BODY, _UNTIL_CLOSE
cdef double HALF_CLOSED_S, UPLOAD_S, UPLOAD_IDLE_S
cdef bytes _NAMES_FAILURE
cdef int HTTP_TOO_MANY_REQUESTS
cdef long long MAX_REPLAY_BYTES

@cython.final
cdef class Exchange:
    cdef public Relay relay
    cdef public Http1Server down
    cdef public Http1Client up
    cdef public RequestHead head
    cdef public list body
    cdef public long long body_bytes
    cdef public tuple tried
    cdef public bint request_end, responding, sampled, faulty, done, reused, proven, needs_fresh, tunnelling, uploading
    cdef public bytes trailers
    cdef public Decision decision
    cdef public Endpoint endpoint
    cdef public HttpMetrics handle
    cdef public double started_s, begun_s, ended_s, expires_s, retry_after_s, uploads_until_s, unreached_s
    cdef public int status
    cdef public long long tick

    cpdef start(self, double now)
    cdef _follow(self, Decision decision, double now)
    @cython.locals(cluster=Cluster, endpoint=Endpoint, link=Link, conn=Http1Client)
    cpdef dispatch(self, double now)
    @cython.locals(cluster=Cluster, decision=Decision, link=Link)
    cdef _wait_for_endpoint(self, double now)
    cdef _reason(self, Cluster cluster)
    cdef _limit_wait(self, double at_s)
    cdef _set_deadline(self, double at_s)
    @cython.locals(up=Http1Client, down=Http1Server, head=RequestHead, body=list, link=Link)
    cpdef send(self, conn, double now)
    cpdef redispatch(self, bint unreached, double now)
    @cython.locals(up=Http1Client, body=list)
    cpdef request_data(self, bytes piece)
    @cython.locals(up=Http1Client, link=Link)
    cpdef request_ended(self, bytes trailers, double now)
    cpdef half_closed(self, double now)
    @cython.locals(down=Http1Server)
    cpdef cancel(self, double now)
    cpdef reject(self, failure, str detail, double now)
    @cython.locals(down=Http1Server)
    cpdef interim(self, ResponseHead head)
    @cython.locals(down=Http1Server)
    cpdef switched(self, ResponseHead head, double now)
    @cython.locals(down=Http1Server, status=cython.int)
    cpdef response(self, ResponseHead head, int framing, double now)
    @cython.locals(down=Http1Server)
    cpdef response_data(self, bytes piece)
    @cython.locals(down=Http1Server, up=Http1Client, success=cython.bint, link=Link)
    cpdef response_ended(self, bytes trailers, bint clean, double now)
    cdef bint _was_read(self)
    @cython.locals(down=Http1Server)
    cdef _upload_on(self, double now)
    @cython.locals(down=Http1Server, up=Http1Client)
    cdef _end_upload(self, double now)
    cpdef upstream_lost(self, failure, str detail, bint may_retry, double now)
    cdef bint _may_be_sent_again(self) except -1
    cdef _retry(self, double now)
    @cython.locals(cluster=Cluster, endpoint=Endpoint, link=Link)
    cdef bint _may_go_elsewhere(self, ResponseHead head) except -1
    @cython.locals(link=Link, outcome=cython.int)
    cdef _go_elsewhere(self, double now)
    @cython.locals(cluster=Cluster)
    cdef bint _is_refusal(self, failure)
    cpdef tunnel_ended(self, double now)
    @cython.locals(down=Http1Server, up=Http1Client)
    cdef _end_tunnel(self, double now)
    @cython.locals(down=Http1Server, waited=cython.bint)
    cpdef deadline_passed(self, double now)
    @cython.locals(down=Http1Server, until_s=cython.double)
    cdef _look_at_upload(self, double now)
    @cython.locals(down=Http1Server)
    cpdef fail(self, failure, str detail, double now, bint is_fault=*)
    @cython.locals(down=Http1Server)
    cdef _abort_downstream(self)
    @cython.locals(up=Http1Client)
    cdef _abandon_upstream(self)
    @cython.locals(endpoint=Endpoint)
    cdef _sample(self, double now)
    @cython.locals(handle=HttpMetrics)
    cdef HttpMetrics _claim(self)
    @cython.locals(handle=HttpMetrics)
    cdef _count(self, bint success, double now)
    @cython.locals(endpoint=Endpoint, link=Link)
    cdef _leave_endpoint(self, int outcome, double now, double retry_after_s=*)
    cdef _upload_over(self, Link link)
    cdef _finish(self, int outcome, double now, double retry_after_s=*)

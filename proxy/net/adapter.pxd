cimport cython

from proxy.codec.connection cimport Connection
from proxy.codec.sender cimport Sender
from proxy.metrics.handles cimport TcpMetrics

@cython.locals(conn=Sender, adapter=Adapter)
cpdef flush(list flushes)

@cython.final
cdef class ReadBuffer:
    cdef public bytearray data
    cdef public object ends, rests, view
    cdef public long long chunks, most

    cpdef took(self, long long chunks)
    cpdef _end_turn(self)
    cpdef make_room(self, Py_ssize_t size)

cdef class Adapter:
    cdef public Connection conn
    cdef public ReadBuffer buffer
    cdef public TcpMetrics tcp
    cdef public object ended, hand_over, transport
    cdef public double opened_s, progress_s, whole_s
    cdef public long long frames_asked, frames_before, sent_before, written, written_asked
    cdef public bytes tail
    cdef public bint shutting

    @cython.locals(size=Py_ssize_t)
    cpdef get_buffer(self, Py_ssize_t sizehint)
    @cython.locals(conn=Connection, data=bytearray, end=Py_ssize_t, taken=Py_ssize_t)
    cpdef buffer_updated(self, Py_ssize_t nbytes)
    cpdef bint is_stuck(self, double now, double timeout_s) except -1
    cpdef bint is_doubtful(self) except -1
    @cython.locals(conn=Connection, data=bytes)
    cpdef write_out(self)

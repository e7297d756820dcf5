cimport cython

cimport proxy.net.csend as sockets
from proxy.codec.h1_client cimport Http1Client
from proxy.codec.h1_connection cimport Http1Connection
from proxy.metrics.handles cimport TcpMetrics
from proxy.net.adapter cimport ReadBuffer

@cython.locals(conn=Http1Connection, adapter=Http1Adapter)
cpdef flush_http1(list flushes)

cdef int _HEAD_COST

cdef class Http1Adapter:
    cdef public Http1Connection conn
    cdef public ReadBuffer buffer
    cdef public TcpMetrics tcp
    cdef public object ended, error, transport
    cdef public int fd
    cdef public double opened_s
    cdef public bytes tail
    cdef public bint finished, keeps_some, read_paused, reads_little, shutting

    @cython.locals(end=Py_ssize_t, size=Py_ssize_t)
    cpdef get_buffer(self, Py_ssize_t sizehint)
    @cython.locals(conn=Http1Connection)
    cpdef buffer_updated(self, Py_ssize_t nbytes)
    @cython.locals(conn=Http1Connection, data=bytearray, end=Py_ssize_t, taken=Py_ssize_t)
    cdef _feed(self, Py_ssize_t nbytes)
    @cython.locals(fd=cython.int, conn=Http1Connection, left=Py_ssize_t, nbytes=Py_ssize_t, size=Py_ssize_t)
    cdef _read_rest(self, transport)
    @cython.locals(conn=Http1Connection)
    cpdef settle(self)
    @cython.locals(sent=Py_ssize_t)
    cdef _write(self, bytes data)
    cdef int _find_fd(self) except -1
    @cython.locals(conn=Http1Connection, tail=bytes, taken=Py_ssize_t)
    cdef _set_reading(self)
    cpdef _go_on(self)

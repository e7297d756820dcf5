cimport cython

from proxy.metrics.handles cimport TcpMetrics

cdef object _NOTHING

@cython.final
cdef class Workshop:
    cdef public object loop, pipes, view
    cdef public set waiting

@cython.final
cdef class Flow:
    cdef public Workshop shop
    cdef public object source, sink, owner, pipe, rest
    cdef public TcpMetrics read_tcp, write_tcp
    cdef public Py_ssize_t held, streak
    cdef public long long total
    cdef public bint ended

    cpdef start(self)
    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t read(self) except -1
    @cython.locals(before=Py_ssize_t)
    cpdef Py_ssize_t write(self) except -1
    cpdef stop(self)
    @cython.locals(sent=Py_ssize_t)
    cpdef _send(self, object data)
    @cython.locals(sent=Py_ssize_t)
    cpdef _splice_out(self)
    cpdef _switch(self)
    cpdef _end(self)

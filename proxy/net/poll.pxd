cimport cython

@cython.final
cdef class Poller:
    cdef public dict _readers, _writers
    cdef public dict _moved, _bulky, _ended, _taken
    cdef public double _until_s
    cdef public bint _is_due
    cdef public object _epoll, _loop

    @cython.locals(events=cython.int, now=cython.double)
    cpdef _dispatch(self)
    @cython.locals(events=cython.int, until_s=cython.double, taken=Py_ssize_t)
    cpdef double _serve(self, dict fetched, double now) except? -1.0
    @cython.locals(found=tuple)
    cpdef Py_ssize_t _call(self, dict callbacks, object fd) except? -1
    cpdef remove_reader(self, object fd)
    cpdef remove_writer(self, object fd)
    cpdef int _list_events(self, object fd) except? -1
    cpdef _grow(self, object fd, bint is_known)
    cpdef _shrink(self, object fd, int events)

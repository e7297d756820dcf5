cdef class Queue:
    cdef object _bare, _begun, _whole
    cdef public Py_ssize_t size

    cpdef put(self, exchange)
    cpdef discard(self, exchange)
    cpdef pop(self)
    cpdef find_next(self, bint is_fresh)
    cpdef find_unfinished(self, bint is_whole)

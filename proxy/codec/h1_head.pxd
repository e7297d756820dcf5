cimport cython

cdef bytes _IN_VALUE
cdef Py_ssize_t _NEAR_BYTES

@cython.locals(p=cython.p_uchar, at=Py_ssize_t, near=Py_ssize_t, found=Py_ssize_t)
cpdef Py_ssize_t find_end(bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -2

@cython.final
cdef class Beginning:
    cdef public Py_ssize_t lines, looked, max_bytes, max_first_bytes, max_lines
    cdef public str too_large, too_many
    cdef public bytes start

    @cython.locals(p=cython.p_uchar, in_value=cython.p_uchar, at=Py_ssize_t)
    cpdef look(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end)
    cpdef look_at_whole(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end)
    @cython.locals(start=bytes, size=Py_ssize_t)
    cdef int _check_start(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    cdef int _check_size(self, Py_ssize_t size, int byte) except -1

cpdef Beginning begin_head(Py_ssize_t max_bytes, Py_ssize_t max_fields, bytes start=*)
cpdef Beginning begin_trailers(Py_ssize_t max_bytes, Py_ssize_t max_fields)
cpdef check_bytes(bytes head, Py_ssize_t max_bytes, Py_ssize_t max_fields, bytes start=*)

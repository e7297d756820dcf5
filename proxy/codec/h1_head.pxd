cimport cython

from proxy.codec.h1_fields cimport is_legal

cdef Py_ssize_t _NEAR_BYTES

@cython.locals(p=cython.p_uchar, at=Py_ssize_t, near=Py_ssize_t, found=Py_ssize_t)
cpdef Py_ssize_t find_end(bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -2

@cython.locals(line=Py_ssize_t)
cpdef check_bytes(bytes text, Py_ssize_t max_bytes)

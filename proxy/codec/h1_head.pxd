cimport cython

from proxy.codec.h1_fields cimport is_legal

@cython.locals(line=Py_ssize_t)
cpdef check_bytes(bytes text, Py_ssize_t max_bytes)

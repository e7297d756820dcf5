cimport cython

@cython.locals(p=cython.p_uchar)
cpdef bytes cut(bytearray buf, Py_ssize_t start, Py_ssize_t end)

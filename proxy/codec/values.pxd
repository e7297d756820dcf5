cimport cython

cdef dict _TIMEOUT_UNITS_S, _DEFAULT_PORTS

cpdef bint is_same_host(bytes scheme, bytes authority, bytes host) except -1

@cython.locals(p=cython.p_uchar, size=Py_ssize_t)
cpdef bint is_grpc(bytes content_type) except -1

cpdef bint is_trailers(bytes te) except -1

@cython.locals(p=cython.p_uchar, at=Py_ssize_t, digit=cython.int, number=cython.longlong)
cpdef long long read_number(bytes value, Py_ssize_t size, Py_ssize_t max_digits) except -2

@cython.locals(number=cython.longlong)
cpdef double read_delay(bytes value, double unit_s) except -2

@cython.locals(p=cython.p_uchar, digits=Py_ssize_t, number=cython.longlong, unit_s=cython.double)
cpdef double read_timeout(bytes value) except -2

cimport cython

from proxy.codec.values cimport read_delay, read_number

cdef bytes _LEGAL, _BLANKS
cdef dict _KIND_BY_NAME
cdef int HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, EXPECT, KEEP_ALIVE, RETRY_AFTER

@cython.final
cdef class Fields:
    cdef public list lines, names, tokens
    cdef public bint altered, chunked, close, keep_alive, te_trailers, expects_continue
    cdef public bytes host, upgrade
    cdef public long long content_length
    cdef public double keep_alive_s, retry_after_s

    @cython.locals(at=Py_ssize_t)
    cpdef read(self, list lines, Py_ssize_t first, Py_ssize_t max_fields)
    @cython.locals(colon=Py_ssize_t, name=bytes, kind=cython.int)
    cdef _read_line(self, bytes line)
    cdef bint _read_special(self, int kind, bytes value) except -1
    cdef _read_hop(self, int kind, bytes value)
    cdef _read_connection(self, bytes value)
    cdef _remove_named(self, list tokens)
    cpdef bint wants_upgrade(self) except -1

cpdef bint is_legal(bytes text) except -1
cpdef bytes read_trailers(bytes text, Py_ssize_t max_fields)

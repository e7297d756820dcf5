cimport cython

from proxy.codec.values cimport read_delay, read_number

cdef bytes _LEGAL, _BLANKS, _IN_NAME, _IN_VALUE, _LIKE_KNOWN
cdef Py_ssize_t _MAX_KNOWN
cdef int _LOWER, _SIZE_BITS
cdef tuple _NAMES
cdef int HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, EXPECT, KEEP_ALIVE, RETRY_AFTER

@cython.final
cdef class Fields:
    cdef public list parts, tokens
    cdef public bint altered, chunked, close, keep_alive, of_response, te_trailers, expects_continue
    cdef public bytes host, raw, upgrade
    cdef public Py_ssize_t begin, end
    cdef public long long content_length
    cdef public double keep_alive_s, retry_after_s

    @cython.locals(p=cython.p_uchar, in_name=cython.p_uchar, in_value=cython.p_uchar, count=Py_ssize_t, start=Py_ssize_t,
                   colon=Py_ssize_t, kept_from=Py_ssize_t, kind=cython.int)
    cpdef read(self, bytes raw, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t max_fields)
    cpdef bytes kept(self)
    cdef bint _read_special(self, int kind, bytes value) except -1
    cdef bint _read_length(self, long long length) except -1
    cdef _read_hop(self, int kind, bytes value)
    cdef _read_coding(self, bytes coding)
    cdef _read_connection(self, bytes value)
    cdef _remove_named(self, list tokens)
    cpdef bint wants_upgrade(self) except -1

@cython.locals(p=cython.p_uchar, like_known=cython.p_uchar, known=cython.p_uchar, name=bytes, size=Py_ssize_t,
               at=Py_ssize_t, kind=cython.int)
cdef int find_kind(bytes raw, Py_ssize_t start, Py_ssize_t colon) except -1
@cython.locals(p=cython.p_uchar)
cdef bytes strip(bytes raw, Py_ssize_t begin, Py_ssize_t end)
cpdef bytes without(bytes lines, frozenset names)
cpdef bint is_legal(bytes text) except -1
cpdef bytes read_trailers(bytes text, Py_ssize_t max_fields)

cimport cython

from proxy.codec.buffer cimport cut
from proxy.codec.h1_fields cimport is_legal, read_trailers
from proxy.codec.h1_head cimport Beginning, begin_trailers, find_end

cdef int _SIZE, _DATA, _DATA_END, _TRAILERS, _DONE, _FREE_BYTES

@cython.final
cdef class ChunkReader:
    cdef public int state
    cdef public long long left, excess_bytes
    cdef public Py_ssize_t max_bytes, max_fields
    cdef public bytes trailers
    cdef public bint of_response
    cdef public Beginning beginning

    cpdef begin(self)
    @cython.locals(before=Py_ssize_t)
    cpdef Py_ssize_t advance(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    cpdef consume(self, Py_ssize_t size)
    @cython.locals(p=cython.p_uchar, number=cython.longlong, at=Py_ssize_t, digit=cython.int, after=Py_ssize_t, stop=Py_ssize_t)
    cdef Py_ssize_t _read_size(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    @cython.locals(after=Py_ssize_t)
    cdef Py_ssize_t _find_line_end(self, bytearray buf, Py_ssize_t pos, Py_ssize_t at, Py_ssize_t end) except -2
    @cython.locals(p=cython.p_uchar)
    cdef Py_ssize_t _read_data_end(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    @cython.locals(p=cython.p_uchar, at=Py_ssize_t, beginning=Beginning)
    cdef Py_ssize_t _read_trailers(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1

cpdef int hex_digit(int byte) except -2
cpdef bytes encode_size(long long size)

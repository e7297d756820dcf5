cimport cython

from proxy.codec.buffer cimport cut

cdef bint _COMPILED
cdef int _EMITS, _ENDS, _FAILS
cdef bytes _NEXT, _SYMBOL, _FLAGS
cdef bytearray _SCRATCH

cpdef bytes decode_huffman(bytes block, Py_ssize_t at, Py_ssize_t end)

@cython.locals(out=bytearray, p=cython.p_uchar, q=cython.p_uchar, follow=cython.p_uchar, emit=cython.p_uchar,
               flag=cython.p_uchar, step=cython.int, state=cython.int, size=Py_ssize_t, failed=cython.int,
               flags=cython.int)
cpdef bytes decode_by_nibble(bytes block, Py_ssize_t at, Py_ssize_t end)

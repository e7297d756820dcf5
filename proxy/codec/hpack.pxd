cimport cython

from proxy.codec.fields cimport Field, FieldName, make_literal, make_name
from proxy.codec.huffman cimport decode_huffman

cdef int STATIC_ENTRIES, _ABANDON_FACTOR
cdef Py_ssize_t MAX_REFERRED_BYTES
cdef list STATIC_FIELDS
cdef Field NO_FIELD
cdef dict _NAMES

@cython.final
cdef class Decoder:
    cdef list _table
    cdef Py_ssize_t _at, _first, _capacity_bytes, _limit_bytes, _max_list_bytes, _max_fields
    cdef readonly Py_ssize_t table_bytes, literals, referred_bytes
    cdef readonly bint changed, oversize

    @cython.locals(fields=list, table=list, field=Field, p=cython.p_uchar, at=Py_ssize_t, end=Py_ssize_t,
                   first=cython.int, index=Py_ssize_t, slot=Py_ssize_t, room=cython.longlong, left=Py_ssize_t)
    cpdef list decode(self, bytes block)

    @cython.locals(slot=Py_ssize_t)
    cdef Field _find(self, Py_ssize_t index)

    @cython.locals(p=cython.p_uchar, end=Py_ssize_t, shift=cython.int, octet=cython.longlong)
    cdef Py_ssize_t _read_integer(self, bytes block, Py_ssize_t at, Py_ssize_t value) except -1

    @cython.locals(p=cython.p_uchar, end=Py_ssize_t, length=Py_ssize_t)
    cdef Py_ssize_t _read_string(self, bytes block, Py_ssize_t at) except -1

    @cython.locals(p=cython.p_uchar, first=cython.int, mask=cython.int, index=Py_ssize_t, start=Py_ssize_t,
                   end=Py_ssize_t, label=FieldName, value=bytes, field=Field)
    cdef Field _read_literal(self, bytes block, Py_ssize_t at)

    @cython.locals(p=cython.p_uchar, start=Py_ssize_t, end=Py_ssize_t, raw=bytes, text=bytes, label=FieldName)
    cdef FieldName _read_name(self, bytes block, Py_ssize_t at)

    cdef int _insert(self, Field field) except -1

    @cython.locals(table=list)
    cdef int _evict(self) except -1

    @cython.locals(p=cython.p_uchar, size_bytes=Py_ssize_t)
    cdef Py_ssize_t _resize(self, bytes block, Py_ssize_t at) except -1

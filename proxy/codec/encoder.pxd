cimport cython

from proxy.codec.fields cimport Field, FieldName

cdef int STATIC_ENTRIES
cdef Py_ssize_t _MIN_BYTES

@cython.final
cdef class Encoder:
    cdef Py_ssize_t _capacity_bytes, _free_bytes
    cdef bint _announced
    cdef dict _numbers
    cdef object _entries
    cdef long long _inserted

    @cython.locals(field=Field, pieces=list)
    cpdef bytes encode(self, list fields)

    @cython.locals(number=cython.longlong, oldest=Field)
    cdef bytes _refer(self, Field field)

@cython.locals(label=FieldName, index=cython.int, name=bytes)
cpdef bytes encode_indexed(Field field)

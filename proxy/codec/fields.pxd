cimport cython

# Fields hold bytes only, so no cycle can go through them: the garbage collector need not see them.
@cython.final
@cython.no_gc
cdef class FieldName:
    cdef public bytes text, literal, never
    cdef public int kind
    cdef public bint strict
    cdef public Py_ssize_t size

@cython.final
@cython.no_gc
cdef class Field:
    cdef public FieldName label
    cdef public bytes name, value, encoded
    cdef public int kind
    cdef public bint repeated
    cdef public Py_ssize_t size

@cython.locals(p=cython.p_uchar, size=Py_ssize_t)
cpdef bint is_legal_value(bytes value) except -1

cpdef bint is_legal_part(int kind, bytes value) except -1

cpdef FieldName make_name(bytes text, bytes raw)

@cython.locals(field=Field)
cpdef Field make_literal(FieldName label, bytes value, bytes raw, bint never_indexed)

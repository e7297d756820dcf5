cimport cython

from proxy.codec.fields cimport Field
from proxy.codec.hpack cimport Decoder
from proxy.codec.values cimport is_grpc, is_same_host, is_trailers, read_delay, read_number, read_timeout

cdef int METHOD, SCHEME, AUTHORITY, PATH, STATUS, OTHER_PSEUDO, HOST, CONTENT_LENGTH, CONTENT_TYPE, GRPC_STATUS
cdef int GRPC_TIMEOUT, GRPC_PUSHBACK, RETRY_AFTER, TE, CONNECTION_SPECIFIC, MALFORMED, KINDS
cdef int _REQUEST, _RESPONSE, _TRAILERS
cdef int _OF_REQUEST, _NOT_IN_REQUEST, _NOT_IN_RESPONSE, _NOT_IN_TRAILERS, _CONNECT, _REQUIRED, _NUMBERS
cdef bytes _SCHEME_CHARACTERS
cdef Py_ssize_t BULKY_BYTES

@cython.final
cdef class HeaderBlock:
    cdef public list fields
    cdef public bytes encoded, method, scheme, authority, path, content_type
    cdef public str malformed
    cdef public bint oversize, bulky, informational, grpc
    cdef public int status, grpc_status
    cdef public long long content_length, epoch
    cdef public Py_ssize_t size
    cdef public double grpc_timeout_s, pushback_s
    cdef public object decision

    @cython.locals(special=list, fault=str, seen=cython.int, size=Py_ssize_t, regular=cython.int, kind=cython.int,
                   field=Field)
    cdef str _read(self, int position)

    cdef str _read_request(self, list special, int seen)

    @cython.locals(status=cython.int)
    cdef str _read_response(self, bytes value, int seen)

    @cython.locals(value=bytes)
    cdef int _read_numbers(self, list special, int seen) except -1

@cython.locals(block=HeaderBlock, field=Field, fault=str)
cpdef HeaderBlock make_block(int position, list fields, bint oversize=*)

cpdef str find_repetition(int kind, bytes first, bytes second)

cpdef str describe_forbidden(int kinds)

@cython.locals(scheme=bytes, path=bytes, p=cython.p_uchar)
cpdef str find_target_fault(HeaderBlock block)

@cython.final
cdef class HeaderReader:
    cdef Decoder _decoder
    cdef Py_ssize_t _memo_bytes, _free_bytes
    cdef tuple _memos

    @cython.locals(memo=dict, decoder=Decoder, headers=HeaderBlock)
    cpdef HeaderBlock read(self, int position, bytes block)

    @cython.locals(memo=dict)
    cpdef forget(self)

    @cython.locals(cost_bytes=Py_ssize_t)
    cdef int _remember(self, dict memo, bytes block, HeaderBlock headers) except -1

cimport cython

from proxy.codec.buffer cimport cut
from proxy.codec.h1_chunks cimport ChunkReader, encode_size
from proxy.codec.h1_head cimport Beginning, begin_head, find_end
from proxy.codec.h1_memo cimport HeadMemo

cdef int _HEAD, _FIXED_BODY, _CHUNKED_BODY, _OPEN_BODY, _TUNNEL, _NOTHING
cdef int _HEAD_COST
cdef int _NO_BODY, _LENGTH, _CHUNKED, _UNTIL_CLOSE, _DATA, _TRAILERS, _DONE

cdef class Http1Connection:
    cdef public HeadMemo memo
    cdef public list flushes
    cdef public bytes out
    cdef public object io, owner
    cdef public bint resting, aborted, blocked, closed, dirty, ended, finishing, paused
    cdef public str fault
    cdef public double now
    cdef public int reading, sending
    cdef public long long left, messages, most, turn
    cdef public ChunkReader chunks
    cdef public Beginning beginning

    cpdef head_received(self, bytes raw, bint clean)
    cpdef data_received(self, bytes piece)
    cpdef message_received(self, bytes trailers, bint clean)
    cpdef Beginning make_beginning(self)
    cpdef surplus_received(self)
    cpdef faulted(self, int status, str reason)
    cpdef peer_ended(self, double now)
    cpdef lost(self, str reason, double now)
    cpdef block(self)
    cpdef unblock(self)

    @cython.locals(pos=Py_ssize_t, before=Py_ssize_t)
    cpdef Py_ssize_t feed(self, bytearray buf, Py_ssize_t start, Py_ssize_t end, double now) except -1
    @cython.locals(at=Py_ssize_t, beginning=Beginning)
    cpdef Py_ssize_t _read_head(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    @cython.locals(size=Py_ssize_t)
    cdef Py_ssize_t _read_fixed(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    @cython.locals(size=Py_ssize_t, chunks=ChunkReader, pieces=list)
    cdef Py_ssize_t _read_chunks(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    cdef bint _has_had_turn(self) except -1
    cpdef Py_ssize_t _read_surplus(self, bytearray buf, Py_ssize_t pos, Py_ssize_t end) except -1
    cpdef bint is_in_trailers(self) except -1
    cpdef await_head(self)
    cpdef await_body(self, int framing, long long content_length, bint of_response)
    cpdef pause(self)
    cpdef resume(self)
    cpdef touch(self)
    cpdef bytes take(self)
    cpdef put(self, bytes data)
    cpdef send_head(self, bytes head, int framing)
    @cython.locals(size=Py_ssize_t)
    cpdef send_data(self, bytes piece)
    cpdef send_end(self, bytes trailers)
    cpdef tunnel(self)
    cpdef finish(self)
    cpdef close(self)
    cpdef abort(self)

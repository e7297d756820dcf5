cimport cython

from proxy.codec.buffer cimport cut

cdef int ACK, CONTINUATION, DEFAULT_MAX_FRAME_BYTES, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM
cdef int SETTINGS, WINDOW_UPDATE
cdef bytearray _HEAD

@cython.locals(p=cython.p_uchar)
cpdef bytes encode_head(long length, long kind, long flags, long stream_id)
cpdef bytes encode_number(unsigned long value)
cpdef bytes encode_ping(bytes opaque, bint ack=*)
cpdef bytes encode_goaway(unsigned long last_stream_id, unsigned long code, bytes debug=*)
cpdef bytes encode_rst_stream(long stream_id, unsigned long code)
cpdef bytes encode_window_update(long stream_id, unsigned long increment_bytes)
cpdef bytes encode_headers(long stream_id, bytes block, bint end_stream)

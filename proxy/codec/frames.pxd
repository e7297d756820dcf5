cdef int ACK, CONTINUATION, DEFAULT_MAX_FRAME_BYTES, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, SETTINGS
cdef bytes _RST_STREAM_HEAD, _WINDOW_UPDATE_HEAD

cpdef bytes encode_head(long length, long kind, long flags)
cpdef bytes encode_id(unsigned long stream_id)
cpdef bytes encode_ping(bytes opaque, bint ack=*)
cpdef bytes encode_goaway(unsigned long last_stream_id, unsigned long code, bytes debug=*)
cpdef bytes encode_rst_stream(bytes wire_id, unsigned long code)
cpdef bytes encode_window_update(bytes wire_id, unsigned long increment_bytes)
cpdef bytes encode_headers(bytes wire_id, bytes block, bint end_stream)

cimport cython

@cython.final
cdef class Stream:
    cdef public object conn  # a Connection; users type a local, since the two modules cannot cimport each other
    cdef public unsigned int id
    cdef public int recv_state
    cdef public int send_state
    cdef public long long send_window
    cdef public long long recv_window
    cdef public long long window_target
    cdef public long long uncredited
    cdef public long long content_left
    cdef public double opened_s
    cdef public object queue
    cdef public bint queue_end
    cdef public bytes queue_trailers
    cdef public Stream peer
    cdef public object owner

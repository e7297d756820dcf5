# What `send.py` has in Python. The socket does not block, so the interpreter's lock is kept: to let go of it costs more
# than the rest.
cdef extern from *:
    """
    #include <errno.h>
    #include <sys/socket.h>

    static Py_ssize_t send_now(int fd, PyObject *data) {
        Py_ssize_t sent = send(fd, PyBytes_AS_STRING(data), (size_t) PyBytes_GET_SIZE(data), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) return sent;
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
    }
    """
    Py_ssize_t send_now(int fd, bytes data)

#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 * 1024 };

static uint8_t buffer[BUFFER_BYTES]; /* one for all connections: it is empty between calls */

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void end_with_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
}

static void set_interest(struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(connection->epoll, operation, connection->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

void watch(struct connection *connection, int fd, int epoll)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->fd = fd;
    connection->epoll = epoll;
    set_interest(connection, EPOLL_CTL_ADD, EPOLLIN);
}

bool receive(struct connection *connection, const char **why)
{
    ssize_t got = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0) {
        *why = got == 0 ? "the peer closed the connection" : strerror(errno);
        return false;
    }
    ssize_t used = nghttp2_session_mem_recv(connection->session, buffer, (size_t)got);
    if (used < 0) {
        *why = nghttp2_strerror((int)used);
        return false;
    }
    connection->dirty = true;
    return true;
}

static bool send_some(struct connection *connection, const uint8_t *data, size_t length, size_t *sent, const char **why)
{
    *sent = 0;
    while (*sent < length) {
        ssize_t wrote = send(connection->fd, data + *sent, length - *sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0 && errno == EAGAIN)
            return true;
        if (wrote < 0) {
            *why = strerror(errno);
            return false;
        }
        *sent += (size_t)wrote;
    }
    return true;
}

static bool send_unsent(struct connection *connection, const char **why)
{
    size_t sent;
    if (!send_some(connection, connection->unsent, connection->unsent_bytes, &sent, why))
        return false;
    connection->unsent_bytes -= sent;
    memmove(connection->unsent, connection->unsent + sent, connection->unsent_bytes);
    if (connection->unsent_bytes)
        return true;
    free(connection->unsent);
    connection->unsent = NULL;
    set_interest(connection, EPOLL_CTL_MOD, EPOLLIN);
    return true;
}

static bool send_buffer(struct connection *connection, size_t length, const char **why)
{
    size_t sent;
    if (!send_some(connection, buffer, length, &sent, why))
        return false;
    if (sent == length)
        return true;
    connection->unsent_bytes = length - sent;
    connection->unsent = malloc(connection->unsent_bytes);
    memcpy(connection->unsent, buffer + sent, connection->unsent_bytes);
    set_interest(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    return true;
}

bool flush(struct connection *connection, const char **why)
{
    connection->dirty = false;
    if (connection->unsent && !send_unsent(connection, why))
        return false;
    while (!connection->unsent) {
        size_t filled = 0;
        const uint8_t *data;
        ssize_t length = 1;
        /* mem_send returns at most one frame (16 KiB and its header) */
        while (filled + 32 * 1024 < BUFFER_BYTES
               && (length = nghttp2_session_mem_send(connection->session, &data)) > 0) {
            memcpy(buffer + filled, data, (size_t)length);
            filled += (size_t)length;
        }
        if (length < 0) {
            *why = nghttp2_strerror((int)length);
            return false;
        }
        if (filled == 0)
            return true;
        if (!send_buffer(connection, filled, why))
            return false;
    }
    return true;
}

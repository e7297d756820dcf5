/* One non-blocking TCP connection that carries an nghttp2 session; both programs use it. All that one turn of the
 * event loop produced for a connection leaves in one write, as a good gRPC library does. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

struct connection {
    int fd;
    int epoll;
    nghttp2_session *session;
    uint8_t *unsent; /* what the kernel did not take, NULL if nothing */
    size_t unsent_bytes;
    bool dirty; /* has something to flush at the end of this turn */
};

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void end_with_parent(void);
void watch(struct connection *connection, int fd, int epoll);
/* Both return false when the peer closed or broke the connection; `why` then says how. */
bool receive(struct connection *connection, const char **why);
bool flush(struct connection *connection, const char **why);

#endif

/* A gRPC-shaped HTTP/2 server: every request (HEADERS, then DATA with one message) is checked and answered by
 * HEADERS, DATA with one message, and trailers with grpc-status. It is the same for every peer.
 * Usage: backend ID (1..255). It prints {"port": N} and serves until it is killed or its parent ends. */
#include "connection.h"
#include "message.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct stream {
    uint8_t body[MESSAGE_BYTES];
    size_t received;
    bool is_grpc, has_te, has_span;
    uint64_t span;
    size_t sent;
    const char *status;
};

#define FIELD(n, v) {(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, \
                     NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}
#define IS(text, length, literal) ((length) == sizeof(literal) - 1 && memcmp(text, literal, sizeof(literal) - 1) == 0)

static uint8_t backend_id;
static const nghttp2_nv RESPONSE[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc")};

static uint64_t parse_hex(const uint8_t *text, size_t digits)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++)
        value = value << 4 | (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
    return value;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)context;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, calloc(1, sizeof(struct stream)));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                     const uint8_t *value, size_t value_bytes, uint8_t flags, void *context)
{
    (void)flags, (void)context;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    if (IS(name, name_bytes, "content-type"))
        stream->is_grpc = IS(value, value_bytes, "application/grpc");
    else if (IS(name, name_bytes, "te"))
        stream->has_te = IS(value, value_bytes, "trailers");
    else if (IS(name, name_bytes, "traceparent") && value_bytes == 55) {
        stream->has_span = true;
        stream->span = parse_hex(value + 36, 16);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t length, void *context)
{
    (void)flags, (void)context;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream && stream->received + length <= MESSAGE_BYTES)
        memcpy(stream->body + stream->received, data, length);
    if (stream)
        stream->received += length;
    return 0;
}

/* In the mode with unique headers the span id repeats the sequence number, so that headers of another request (a
 * proxy that serves a stale memo) are found out. */
static const char *judge(const struct stream *stream)
{
    if (!stream->is_grpc || !stream->has_te)
        return "3";
    if (stream->received != MESSAGE_BYTES)
        return "11";
    if (stream->has_span && stream->span != message_sequence(stream->body))
        return "15";
    return "0";
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *context)
{
    (void)context;
    struct stream *stream = source->ptr;
    size_t length = MESSAGE_BYTES - stream->sent < room ? MESSAGE_BYTES - stream->sent : room;
    memcpy(out, stream->body + stream->sent, length);
    stream->sent += length;
    if (stream->sent == MESSAGE_BYTES) {
        nghttp2_nv trailers = FIELD("grpc-status", "");
        trailers.value = (uint8_t *)stream->status;
        trailers.valuelen = strlen(stream->status);
        nghttp2_submit_trailer(session, id, &trailers, 1);
        *flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return (ssize_t)length;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)context;
    bool carries_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!carries_end || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    stream->status = judge(stream);
    message_encode(stream->body, message_sequence(stream->body), backend_id);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_body};
    nghttp2_submit_response(session, frame->hd.stream_id, RESPONSE, 2, &provider);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    (void)code, (void)context;
    free(nghttp2_session_get_stream_user_data(session, id));
    nghttp2_session_set_stream_user_data(session, id, NULL);
    return 0;
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    return callbacks;
}

static void accept_one(int listener, int epoll, nghttp2_session_callbacks *callbacks)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *connection = calloc(1, sizeof *connection);
    nghttp2_session_server_new(&connection->session, callbacks, connection);
    nghttp2_settings_entry limit = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000};
    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, &limit, 1);
    watch(connection, fd, epoll);
}

static void drop(struct connection *connection)
{
    close(connection->fd);
    nghttp2_session_del(connection->session);
    free(connection->unsent);
    free(connection);
}

static int listen_anywhere(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1024) < 0)
        die("backend: cannot listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **arguments)
{
    if (count != 2 || atoi(arguments[1]) < 1 || atoi(arguments[1]) > 255)
        die("usage: backend ID (1..255)");
    backend_id = (uint8_t)atoi(arguments[1]);
    end_with_parent();
    int listener = listen_anywhere();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    nghttp2_session_callbacks *callbacks = make_callbacks();
    struct epoll_event events[64] = {{.events = EPOLLIN, .data.ptr = NULL}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]);
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            const char *why;
            if (!connection)
                accept_one(listener, epoll, callbacks);
            else if (((events[i].events & ~EPOLLOUT) && !receive(connection, &why)) || !flush(connection, &why))
                drop(connection);
        }
    }
}

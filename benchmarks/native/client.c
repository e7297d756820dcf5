#include "client.h"
#include "message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct request {
    uint64_t sequence, due_ns;
    uint8_t message[MESSAGE_BYTES];
    size_t moved; /* bytes of the request sent; once all are sent: bytes of the answer received */
    bool sent, is_ok, has_grpc_status;
    char grpc_status[8];
};

#define STATIC_FIELD(n, v) {(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, \
                            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}
#define IS(text, length, literal) ((length) == sizeof(literal) - 1 && memcmp(text, literal, sizeof(literal) - 1) == 0)

enum { SAME_FIELDS = 9, UNIQUE_FIELDS = 11 };

static const nghttp2_nv FIELDS[UNIQUE_FIELDS] = {
    STATIC_FIELD(":method", "POST"),
    STATIC_FIELD(":scheme", "http"),
    STATIC_FIELD(":path", "/emojivoto.v1.VotingService/VoteDoughnut"),
    STATIC_FIELD(":authority", "voting.emojivoto.svc.cluster.local:8080"),
    STATIC_FIELD("te", "trailers"),
    STATIC_FIELD("content-type", "application/grpc"),
    STATIC_FIELD("user-agent", "grpc-go/1.71.0"),
    STATIC_FIELD("grpc-accept-encoding", "identity, deflate, gzip"),
    STATIC_FIELD("x-client-id", "web-7d9c5b7f4d-x2x9q"),
    STATIC_FIELD("traceparent", ""),
    STATIC_FIELD("grpc-timeout", ""),
};

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *context)
{
    (void)session, (void)id, (void)context;
    struct request *request = source->ptr;
    size_t length = MESSAGE_BYTES - request->moved < room ? MESSAGE_BYTES - request->moved : room;
    memcpy(out, request->message + request->moved, length);
    request->moved += length;
    if (request->moved == MESSAGE_BYTES) {
        request->moved = 0;
        request->sent = true;
        *flags = NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)length;
}

static void set_value(nghttp2_nv *field, char *text, int length)
{
    field->value = (uint8_t *)text;
    field->valuelen = (size_t)length;
    field->flags = NGHTTP2_NV_FLAG_NO_COPY_NAME; /* nghttp2 copies the value */
}

void client_request(struct client *client, uint64_t due_ns)
{
    struct request *request = calloc(1, sizeof *request);
    request->sequence = ++client->totals->started;
    request->due_ns = due_ns;
    message_encode(request->message, request->sequence, 0);
    nghttp2_nv fields[UNIQUE_FIELDS];
    memcpy(fields, FIELDS, sizeof fields);
    char trace[64], timeout[16];
    if (client->unique_headers) {
        unsigned long long sequence = request->sequence;
        set_value(&fields[9], trace, snprintf(trace, sizeof trace, "00-%016llx%016llx-%016llx-01",
                                              sequence * 0x9e3779b97f4a7c15u, ~sequence, sequence));
        set_value(&fields[10], timeout, snprintf(timeout, sizeof timeout, "%lluu", 20000000 + sequence % 70000000));
    }
    nghttp2_data_provider provider = {.source.ptr = request, .read_callback = read_body};
    int32_t id = nghttp2_submit_request(client->connection.session, NULL, fields,
                                        client->unique_headers ? UNIQUE_FIELDS : SAME_FIELDS, &provider, request);
    if (id < 0)
        die("cannot start a request: %s", nghttp2_strerror(id));
    client->connection.dirty = true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                     const uint8_t *value, size_t value_bytes, uint8_t flags, void *context)
{
    (void)flags, (void)context;
    struct request *request = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (IS(name, name_bytes, ":status"))
        request->is_ok = IS(value, value_bytes, "200");
    if (IS(name, name_bytes, "grpc-status")) {
        request->has_grpc_status = true;
        snprintf(request->grpc_status, sizeof request->grpc_status, "%.*s", (int)value_bytes, (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t length, void *context)
{
    (void)flags, (void)context;
    struct request *request = nghttp2_session_get_stream_user_data(session, id);
    if (request->sent && request->moved + length <= MESSAGE_BYTES)
        memcpy(request->message + request->moved, data, length);
    request->moved += length;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)session;
    struct client *client = context;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        die("the peer sent GOAWAY with code %u", frame->goaway.error_code);
    if (frame->hd.type == NGHTTP2_SETTINGS) {
        *(frame->hd.flags & NGHTTP2_FLAG_ACK ? &client->ack_seen : &client->settings_seen) = true;
        client->settled = client->settings_seen && client->ack_seen;
    }
    return 0;
}

static void check(const struct request *request, uint32_t code)
{
    if (code != NGHTTP2_NO_ERROR)
        die("a request was reset: %s", nghttp2_http2_strerror(code));
    if (!request->is_ok)
        die("an answer's :status was not 200");
    if (!request->has_grpc_status)
        die("an answer had no grpc-status");
    if (strcmp(request->grpc_status, "0") != 0)
        die("an answer's grpc-status was %s", request->grpc_status);
    if (request->moved != MESSAGE_BYTES)
        die("an answer had %zu bytes of DATA instead of %d", request->moved, MESSAGE_BYTES);
    if (message_sequence(request->message) != request->sequence)
        die("an answer belonged to another request");
    if (message_backend(request->message) < 1 || message_backend(request->message) > MAX_BACKENDS)
        die("an answer came from no known backend");
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    struct client *client = context;
    struct totals *totals = client->totals;
    struct request *request = nghttp2_session_get_stream_user_data(session, id);
    check(request, code);
    totals->completed++;
    uint64_t now = now_ns();
    if (totals->counting && request->due_ns >= totals->window_start_ns) {
        totals->counted++;
        totals->backends[message_backend(request->message) - 1]++;
        latency_record(&totals->latencies, now - request->due_ns);
    }
    free(request);
    if (client->refill)
        client_request(client, now);
    return 0;
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    return callbacks;
}

void client_open(struct client *client, int epoll, const char *host, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die("%s is not an IPv4 address", host);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("cannot connect to %s:%d: %s", host, port, strerror(errno));
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_session_client_new(&client->connection.session, callbacks, client);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(client->connection.session, NGHTTP2_FLAG_NONE, NULL, 0);
    watch(&client->connection, fd, epoll);
    client_flush(client);
}

void client_flush(struct client *client)
{
    const char *why;
    if (!flush(&client->connection, &why))
        die("while sending: %s", why);
}

void client_receive(struct client *client)
{
    const char *why;
    if (!receive(&client->connection, &why))
        die("while receiving: %s", why);
}

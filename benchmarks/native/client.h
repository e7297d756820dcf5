/* The client's side of one HTTP/2 connection: builds requests, checks every answer, keeps the counts. */
#ifndef CLIENT_H
#define CLIENT_H

#include "connection.h"
#include "latency.h"

enum { MAX_BACKENDS = 8 };

struct totals {
    uint64_t started, completed;          /* over the whole run */
    bool counting;                        /* inside the measured window */
    uint64_t counted;                     /* completed inside the window */
    uint64_t backends[MAX_BACKENDS];      /* of those, by the backend that answered */
    uint64_t window_start_ns;             /* open loop: a request counts when it was due inside the window */
    struct latencies latencies, lateness; /* lateness: how long after its due time a request was handed over */
};

struct client {
    struct connection connection; /* first: epoll hands back its address */
    struct totals *totals;
    bool unique_headers;
    bool refill; /* closed loop: an answer starts the next request */
    bool settled; /* the peer's SETTINGS and its ACK of ours have come */
    bool settings_seen, ack_seen;
};

uint64_t now_ns(void);
void client_open(struct client *client, int epoll, const char *host, int port);
/* Starts a request that was due at `due_ns`; it leaves at the next flush. */
void client_request(struct client *client, uint64_t due_ns);
void client_flush(struct client *client);
void client_receive(struct client *client);

#endif

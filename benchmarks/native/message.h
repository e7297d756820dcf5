/* The one gRPC message that both sides exchange: a 5-byte prefix, the request's sequence number, the id of the
 * backend that answered (0 in requests), filler. The sequence number and the id make every answer checkable: it must
 * belong to this very request, and it tells which backend served it, without a header that would spoil "same headers". */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdint.h>
#include <string.h>

enum { PREFIX_BYTES = 5, SEQUENCE_BYTES = 8, PAYLOAD_BYTES = 32, MESSAGE_BYTES = PREFIX_BYTES + PAYLOAD_BYTES };

static inline void message_encode(uint8_t out[MESSAGE_BYTES], uint64_t sequence, uint8_t backend)
{
    memset(out, 'x', MESSAGE_BYTES);
    out[0] = 0;
    out[1] = out[2] = out[3] = 0;
    out[4] = PAYLOAD_BYTES;
    for (int i = 0; i < SEQUENCE_BYTES; i++)
        out[PREFIX_BYTES + i] = (uint8_t)(sequence >> (8 * (SEQUENCE_BYTES - 1 - i)));
    out[PREFIX_BYTES + SEQUENCE_BYTES] = backend;
}

static inline uint64_t message_sequence(const uint8_t in[MESSAGE_BYTES])
{
    uint64_t sequence = 0;
    for (int i = 0; i < SEQUENCE_BYTES; i++)
        sequence = sequence << 8 | in[PREFIX_BYTES + i];
    return sequence;
}

static inline uint8_t message_backend(const uint8_t in[MESSAGE_BYTES])
{
    return in[PREFIX_BYTES + SEQUENCE_BYTES];
}

#endif

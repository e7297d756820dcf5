/* Every latency of a run, kept whole, so that percentiles are exact. */
#ifndef LATENCY_H
#define LATENCY_H

#include <stddef.h>
#include <stdint.h>

struct latencies {
    uint64_t *ns;
    size_t count, room;
};

void latency_record(struct latencies *latencies, uint64_t ns);
/* Prints {"p50": ..., "p90": ..., "p99": ..., "p999": ..., "max": ..., "mean": ...} in microseconds. */
void latency_print(struct latencies *latencies);

#endif

#include "latency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void latency_record(struct latencies *latencies, uint64_t ns)
{
    if (latencies->count == latencies->room) {
        latencies->room = latencies->room ? latencies->room * 2 : 65536;
        latencies->ns = realloc(latencies->ns, latencies->room * sizeof *latencies->ns);
    }
    latencies->ns[latencies->count++] = ns;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The nearest-rank percentile: the smallest value that at least `share` of all values do not exceed. */
static double percentile_us(const struct latencies *latencies, double share)
{
    if (latencies->count == 0)
        return 0;
    size_t rank = (size_t)ceil(share * (double)latencies->count);
    return (double)latencies->ns[rank ? rank - 1 : 0] / 1e3;
}

void latency_print(struct latencies *latencies)
{
    qsort(latencies->ns, latencies->count, sizeof *latencies->ns, compare);
    double sum = 0;
    for (size_t i = 0; i < latencies->count; i++)
        sum += (double)latencies->ns[i] / 1e3;
    printf("{\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f, \"mean\": %.1f}",
           percentile_us(latencies, 0.5), percentile_us(latencies, 0.9), percentile_us(latencies, 0.99),
           percentile_us(latencies, 0.999), percentile_us(latencies, 1),
           latencies->count ? sum / (double)latencies->count : 0);
}

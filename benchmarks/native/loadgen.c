/* The load generator: closed loop, open loop, or idle connections, over cleartext HTTP/2 with prior knowledge.
 * Any error, wrong answer or missing answer ends it with one sentence and exit code 1; else it prints one JSON object.
 * CPU clocks of other processes (--cpu NAME=PID+PID) are read at the edges of the measured window, to the nanosecond. */
#include "client.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLOCKS = 8, MAX_PIDS = 32, MAX_TARGETS = 8, TURN_EVENTS = 256 };

struct clock {
    char name[32];
    pid_t pids[MAX_PIDS];
    int count;
    uint64_t before_ns, spent_ns;
};

static struct {
    const char *mode;
    int connections, streams;
    double rate, warmup_s, duration_s, patience_s;
    bool unique_headers;
    struct { char host[64]; int port; } targets[MAX_TARGETS];
    int target_count;
    struct clock clocks[MAX_CLOCKS];
    int clock_count;
} options = {.mode = "closed", .connections = 8, .streams = 32, .rate = 1000, .warmup_s = 1, .duration_s = 3,
             .patience_s = 10};

static struct totals totals;
static struct client *clients;
static int epoll;
static char other; /* its address marks what is no connection: the timer, or standard input */

static uint64_t cpu_ns(const struct clock *clock)
{
    uint64_t sum = 0;
    for (int i = 0; i < clock->count; i++) {
        struct timespec spent;
        /* The kernel's CPUCLOCK_SCHED of a process: user and system time of all its threads, ended ones included. */
        clockid_t id = (~(clockid_t)clock->pids[i] << 3) | 2;
        if (clock_gettime(id, &spent) < 0)
            die("process %d (%s) has ended", (int)clock->pids[i], clock->name);
        sum += (uint64_t)spent.tv_sec * 1000000000u + (uint64_t)spent.tv_nsec;
    }
    return sum;
}

static void parse_clock(char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || options.clock_count == MAX_CLOCKS)
        die("--cpu takes NAME=PID+PID..., at most %d times", MAX_CLOCKS);
    *equals = 0;
    struct clock *clock = &options.clocks[options.clock_count++];
    snprintf(clock->name, sizeof clock->name, "%s", text);
    for (char *pid = strtok(equals + 1, "+"); pid && clock->count < MAX_PIDS; pid = strtok(NULL, "+"))
        clock->pids[clock->count++] = (pid_t)atoi(pid);
}

static void parse_targets(char *text)
{
    for (char *target = strtok(text, ","); target; target = strtok(NULL, ",")) {
        char *colon = strrchr(target, ':');
        if (!colon || options.target_count == MAX_TARGETS)
            die("--target takes HOST:PORT,..., at most %d", MAX_TARGETS);
        *colon = 0;
        snprintf(options.targets[options.target_count].host, sizeof options.targets[0].host, "%s", target);
        options.targets[options.target_count++].port = atoi(colon + 1);
    }
}

static void parse(int count, char **arguments)
{
    static const struct option NAMES[] = {
        {"mode", 1, 0, 'm'}, {"connections", 1, 0, 'c'}, {"streams", 1, 0, 's'}, {"rate", 1, 0, 'r'},
        {"warmup", 1, 0, 'w'}, {"duration", 1, 0, 'd'}, {"headers", 1, 0, 'h'}, {"target", 1, 0, 't'},
        {"cpu", 1, 0, 'p'}, {"patience", 1, 0, 'a'}, {0, 0, 0, 0}};
    for (int option; (option = getopt_long(count, arguments, "", NAMES, NULL)) != -1;)
        switch (option) {
        case 'm': options.mode = optarg; break;
        case 'c': options.connections = atoi(optarg); break;
        case 's': options.streams = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'w': options.warmup_s = atof(optarg); break;
        case 'd': options.duration_s = atof(optarg); break;
        case 'h': options.unique_headers = strcmp(optarg, "unique") == 0; break;
        case 't': parse_targets(optarg); break;
        case 'a': options.patience_s = atof(optarg); break;
        case 'p': parse_clock(optarg); break;
        default: exit(2);
        }
    if (!options.target_count || options.connections < 1 || options.streams < 1 || options.rate <= 0)
        die("usage: loadgen --target HOST:PORT[,...] [--mode closed|open|idle] [--connections N] [--streams N]\n"
            "       [--rate N] [--warmup S] [--duration S] [--headers same|unique] [--patience S]\n"
            "       [--cpu NAME=PID[+PID...]]");
}

/* Waits, and receives everything that is there. Returns whether `other` became readable. */
static bool turn(int timeout_ms)
{
    struct epoll_event events[TURN_EVENTS];
    bool other_ready = false;
    int ready = epoll_wait(epoll, events, TURN_EVENTS, timeout_ms);
    for (int i = 0; i < ready; i++) {
        struct client *client = events[i].data.ptr;
        if (events[i].data.ptr == &other)
            other_ready = true;
        else if (events[i].events & ~EPOLLOUT)
            client_receive(client);
        else
            client->connection.dirty = true;
    }
    return other_ready;
}

static void flush_all(void)
{
    for (int i = 0; i < options.connections; i++)
        if (clients[i].connection.dirty)
            client_flush(&clients[i]);
}

static void open_all(void)
{
    clients = calloc((size_t)options.connections, sizeof *clients);
    for (int i = 0; i < options.connections; i++) {
        int target = i % options.target_count;
        clients[i].totals = &totals;
        clients[i].unique_headers = options.unique_headers;
        client_open(&clients[i], epoll, options.targets[target].host, options.targets[target].port);
    }
    uint64_t deadline = now_ns() + (uint64_t)(options.patience_s * 1e9);
    for (int settled = 0; settled < options.connections;) {
        turn(100);
        flush_all();
        settled = 0;
        for (int i = 0; i < options.connections; i++)
            settled += clients[i].settled;
        if (now_ns() > deadline)
            die("%d of %d connections got no SETTINGS", options.connections - settled, options.connections);
    }
}

static void begin_window(uint64_t start_ns)
{
    totals.counting = true;
    totals.window_start_ns = start_ns;
    for (int i = 0; i < options.clock_count; i++)
        options.clocks[i].before_ns = cpu_ns(&options.clocks[i]);
}

static void end_window(void)
{
    for (int i = 0; i < options.clock_count; i++)
        options.clocks[i].spent_ns = cpu_ns(&options.clocks[i]) - options.clocks[i].before_ns;
}

static void drain(void)
{
    uint64_t deadline = now_ns() + (uint64_t)(options.patience_s * 1e9);
    while (totals.completed < totals.started) {
        turn(100);
        flush_all();
        if (now_ns() > deadline)
            die("%llu requests got no answer", (unsigned long long)(totals.started - totals.completed));
    }
}

static double run_closed(void)
{
    uint64_t begin = now_ns();
    uint64_t start = begin + (uint64_t)(options.warmup_s * 1e9), end = start + (uint64_t)(options.duration_s * 1e9);
    for (int i = 0; i < options.connections; i++) {
        clients[i].refill = true;
        for (int j = 0; j < options.streams; j++)
            client_request(&clients[i], begin);
    }
    uint64_t now;
    while ((now = now_ns()) < end) {
        if (!totals.counting && now >= start) {
            start = now;
            begin_window(0); /* every answer inside the window counts, whenever it was asked for */
        }
        flush_all();
        turn(100);
    }
    end_window();
    totals.counting = false;
    for (int i = 0; i < options.connections; i++)
        clients[i].refill = false;
    flush_all();
    drain();
    return (double)(now - start) / 1e9;
}

/* Poisson arrivals; the seed is fixed, so that every peer gets the same ones. */
static uint64_t next_gap_ns(void)
{
    return (uint64_t)(-log(1 - drand48()) / options.rate * 1e9);
}

static void arm(int timer, uint64_t due_ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ns / 1000000000u),
                                           .tv_nsec = (long)(due_ns % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static int make_timer(void)
{
    prctl(PR_SET_TIMERSLACK, 1);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &other};
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    return timer;
}

static double run_open(void)
{
    int timer = make_timer();
    srand48(20261);
    uint64_t due = now_ns() + 1000000, start = due + (uint64_t)(options.warmup_s * 1e9);
    uint64_t end = start + (uint64_t)(options.duration_s * 1e9);
    for (unsigned turn_of = 0; due < end;) {
        uint64_t now = now_ns();
        if (!totals.counting && now >= start)
            begin_window(start);
        for (; due <= now && due < end; due += next_gap_ns()) {
            client_request(&clients[turn_of++ % (unsigned)options.connections], due);
            if (due >= start)
                latency_record(&totals.lateness, now - due);
        }
        flush_all();
        arm(timer, due);
        turn(100);
    }
    end_window();
    drain();
    return options.duration_s;
}

static void hold_idle(void)
{
    printf("{\"connected\": %d}\n", options.connections);
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &other};
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    while (!turn(-1))
        flush_all();
}

static void print_result(double seconds)
{
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"latency_us\": ", (unsigned long long)totals.counted, seconds);
    latency_print(&totals.latencies);
    printf(", \"lateness_us\": ");
    latency_print(&totals.lateness);
    printf(", \"backends\": [");
    int last = MAX_BACKENDS;
    while (last > 0 && !totals.backends[last - 1])
        last--;
    for (int i = 0; i < last; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)totals.backends[i]);
    printf("], \"cpu_us\": {");
    for (int i = 0; i < options.clock_count; i++)
        printf("%s\"%s\": %.1f", i ? ", " : "", options.clocks[i].name, (double)options.clocks[i].spent_ns / 1e3);
    printf("}}\n");
}

int main(int count, char **arguments)
{
    parse(count, arguments);
    end_with_parent();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    open_all();
    if (strcmp(options.mode, "idle") == 0)
        hold_idle();
    else if (strcmp(options.mode, "closed") == 0)
        print_result(run_closed());
    else if (strcmp(options.mode, "open") == 0)
        print_result(run_open());
    else
        die("--mode is closed, open or idle, not %s", options.mode);
    return 0;
}

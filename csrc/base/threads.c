#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/threads.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "le.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

static inline void relax(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void yield_core(void)
{
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* Threads at work in runs of this process. */
static atomic_int at_work;

/* Another process wants our cores: whoever waits at a barrier for a member that is not running waits for its turn to
 * come, milliseconds (H = 256, 50 steps, 2 threads beside one busy process: 2.5 ms a call instead of 0.5; 16 if the
 * barrier sleeps instead of yielding; 0.7 with this), or gives its own core away at every meeting (two such processes:
 * 0.72 of the calls of one alone, 1.07 to 1.12 with this). So after a stall, or when cores were given away for more than a
 * share of the time, runs take fewer threads, half as many with each such sign that follows soon, for a time that
 * doubles; then they try again. No result depends on it. */
static atomic_int crowded_level;
static atomic_llong crowded_until; /* on le_clock_ns; 0: never */
static atomic_llong given_away, given_away_at; /* ns, less what may be; on le_clock_ns */

enum {
    STALL_NS = 2000000,
    RETREAT_NS = 8000000,
    MOST_LEVELS = 5,
    GIVEN_NS = 3000,        /* a yield that nobody else makes use of returns within one microsecond */
    GIVEN_MOST_NS = 500000,
    GIVEN_SHARE = 8,        /* an eighth of the time may be given away */
};

static void note_stall(long long now)
{
    const long long until = atomic_load_explicit(&crowded_until, memory_order_relaxed);
    if (now < until)
        return; /* another member has noted it */
    int level = atomic_load_explicit(&crowded_level, memory_order_relaxed);
    const int soon = until > 0 && now - until < (long long)RETREAT_NS << level;
    level = !soon ? 1 : level < MOST_LEVELS ? level + 1 : level;
    atomic_store_explicit(&crowded_level, level, memory_order_relaxed);
    atomic_store_explicit(&crowded_until, now + ((long long)RETREAT_NS << level), memory_order_relaxed);
}

static void note_given_away(long long now, long long ns)
{
    const long long since = now - atomic_exchange_explicit(&given_away_at, now, memory_order_relaxed);
    long long all = atomic_load_explicit(&given_away, memory_order_relaxed) - since / GIVEN_SHARE;
    all = (all > 0 ? all : 0) + ns;
    atomic_store_explicit(&given_away, all < GIVEN_MOST_NS ? all : 0, memory_order_relaxed);
    if (all >= GIVEN_MOST_NS)
        note_stall(now);
}

int le_threads_take(int wanted)
{
    const int others = atomic_load_explicit(&at_work, memory_order_relaxed);
    int granted = wanted;
    if (wanted > 1) {
        const long long until = atomic_load_explicit(&crowded_until, memory_order_relaxed);
        if (until > 0 && le_clock_ns() < until)
            granted >>= atomic_load_explicit(&crowded_level, memory_order_relaxed);
        granted -= others > 0 ? others : 0;
        granted = granted > 1 ? granted : 1;
    }
    atomic_fetch_add_explicit(&at_work, granted, memory_order_relaxed);
    return granted;
}

void le_threads_give(int taken)
{
    atomic_fetch_sub_explicit(&at_work, taken, memory_order_relaxed);
}

void le_barrier_init(le_barrier *barrier, int members)
{
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->phase, 0);
    barrier->members = (unsigned)members;
}

/* How long a member yielded its core at a meeting, and how much of that the core was someone else's, ns. */
typedef struct yielded {
    int64_t waited, given;
} yielded;

/* What is waited for is usually less than a microsecond away: a short spin (a pause takes up to 140 cycles). If not,
 * the one waited for is not running, and may want this very core. */
static yielded meet(le_barrier *barrier, unsigned members)
{
    enum { SPINS = 300 };
    yielded all = {0, 0};
    const unsigned phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == members) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->phase, phase + 1, memory_order_release);
        return all;
    }
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&barrier->phase, memory_order_acquire) != phase)
            return all;
        relax();
    }
    int64_t last = le_clock_ns();
    while (atomic_load_explicit(&barrier->phase, memory_order_acquire) == phase) {
        yield_core();
        const int64_t now = le_clock_ns(), one = now - last;
        all.waited += one;
        all.given += one > GIVEN_NS ? one : 0;
        last = now;
    }
    return all;
}

void le_barrier_wait(le_barrier *barrier)
{
    if (barrier->members <= 1)
        return;
    const yielded all = meet(barrier, barrier->members);
    if (all.waited > STALL_NS)
        note_stall(le_clock_ns());
    else if (all.given > 0)
        note_given_away(le_clock_ns(), all.given);
}

/* Members run in the default floating-point mode, whatever the caller's is. They leave together: OpenMP's own barrier
 * at the end of a region spins for milliseconds without yielding. */
static void run_member(le_team_work work, int member, int members, void *context, le_barrier *end)
{
    const uint64_t mode = le_fp_default();
    work(member, members, context);
    le_fp_restore(mode);
    meet(end, (unsigned)members); /* a long wait here is no stall: rows of unequal length are dealt to members */
}

#if defined(LE_THREADS_PTHREAD)
#include <stdlib.h>

typedef struct member {
    le_team_work work;
    void *context;
    int index, members;
    le_barrier *end;
} member;

static void *start_member(void *argument)
{
    const member *self = argument;
    run_member(self->work, self->index, self->members, self->context, self->end);
    return NULL;
}

void le_team_run(int threads, le_team_work work, void *context)
{
    enum { MAX_MEMBERS = 64 };
    pthread_t ids[MAX_MEMBERS];
    member all[MAX_MEMBERS];
    const int members = threads < 1 ? 1 : threads > MAX_MEMBERS ? MAX_MEMBERS : threads;
    le_barrier end;
    le_barrier_init(&end, members);
    for (int i = 0; i < members; i++)
        all[i] = (member){work, context, i, members, &end};
    for (int i = 1; i < members; i++)
        if (pthread_create(&ids[i], NULL, start_member, &all[i]) != 0)
            abort(); /* sanitizer builds only: members already started would wait for the missing one */
    start_member(&all[0]);
    for (int i = 1; i < members; i++)
        pthread_join(ids[i], NULL);
}
#else
void le_team_run(int threads, le_team_work work, void *context)
{
    le_barrier end;
    le_barrier_init(&end, threads);
#if defined(_OPENMP)
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        run_member(work, omp_get_thread_num(), omp_get_num_threads(), context, &end);
        return;
    }
#endif
    (void)threads;
    run_member(work, 0, 1, context, &end);
}
#endif

int le_has_openmp(void)
{
#if defined(_OPENMP) && !defined(LE_THREADS_PTHREAD)
    return 1;
#else
    return 0;
#endif
}

int le_openmp_max_threads(void)
{
#if defined(_OPENMP)
    return omp_get_max_threads();
#else
    return 1;
#endif
}

static atomic_flag shared_lock = ATOMIC_FLAG_INIT;

void le_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&shared_lock, memory_order_acquire))
        yield_core();
}

void le_unlock(void)
{
    atomic_flag_clear_explicit(&shared_lock, memory_order_release);
}

#if !defined(_WIN32)
/* libgomp's pool does not survive a fork: without this, the child waits for ever in its first parallel region. */
static void before_fork(void)
{
#if defined(_OPENMP) && (_OPENMP >= 201811 || __GNUC__ >= 9)
    omp_pause_resource_all(omp_pause_hard);
#endif
    le_lock();
}

/* Of the threads at work in the parent the child has none. */
static void after_fork_in_child(void)
{
    atomic_store_explicit(&at_work, 0, memory_order_relaxed);
    le_unlock();
}

le_status le_threads_init(void)
{
    return pthread_atfork(before_fork, le_unlock, after_fork_in_child) == 0 ? LE_OK : LE_ERROR_MEMORY;
}
#else
le_status le_threads_init(void)
{
    return LE_OK;
}
#endif

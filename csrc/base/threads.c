#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/threads.h"

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

/* Waiting: a short spin, since what is waited for is usually less than a microsecond away, then the core is yielded, since
 * otherwise it is not running, and may be waiting for this very core. A pause takes up to 140 cycles. */
static inline void wait_a_little(int spin)
{
    enum { SPINS = 300 };
    if (spin < SPINS)
        relax();
    else
        yield_core();
}

/* Members run in the default floating-point mode, whatever the caller's is. They leave together: OpenMP's own barrier
 * at the end of a region spins for milliseconds without yielding. */
static void run_member(le_team_work work, int member, int members, void *context, atomic_int *done)
{
    const uint64_t mode = le_fp_default();
    work(member, members, context);
    le_fp_restore(mode);
    atomic_fetch_add_explicit(done, 1, memory_order_acq_rel);
    for (int spin = 0; atomic_load_explicit(done, memory_order_acquire) < members; spin += spin < INT32_MAX)
        wait_a_little(spin);
}

#if defined(LE_THREADS_PTHREAD)
#include <stdlib.h>

typedef struct member {
    le_team_work work;
    void *context;
    int index, members;
    atomic_int *done;
} member;

static void *start_member(void *argument)
{
    const member *self = argument;
    run_member(self->work, self->index, self->members, self->context, self->done);
    return NULL;
}

void le_team_run(int threads, le_team_work work, void *context)
{
    enum { MAX_MEMBERS = 64 };
    pthread_t ids[MAX_MEMBERS];
    member all[MAX_MEMBERS];
    const int members = threads < 1 ? 1 : threads > MAX_MEMBERS ? MAX_MEMBERS : threads;
    atomic_int done = 0;
    for (int i = 0; i < members; i++)
        all[i] = (member){work, context, i, members, &done};
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
    atomic_int done = 0;
#if defined(_OPENMP)
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        run_member(work, omp_get_thread_num(), omp_get_num_threads(), context, &done);
        return;
    }
#endif
    (void)threads;
    run_member(work, 0, 1, context, &done);
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

void le_barrier_init(le_barrier *barrier, int members)
{
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->phase, 0);
    barrier->members = (unsigned)members;
}

void le_barrier_wait(le_barrier *barrier)
{
    if (barrier->members == 1)
        return;
    const unsigned phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == barrier->members) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spin = 0; atomic_load_explicit(&barrier->phase, memory_order_acquire) == phase; spin += spin < INT32_MAX)
        wait_a_little(spin);
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

le_status le_threads_init(void)
{
    return pthread_atfork(before_fork, le_unlock, le_unlock) == 0 ? LE_OK : LE_ERROR_MEMORY;
}
#else
le_status le_threads_init(void)
{
    return LE_OK;
}
#endif

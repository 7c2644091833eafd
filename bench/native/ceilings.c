/* What this machine's cores can do at most: multiply-adds, reading, meeting at a barrier. Built at run time
 * by bench/limits.py for the CPU at hand (-march=native), called through ctypes. Every function returns the
 * best of many short trials, because what disturbs a trial only ever slows it down. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
#define VEC_BYTES 64
#define CHAINS 24
#elif defined(__AVX__)
#define VEC_BYTES 32
#define CHAINS 12
#else
#define VEC_BYTES 16
#define CHAINS 12
#endif
typedef float vec __attribute__((vector_size(VEC_BYTES)));
enum { LANES = VEC_BYTES / sizeof(float), MAX_THREADS = 64 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- a spin barrier ---- */

typedef struct barrier {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint phase;
    unsigned members;
} barrier;

static void meet(barrier *b)
{
    const unsigned phase = atomic_load_explicit(&b->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == b->members) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->phase, phase + 1, memory_order_release);
    } else {
        while (atomic_load_explicit(&b->phase, memory_order_acquire) == phase)
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#else
            ;
#endif
    }
}

/* ---- a job on several threads at once ---- */

typedef struct job job;
struct job {
    double (*work)(const job *); /* seconds of its best trial */
    barrier *start;
    size_t bytes;
    double seconds;
    double best;
};

static void *run_member(void *context)
{
    job *own = context;
    meet(own->start);
    own->best = own->work(own);
    return NULL;
}

/* The slowest member's best trial; negative if a thread or memory cannot be had. */
static double on_threads(int threads, double (*work)(const job *), size_t bytes, double seconds)
{
    pthread_t member[MAX_THREADS];
    job jobs[MAX_THREADS];
    barrier start = {.members = (unsigned)threads};
    if (threads < 1 || threads > MAX_THREADS)
        return -1;
    for (int i = 0; i < threads; i++) {
        jobs[i] = (job){work, &start, bytes, seconds, 0};
        if (pthread_create(&member[i], NULL, run_member, &jobs[i]))
            exit(71); /* members already started would wait for ever */
    }
    double slowest = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(member[i], NULL);
        if (jobs[i].best < 0)
            return -1;
        slowest = jobs[i].best > slowest ? jobs[i].best : slowest;
    }
    return slowest;
}

/* ---- multiply-adds ---- */

enum { FMA_ROUNDS = 20000 };

static double fma_trial(void)
{
    vec sum[CHAINS], factor, term;
    for (int i = 0; i < CHAINS; i++)
        sum[i] = (vec){0} + (float)i;
    factor = (vec){0} + 0.999f;
    term = (vec){0} + 1e-3f;
    const double start = now();
    for (int n = 0; n < FMA_ROUNDS; n++) {
#pragma GCC unroll 32
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * factor + term;
        /* Keep the loop as it is written. */
        __asm__ volatile("" : "+x"(factor), "+x"(term));
    }
    const double took = now() - start;
    volatile float sink = 0;
    for (int i = 0; i < CHAINS; i++)
        sink = sink + sum[i][0];
    return took;
}

static double fma_work(const job *own)
{
    double best = 1e9;
    for (const double end = now() + own->seconds; now() < end;) {
        const double took = fma_trial();
        best = took < best ? took : best;
    }
    return best;
}

/* float32 GFLOP/s of each of `threads` cores when all of them multiply and add. */
double ceiling_fma(int threads, double seconds)
{
    const double took = on_threads(threads, fma_work, 0, seconds);
    return took < 0 ? took : 2.0 * CHAINS * LANES * FMA_ROUNDS / took * 1e-9;
}

/* ---- reading ---- */

static vec read_all(const vec *from, size_t count, int backwards)
{
    vec sum[8];
    for (int i = 0; i < 8; i++)
        sum[i] = (vec){0};
    for (size_t n = 0; n < count; n += 8) {
        const vec *at = from + (backwards ? count - 8 - n : n);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            sum[i] += at[i];
    }
    for (int i = 1; i < 8; i++)
        sum[0] += sum[i];
    return sum[0];
}

/* Bytes that one trial reads, so that it takes some 100 us. */
enum { TRIAL_BYTES = 8 << 20 };

/* Seconds per pass over the buffer; odd passes run backwards if `zig_zag`, so that what is still cached is
 * met first. */
static double read_passes(const job *own, int zig_zag)
{
    const size_t count = own->bytes / sizeof(vec) / 8 * 8;
    const size_t passes = 2 * (1 + TRIAL_BYTES / 2 / own->bytes);
    vec *buffer = aligned_alloc(4096, (own->bytes + 4095) / 4096 * 4096);
    if (!buffer)
        return -1;
    memset(buffer, 0, own->bytes);
    volatile float sink = 0;
    double best = 1e9;
    for (const double end = now() + own->seconds; now() < end;) {
        const double start = now();
        for (size_t pass = 0; pass < passes; pass++)
            sink = sink + read_all(buffer, count, zig_zag && pass & 1)[0];
        const double took = (now() - start) / (double)passes;
        best = took < best ? took : best;
    }
    free(buffer);
    return best;
}

static double read_forward(const job *own)
{
    return read_passes(own, 0);
}

static double read_zig_zag(const job *own)
{
    return read_passes(own, 1);
}

/* GB/s of each of `threads` cores when all of them read a buffer of `bytes` of their own, over and over. */
double ceiling_read(int threads, size_t bytes, int zig_zag, double seconds)
{
    const double took = on_threads(threads, zig_zag ? read_zig_zag : read_forward, bytes, seconds);
    return took < 0 ? took : (double)(bytes / sizeof(vec) / 8 * 8 * sizeof(vec)) / took * 1e-9;
}

/* ---- meeting ---- */

enum { MEETINGS = 2000 };

static double meet_work(const job *own)
{
    double best = 1e9;
    /* The same number of trials for every member, or one would wait for ever. */
    for (int trial = 0; trial < (int)own->bytes; trial++) {
        const double start = now();
        for (int n = 0; n < MEETINGS; n++)
            meet(own->start);
        const double took = now() - start;
        best = took < best ? took : best;
    }
    return best / MEETINGS;
}

/* Microseconds of one spin barrier of `threads` cores. */
double ceiling_barrier(int threads, int trials)
{
    return on_threads(threads, meet_work, (size_t)trials, 0) * 1e6;
}

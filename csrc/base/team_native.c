#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/team.h"

#include <stdalign.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/os_threads.h"
#include "base/spin.h"

/* A worker lives as long as the process. Its state is all that callers and worker agree about: a post that is still
 * POSTED is taken back by the caller, one that is RUNNING is waited for, and nothing of a call is read by a worker that
 * has not got from POSTED to RUNNING. So a call's memory may go when the call returns. */
typedef enum worker_state {
    ABSENT,  /* there is no thread yet */
    IDLE,
    HIRED,   /* by a caller, who writes what there is to do */
    POSTED,
    RUNNING,
    DONE,    /* until its caller has seen it */
} worker_state;

typedef struct worker {
    alignas(64) atomic_int state;
    atomic_int asleep;  /* whoever posts must wake it */
    atomic_int awaited; /* its caller sleeps until it is done */
    atomic_int cpu;     /* where it last began, -1: not known */
    le_thread_id id;
    int member, members;
    le_team_work work;
    void *context;
    le_mutex mutex;     /* around both conditions */
    le_condition posted, done;
} worker;

enum {
    WORKERS = LE_TEAM_MOST - 1,
    IDLE_NS = 500000,         /* an idle worker yields so long before it sleeps: calls that follow each other find it up */
    CALLER_NS = 100000,       /* and a caller, before it sleeps until a worker is done */
    RETRY_NS = 1000000000,    /* after a thread that could not start */
};

static worker workers[WORKERS];
static atomic_int started;         /* workers[0 .. started-1] have threads */
static atomic_llong refused_until; /* on le_clock_ns; 0: none was */

/* ---- the worker's side ------------------------------------------------------------------------------- */

static int begin(worker *self)
{
    int posted = POSTED;
    return atomic_load_explicit(&self->state, memory_order_relaxed) == POSTED &&
           atomic_compare_exchange_strong(&self->state, &posted, RUNNING);
}

/* Whether work came while this core was ours. */
static int found_awake(worker *self)
{
    for (int spin = 0; spin < LE_SPINS; spin++) {
        if (begin(self))
            return 1;
        le_pause();
    }
    int64_t now = le_clock_ns();
    for (const int64_t until = now + IDLE_NS; now < until;) {
        if (begin(self))
            return 1;
        if (le_yield(&now) > LE_YIELD_FREE)
            return 0; /* others want the core, and who sleeps is the first to get it back */
    }
    return 0;
}

static void find_asleep(worker *self)
{
    le_mutex_lock(&self->mutex);
    atomic_store(&self->asleep, 1); /* before the look at the state, as posting comes before the look at this */
    while (!begin(self))
        le_condition_wait(&self->posted, &self->mutex);
    atomic_store(&self->asleep, 0);
    le_mutex_unlock(&self->mutex);
}

static LE_THREAD_RESULT serve(void *argument)
{
    worker *self = argument;
    le_fp_default();
    self->id = le_thread_self();
    for (;;) {
        if (!found_awake(self))
            find_asleep(self);
        atomic_store_explicit(&self->cpu, le_thread_cpu(), memory_order_relaxed);
        le_team_stumble();
        self->work(self->member, self->members, self->context);
        atomic_store(&self->state, DONE);
        if (atomic_load(&self->awaited)) {
            le_mutex_lock(&self->mutex);
            le_mutex_unlock(&self->mutex);
            le_condition_signal(&self->done);
        }
    }
    return LE_THREAD_NULL;
}

/* ---- the caller's side ------------------------------------------------------------------------------- */

static int hire(worker *one)
{
    int idle = IDLE;
    return atomic_load_explicit(&one->state, memory_order_relaxed) == IDLE &&
           atomic_compare_exchange_strong(&one->state, &idle, HIRED);
}

/* Another worker, hired; null where there are enough, or the system starts no thread. */
static worker *hire_new(void)
{
    const int64_t refused = atomic_load_explicit(&refused_until, memory_order_relaxed);
    if (refused > 0 && le_clock_ns() < refused)
        return NULL;
    worker *made = NULL;
    le_lock();
    const int number = atomic_load_explicit(&started, memory_order_relaxed);
    if (number < WORKERS) {
        made = &workers[number];
        le_mutex_init(&made->mutex);
        le_condition_init(&made->posted);
        le_condition_init(&made->done);
        atomic_store_explicit(&made->asleep, 0, memory_order_relaxed);
        atomic_store_explicit(&made->awaited, 0, memory_order_relaxed);
        atomic_store_explicit(&made->cpu, -1, memory_order_relaxed);
        atomic_store_explicit(&made->state, HIRED, memory_order_relaxed);
        if (le_thread_start(serve, made)) {
            atomic_store_explicit(&started, number + 1, memory_order_release);
        } else {
            atomic_store_explicit(&made->state, ABSENT, memory_order_relaxed);
            atomic_store_explicit(&refused_until, le_clock_ns() + RETRY_NS, memory_order_relaxed);
            made = NULL;
        }
    }
    le_unlock();
    return made;
}

/* Whether the worker is not on the caller's own CPU. A system wakes a thread where it last was, also when the caller has
 * come there since and a neighbour has the other cores: the two would alternate. */
static int apart(worker *one, int here)
{
    if (here < 0 || atomic_load_explicit(&one->cpu, memory_order_relaxed) != here)
        return 1;
    atomic_store_explicit(&one->cpu, -1, memory_order_relaxed);
    return le_thread_leave(one->id, here);
}

static int hire_some(int wanted, worker **hired)
{
    int count = 0;
    const int here = le_thread_cpu(), known = atomic_load_explicit(&started, memory_order_acquire);
    for (int i = 0; i < known && count < wanted; i++)
        if (hire(&workers[i])) {
            if (!apart(&workers[i], here)) {
                atomic_store_explicit(&workers[i].state, IDLE, memory_order_release);
                return count; /* the caller has but one CPU */
            }
            hired[count++] = &workers[i];
        }
    for (worker *made; count < wanted && (made = hire_new()) != NULL;)
        hired[count++] = made;
    return count;
}

static void post(worker *one, int member, int members, le_team_work work, void *context)
{
    one->member = member;
    one->members = members;
    one->work = work;
    one->context = context;
    atomic_store(&one->state, POSTED);
    if (atomic_load(&one->asleep)) {
        le_mutex_lock(&one->mutex);
        le_mutex_unlock(&one->mutex);
        le_condition_signal(&one->posted);
    }
}

/* A worker that has begun may stand without a core: a caller that sleeps leaves it its own. */
static void wait_done(worker *one, void *context, le_team_wait wait)
{
    for (int spin = 0; spin < LE_SPINS; spin++) {
        if (atomic_load_explicit(&one->state, memory_order_acquire) == DONE)
            return;
        le_pause();
    }
    int64_t now = le_clock_ns();
    for (const int64_t until = now + CALLER_NS; now < until;) {
        if (atomic_load_explicit(&one->state, memory_order_acquire) == DONE)
            return;
        if (le_yield(&now) > LE_YIELD_FREE)
            break;
    }
    le_mutex_lock(&one->mutex);
    atomic_store(&one->awaited, 1);
    for (int64_t since = le_clock_ns(); atomic_load(&one->state) != DONE;) {
        le_condition_wait_for(&one->done, &one->mutex, LE_TEAM_WAIT_NS);
        if (wait == NULL || le_clock_ns() - since < LE_TEAM_WAIT_NS)
            continue;
        le_mutex_unlock(&one->mutex);
        wait(context);
        since = le_clock_ns();
        le_mutex_lock(&one->mutex);
    }
    atomic_store(&one->awaited, 0);
    le_mutex_unlock(&one->mutex);
}

static void dismiss(worker *one, void *context, le_team_wait wait)
{
    int posted = POSTED;
    if (atomic_compare_exchange_strong(&one->state, &posted, IDLE))
        return; /* it has not begun: others have done its share */
    wait_done(one, context, wait);
    atomic_store_explicit(&one->state, IDLE, memory_order_release);
}

static void run_native(int threads, le_team_work work, void *context, le_team_wait wait)
{
    worker *hired[WORKERS];
    const int count = hire_some(threads <= WORKERS ? threads - 1 : WORKERS, hired);
    for (int i = 0; i < count; i++)
        post(hired[i], i + 1, count + 1, work, context);
    const uint64_t mode = le_fp_default();
    work(0, count + 1, context);
    le_fp_restore(mode);
    for (int i = 0; i < count; i++)
        dismiss(hired[i], context, wait);
}

static void before_fork(void)
{
}

/* A child has none of the threads: its first call starts its own. */
static void after_fork_in_child(void)
{
    for (int i = 0; i < atomic_load_explicit(&started, memory_order_relaxed); i++)
        atomic_store_explicit(&workers[i].state, ABSENT, memory_order_relaxed);
    atomic_store_explicit(&started, 0, memory_order_relaxed);
    atomic_store_explicit(&refused_until, 0, memory_order_relaxed);
}

const le_team le_team_native = {"native", run_native, before_fork, after_fork_in_child};

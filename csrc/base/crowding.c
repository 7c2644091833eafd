#include "base/crowding.h"

#include <stdatomic.h>

#include "base/clock.h"

/* Threads at work in calls of this process. */
static atomic_int at_work;

/* Long calls find out for themselves: a neighbour that makes short ones slower leaves them most of a core. */
enum { SHORT_CALLS, LONG_CALLS, CLASSES };

typedef struct crowding {
    atomic_int level;      /* threads are halved so many times */
    atomic_llong until;    /* on le_clock_ns; 0: never */
    atomic_llong given;    /* ns given away at barriers, less what may be */
    atomic_llong given_at; /* on le_clock_ns */
    atomic_llong unanswered; /* ns of calls in a row that nobody joined */
    atomic_llong paused;     /* nobody is asked until then; on le_clock_ns */
    atomic_int losses;     /* LOSS for each call that lost, less one for each that did not */
} crowding;

static crowding of_class[CLASSES];
static atomic_int ignored;

enum {
    LONG_CALL_NS = 5000000,
    STALL_NS = 2000000,          /* at one barrier: the member was not running */
    LEAST_RETREAT_NS = 8000000,
    MOST_LEVELS = 5,
    GIVEN_MOST_NS = 500000,
    GIVEN_SHARE = 8,             /* an eighth of the time may be given away */
    UNANSWERED_MOST_NS = 300000, /* threads that slept would be there */
    PAUSE_NS = 2000000,          /* about a time slice of another process on the core */
    LOSS = 100,                  /* one call in a hundred may lose: nobody is alone on a machine all the time */
    LOSSES_MOST = 150,           /* two within fifty calls */
    NOISE_NS = 20000,
};

/* Calls of a retreat: fewer than one in a hundred may stall, and long ones must not miss a core for minutes. */
static const int retreat_calls[CLASSES] = {128, 16};

static crowding *class_of(int64_t alone)
{
    return &of_class[alone < LONG_CALL_NS ? SHORT_CALLS : LONG_CALLS];
}

static int64_t length_of_retreat(const crowding *class, int64_t alone, int level)
{
    const int64_t calls = alone * retreat_calls[class - of_class];
    return (calls > LEAST_RETREAT_NS ? calls : LEAST_RETREAT_NS) << (level - 1);
}

static void retreat(crowding *class, int64_t alone, int64_t now)
{
    const int64_t until = atomic_load_explicit(&class->until, memory_order_relaxed);
    if (now < until)
        return; /* another call has seen to it */
    int level = atomic_load_explicit(&class->level, memory_order_relaxed);
    const int soon = until > 0 && level > 0 && now - until < length_of_retreat(class, alone, level);
    level = !soon ? 1 : level < MOST_LEVELS ? level + 1 : level;
    atomic_store_explicit(&class->level, level, memory_order_relaxed);
    atomic_store_explicit(&class->until, now + length_of_retreat(class, alone, level), memory_order_relaxed);
}

/* Whether cores are given away for more than a share of the time: two processes whose barriers alternate never stall, and are
 * slower than one after the other. */
static int gives_away(crowding *class, int64_t now, int64_t ns)
{
    const long long since = now - atomic_exchange_explicit(&class->given_at, now, memory_order_relaxed);
    long long all = atomic_load_explicit(&class->given, memory_order_relaxed) - since / GIVEN_SHARE;
    all = (all > 0 ? all : 0) + ns;
    const int many = all >= GIVEN_MOST_NS;
    atomic_store_explicit(&class->given, many ? 0 : all, memory_order_relaxed);
    return many;
}

/* Whether more calls lose than may. */
static int loses(crowding *class, int lost)
{
    int losses = atomic_load_explicit(&class->losses, memory_order_relaxed);
    if (losses == 0 && !lost)
        return 0;
    losses = lost ? losses + LOSS : losses - 1;
    const int many = losses >= LOSSES_MOST;
    atomic_store_explicit(&class->losses, many ? 0 : losses, memory_order_relaxed);
    return many;
}

/* Whether nobody comes any more. */
static int unanswered(crowding *class, const le_shared_call *call)
{
    const int64_t before = atomic_load_explicit(&class->unanswered, memory_order_relaxed);
    if (call->answered) {
        if (before != 0)
            atomic_store_explicit(&class->unanswered, 0, memory_order_relaxed);
        return 0;
    }
    atomic_store_explicit(&class->unanswered, before + call->took, memory_order_relaxed);
    return before > 0 && before + call->took > UNANSWERED_MOST_NS; /* the first may have found them asleep */
}

void le_crowding_note(const le_shared_call *call)
{
    if (atomic_load_explicit(&ignored, memory_order_relaxed))
        return;
    crowding *class = class_of(call->alone);
    const int lost = call->longest > STALL_NS || call->over > call->alone / 10 + NOISE_NS;
    int retreats = loses(class, lost);
    const int pauses = unanswered(class, call);
    const int64_t now = retreats || pauses || call->given > 0 ? le_clock_ns() : 0;
    if (pauses) /* nothing is lost but the asking */
        atomic_store_explicit(&class->paused, now + PAUSE_NS, memory_order_relaxed);
    if (call->given > 0)
        retreats |= gives_away(class, now, call->given);
    if (retreats)
        retreat(class, call->alone, now);
}

int le_threads_take(int wanted, int64_t alone)
{
    const int others = atomic_load_explicit(&at_work, memory_order_relaxed);
    int granted = wanted;
    if (wanted > 1) {
        const crowding *class = class_of(alone);
        const int64_t until = atomic_load_explicit(&class->until, memory_order_relaxed);
        const int64_t paused = atomic_load_explicit(&class->paused, memory_order_relaxed);
        const int64_t now = until > 0 || paused > 0 ? le_clock_ns() : 0;
        if (now < until)
            granted >>= atomic_load_explicit(&class->level, memory_order_relaxed);
        if (now < paused)
            granted = 1;
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

static void forget(void)
{
    for (int i = 0; i < CLASSES; i++) {
        atomic_store(&of_class[i].until, 0);
        atomic_store(&of_class[i].paused, 0);
    }
}

void le_crowding_ignore(int wanted)
{
    atomic_store(&ignored, wanted);
    forget();
}

void le_crowding_reset(void)
{
    atomic_store(&at_work, 0);
    forget();
}

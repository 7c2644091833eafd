#include "base/team.h"

#include "base/clock.h"
#include "base/spin.h"

#if defined(_OPENMP)
#include <omp.h>
#include <stdatomic.h>

typedef struct region {
    le_team_work work;
    void *context;
    le_team_wait wait;
    atomic_int at_end;
} region;

/* Members leave together: OpenMP's own barrier at the end of a region spins for milliseconds without yielding. */
static void meet_at_end(region *all, int member, int members)
{
    atomic_fetch_add_explicit(&all->at_end, 1, memory_order_acq_rel);
    for (int spin = 0; spin < LE_SPINS; spin++) {
        if (atomic_load_explicit(&all->at_end, memory_order_acquire) == members)
            return;
        le_pause();
    }
    int64_t now = le_clock_ns(), asked = now;
    while (atomic_load_explicit(&all->at_end, memory_order_acquire) != members) {
        le_yield(&now);
        if (member == 0 && all->wait && now - asked > LE_TEAM_WAIT_NS) {
            all->wait(all->context);
            asked = now;
        }
    }
}

static void run_openmp(int threads, le_team_work work, void *context, le_team_wait wait)
{
    region all = {.work = work, .context = context, .wait = wait};
    atomic_init(&all.at_end, 0);
#pragma omp parallel num_threads(threads)
    {
        const int member = omp_get_thread_num();
        const uint64_t mode = le_fp_default();
        if (member > 0)
            le_team_stumble();
        work(member, omp_get_num_threads(), context);
        le_fp_restore(mode);
        meet_at_end(&all, member, omp_get_num_threads());
    }
}

/* libgomp's pool does not survive a fork: without this, the child waits for ever in its first parallel region. */
static void before_fork(void)
{
#if _OPENMP >= 201811 || __GNUC__ >= 9
    omp_pause_resource_all(omp_pause_hard);
#endif
}

static void after_fork(void)
{
}

const le_team le_team_openmp = {"openmp", run_openmp, before_fork, after_fork};
#endif

int le_has_openmp(void)
{
#if defined(_OPENMP)
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
    return LE_TEAM_MOST;
#endif
}

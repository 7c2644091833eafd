#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/team.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/crowding.h"
#include "base/lock.h"
#include "base/os_threads.h"
#include "base/spin.h"

/* The first is what a build uses unless told otherwise; why: docs/threads.md. */
static const le_team *const teams[] = {
    &le_team_native,
#if defined(_OPENMP)
    &le_team_openmp,
#endif
};
enum { TEAMS = sizeof teams / sizeof *teams };

static atomic_int chosen;

const char *le_threading_name(size_t number)
{
    return number < TEAMS ? teams[number]->name : NULL;
}

const char *le_threading(void)
{
    return teams[atomic_load_explicit(&chosen, memory_order_relaxed)]->name;
}

le_status le_threading_set(const char *name)
{
    for (int i = 0; i < TEAMS; i++)
        if (strcmp(teams[i]->name, name) == 0) {
            atomic_store_explicit(&chosen, i, memory_order_relaxed);
            return LE_OK;
        }
    return LE_ERROR_UNSUPPORTED;
}

static atomic_llong longest_delay;

void le_team_delay(int64_t most)
{
    atomic_store(&longest_delay, most);
    le_crowding_ignore(most > 0);
}

void le_team_stumble(void)
{
    const int64_t most = atomic_load_explicit(&longest_delay, memory_order_relaxed);
    if (most == 0)
        return;
    int64_t now = le_clock_ns();
    const uint64_t mixed = (uint64_t)now * UINT64_C(0x9e3779b97f4a7c15);
    for (const int64_t until = now + (int64_t)((mixed >> 32) % (uint64_t)most); now < until;)
        le_yield(&now);
}

void le_team_run(int threads, le_team_work work, void *context, le_team_wait wait)
{
    if (threads > 1) {
        teams[atomic_load_explicit(&chosen, memory_order_relaxed)]->run(threads, work, context, wait);
        return;
    }
    const uint64_t mode = le_fp_default();
    work(0, 1, context);
    le_fp_restore(mode);
}

static void before_fork(void)
{
    for (int i = 0; i < TEAMS; i++)
        teams[i]->before_fork();
    le_lock();
}

static void after_fork_in_child(void)
{
    for (int i = 0; i < TEAMS; i++)
        teams[i]->after_fork_in_child();
    le_crowding_reset();
    le_unlock();
}

le_status le_threads_init(void)
{
    return le_at_fork(before_fork, le_unlock, after_fork_in_child) ? LE_OK : LE_ERROR_MEMORY;
}

/* Running a finished model: check, partition the rows, and let threads walk through it.
 *
 * Groups of rows are claimed one after the other by the caller and whatever threads have come; groups never wait for each other, so
 * nobody waits for a thread that does not run but at the end, for the group that it has begun. Where one group is the
 * work of a thread group, that begins whole or not at all.
 */
#include "base/clock.h"
#include "base/crowding.h"
#include "base/status.h"
#include "base/team.h"
#include "model/check_run.h"
#include "model/partition_rows.h"
#include "model/running.h"

static void claim_groups(int member, int members, void *context)
{
    (void)members;
    le_running *all = context;
    const int caller = member == 0, shared = all->workspace->schedule.threads > 1;
    const int64_t began = caller && shared ? le_clock_ns() : 0;
    int done = 0;
    for (int g; (g = atomic_fetch_add(&all->claimed, 1)) < all->workspace->schedule.groups; done++) {
        if (!caller && done == 0)
            atomic_fetch_add(&all->joined, 1);
        le_walk_group(all, g, 0, caller);
        le_team_stumble();
    }
    if (caller && shared) {
        all->own = done;
        all->own_ns = le_clock_ns() - began;
    }
}

static void join_group(int member, int members, void *context)
{
    le_running *all = context;
    const int wanted = all->workspace->schedule.members;
    if (member > 0          ? le_rendezvous_join(&all->rendezvous)
        : members == wanted ? le_rendezvous_call(&all->rendezvous, wanted - 1)
                            : le_rendezvous_call_off(&all->rendezvous))
        le_walk_group(all, 0, member, member == 0);
    else if (member == 0)
        all->stood_down = 1;
}

static void while_waiting(void *context)
{
    le_watch_ask(&((le_running *)context)->watch);
}

/* What a call that shared its work says about the cores. */
static void learn(le_running *all, int64_t began)
{
    const le_schedule *schedule = &all->workspace->schedule;
    le_shared_call call = {.alone = all->workspace->alone_ns, .took = le_clock_ns() - began};
    if (schedule->members > 1) {
        call.answered = !all->stood_down;
        for (int i = 0; i < 3 && call.answered; i++) {
            const le_barrier *barrier = &all->workspace->groups[0].barriers[i];
            const int64_t longest = atomic_load(&barrier->longest);
            call.longest = longest > call.longest ? longest : call.longest;
            call.given += atomic_load(&barrier->given);
        }
    } else {
        call.answered = atomic_load(&all->joined) > 0;
        if (all->own > 0) {
            call.alone = all->workspace->alone_ns = all->own_ns / all->own * schedule->groups;
            call.over = call.took - call.alone;
        }
    }
    le_crowding_note(&call);
}

/* Run as the workspace's schedule says; whether the thread group, if there is one, was whole. */
static int run_scheduled(le_running *all)
{
    const le_schedule *schedule = &all->workspace->schedule;
    const int together = schedule->members > 1;
    if (together) {
        le_barrier *barriers = all->workspace->groups[0].barriers;
        le_barrier_init(&barriers[0], schedule->members);
        le_barrier_init(&barriers[1], schedule->members / 2);
        le_barrier_init(&barriers[2], schedule->members - schedule->members / 2);
        le_rendezvous_init(&all->rendezvous);
    }
    atomic_init(&all->claimed, 0);
    atomic_init(&all->joined, 0);
    all->stood_down = all->own = 0;
    const int64_t began = schedule->threads > 1 ? le_clock_ns() : 0;
    le_team_run(schedule->threads, together ? join_group : claim_groups, all, while_waiting);
    if (schedule->threads > 1)
        learn(all, began);
    return !all->stood_down;
}

/* A workspace with its rows partitioned, for so many threads at most. */
static le_workspace *prepare(le_model *model, le_run *run, int threads)
{
    run->threads = threads;
    le_workspace *workspace = le_workspace_take(model, run);
    if (workspace != NULL && le_partition_rows(model, run, workspace) != LE_OK) {
        le_workspace_give(model, workspace);
        workspace = NULL;
    }
    return workspace;
}

/* Exchange the workspace for one of fewer threads; whether there was memory for it. */
static int with_fewer(le_running *all, int threads)
{
    le_workspace_give(all->model, all->workspace);
    all->workspace = prepare(all->model, all->run, threads);
    return all->workspace != NULL;
}

le_status le_model_run_bytes(const le_model *model, const le_run *run, size_t *bytes, le_error *error)
{
    const le_status status = le_check_sizes(model, run, error);
    if (status == LE_OK)
        *bytes = run->batch == 0 ? 0 : le_workspace_measure(model, run);
    return status;
}

le_status le_model_run(le_model *model, const le_run *run, le_error *error)
{
    le_status status = le_check_run(model, run, error);
    if (status != LE_OK || run->batch == 0)
        return status;
    le_run own = *run;
    le_running all = {.model = model, .run = &own};
    le_watch_begin(&all.watch, run->poll, run->poll_context);
    all.workspace = prepare(model, all.run, run->threads);
    if (all.workspace != NULL) {
        const int wanted = all.workspace->schedule.threads, taken = le_threads_take(wanted, all.workspace->alone_ns);
        const int ready = taken == wanted || with_fewer(&all, taken);
        if (ready && !run_scheduled(&all) && with_fewer(&all, 1))
            run_scheduled(&all); /* the caller does what the thread group should have done */
        le_threads_give(taken);
    }
    if (all.workspace == NULL)
        return le_fail(error, LE_ERROR_MEMORY, "no memory for a workspace of %zu rows", run->batch);
    if (atomic_load(&all.watch.cancelled))
        status = le_fail(error, LE_ERROR_CANCELLED, "cancelled");
    else
        le_walk_states(&all);
    le_workspace_give(model, all.workspace);
    return status;
}

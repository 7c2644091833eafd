/* The one door to threads: a team for the length of one call, a barrier for its members, and a lock.
 *
 * threads.c is the only file that names OpenMP. Built with LE_THREADS_PTHREAD it makes a team of plain
 * threads instead, which ThreadSanitizer understands; built without either, a team has one member.
 */
#ifndef LE_BASE_THREADS_H
#define LE_BASE_THREADS_H

#include <stdalign.h>
#include <stdatomic.h>

/* What a member does: `member` is 0..members-1, and 0 is the calling thread. */
typedef void (*le_team_work)(int member, int members, void *context);

/* Run `work` on a team of at most `threads` members (the team may be granted fewer) and wait for all. */
void le_team_run(int threads, le_team_work work, void *context);

/* Threads a run may use: what it wants, less those at work in other runs of the process, fewer while other processes
 * crowd the cores, and at least its own: runs that share cores are better off without meetings. What is taken is given
 * back. */
int le_threads_take(int wanted);
void le_threads_give(int taken);

/* A barrier for a fixed number of members. It spins for a bounded time, then yields the core. */
typedef struct le_barrier {
    alignas(64) atomic_uint arrived;
    alignas(64) atomic_uint phase;
    unsigned members;
} le_barrier;

void le_barrier_init(le_barrier *barrier, int members);
void le_barrier_wait(le_barrier *barrier);

/* One lock for the short lists shared by all models; it is taken around fork(), so a child never finds it held. */
void le_lock(void);
void le_unlock(void);

#endif

/* Threads beside the caller's, for the length of one call. Two teams stand behind this door, chosen at run time:
 *
 *   native   threads of our own (team_native.c). A member that has not begun when the caller is through is sent away,
 *            so a call waits for no thread that the system does not let run. Where threads cannot start, the caller
 *            does all the work.
 *   openmp   the compiler's OpenMP (team_openmp.c, the only file that names it), where the build has it. A parallel
 *            region waits at its end for every member, and libgomp ends the process when a thread cannot start.
 */
#ifndef LE_BASE_TEAM_H
#define LE_BASE_TEAM_H

#include "le.h"

/* What a member does: `member` is 0 (the caller) .. members-1, and `members` is how many were had, no more than were
 * asked for. Any but the caller may arrive when work has begun, or never: work is claimed, or begun after a rendezvous,
 * never taken for granted. */
typedef void (*le_team_work)(int member, int members, void *context);

/* What the caller does about every 20 ms while it waits for others. */
typedef void (*le_team_wait)(void *context);

/* Run `work` on the calling thread and up to threads - 1 others, and wait for those that have begun. All run in the
 * default floating-point mode. `wait` may be null. */
void le_team_run(int threads, le_team_work work, void *context, le_team_wait wait);

/* Waits as le_team_delay wants it: where a thread might be kept from its core. */
void le_team_stumble(void);

enum { LE_TEAM_MOST = 256, LE_TEAM_WAIT_NS = 20000000 };

/* One of the two; use le_team_run. */
typedef struct le_team {
    const char *name;
    void (*run)(int threads, le_team_work work, void *context, le_team_wait wait);
    void (*before_fork)(void);
    void (*after_fork_in_child)(void);
} le_team;

extern const le_team le_team_native, le_team_openmp;

#endif

/* How many threads a call may have: fewer while other calls of the process have them, or other processes the cores.
 *
 * Whoever waits at a barrier for a member that is not running waits for its time slice, milliseconds; so when sharing makes more than one
 * call in a hundred slower, calls of that kind take half as many threads for as long as a hundred of them take, then try
 * again; if that was too soon, fewer still, and for twice as long. Where nobody comes, nobody is asked for a while. No
 * result depends on it.
 */
#ifndef LE_BASE_CROWDING_H
#define LE_BASE_CROWDING_H

#include <stdint.h>

/* How a call that shared its work went. Times in ns. */
typedef struct le_shared_call {
    int64_t alone;   /* what one thread takes: measured, or a guess */
    int64_t took;
    int64_t over;    /* took, less what one thread takes, where that was measured; else 0 */
    int64_t longest; /* wait at one barrier */
    int64_t given;   /* that the members' cores were someone else's while they waited */
    int answered;    /* a thread besides the caller's began in time */
} le_shared_call;

/* Threads for a call that one thread takes `alone` ns for: what it wants, less those at work in other calls, and at least
 * its own. What is taken is given back. */
int le_threads_take(int wanted, int64_t alone);
void le_threads_give(int taken);

/* Learn from a call that had several threads. */
void le_crowding_note(const le_shared_call *call);

/* For tests that delay threads: nothing is learnt from calls, and what was is forgotten. */
void le_crowding_ignore(int ignored);

/* In a child of fork(): of the threads at work in the parent it has none, and what the parent learnt is forgotten. */
void le_crowding_reset(void);

#endif

/* Put before libc with LD_PRELOAD: makes the n-th call of chosen kinds fail, come back short, or end the process.
 *
 * Nothing fails until `fault_arm`; the tests call it through ctypes (control.py), a process that they cannot reach has
 * LSTM_ENGINE_FAULT instead. Needs glibc: its allocator has a second set of names, so that nothing has to be looked up
 * while memory is asked for.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* control.py has the same numbers. */
enum {
    OWN_MEMORY = 1, /* asked for by the code of `fault_code` */
    ANY_MEMORY = 2,
    OPEN = 4,
    READ = 8,
    WRITE = 16,
    SYNC = 32,
    RENAME = 64,
    CLOSE = 128,
    SEEK = 256,
    STATUS = 512,
    MODE = 1024
};
enum { FAIL, SHORT, END, KILL_BEFORE, KILL_WITHIN, KILL_AFTER, EXIT };

static struct {
    atomic_int armed;
    unsigned kinds;
    long at, count;
    int outcome, error, descriptor; /* descriptor: only calls on this one, or -1 */
} plan;
static struct {
    uintptr_t low, high; /* between them stands the code whose memory is counted */
} ours;
static atomic_long seen, hits, living; /* living: blocks that this code holds */

void fault_code(uintptr_t low, uintptr_t high)
{
    ours.low = low;
    ours.high = high;
}

void fault_arm(unsigned kinds, long at, long count, int outcome, int error, int descriptor)
{
    plan.kinds = kinds;
    plan.at = at;
    plan.count = count;
    plan.outcome = outcome;
    plan.error = error;
    plan.descriptor = descriptor;
    atomic_store(&seen, 0);
    atomic_store(&hits, 0);
    atomic_store(&plan.armed, 1);
}

/* The calls of these kinds since `fault_arm`. */
long fault_disarm(void)
{
    atomic_store(&plan.armed, 0);
    return atomic_load(&seen);
}

long fault_hits(void)
{
    return atomic_load(&hits);
}

long fault_living(void)
{
    return atomic_load(&living);
}

static int from_ours(void *caller)
{
    return (uintptr_t)caller >= ours.low && (uintptr_t)caller < ours.high;
}

static int due(unsigned kind, int descriptor)
{
    if (!atomic_load_explicit(&plan.armed, memory_order_relaxed) || !(plan.kinds & kind)
        || (plan.descriptor >= 0 && descriptor != plan.descriptor))
        return 0;
    const long number = atomic_fetch_add(&seen, 1) + 1;
    if (number < plan.at || number >= plan.at + plan.count)
        return 0;
    atomic_fetch_add(&hits, 1);
    if (plan.outcome == KILL_BEFORE)
        kill(getpid(), SIGKILL);
    if (plan.outcome == EXIT)
        _exit(77);
    return 1;
}

/* What a call that is due gives, once the real one has been made where the outcome asks for it. */
static long ended(long result)
{
    if (plan.outcome == KILL_WITHIN || plan.outcome == KILL_AFTER)
        kill(getpid(), SIGKILL);
    if (plan.outcome == SHORT || plan.outcome == END)
        return result;
    errno = plan.error;
    return -1;
}

static int really(void)
{
    return plan.outcome == SHORT || plan.outcome == END || plan.outcome == KILL_AFTER;
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

/* ---- memory ---- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static int short_of_memory(void *caller)
{
    return due(from_ours(caller) ? OWN_MEMORY | ANY_MEMORY : ANY_MEMORY, -1);
}

static void *given(void *block, void *caller)
{
    if (block != NULL && from_ours(caller))
        atomic_fetch_add(&living, 1);
    return block;
}

void *malloc(size_t bytes)
{
    if (short_of_memory(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return given(__libc_malloc(bytes), __builtin_return_address(0));
}

void *calloc(size_t count, size_t size)
{
    if (short_of_memory(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return given(__libc_calloc(count, size), __builtin_return_address(0));
}

void *realloc(void *block, size_t bytes)
{
    if (short_of_memory(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(block, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes)
{
    if (short_of_memory(__builtin_return_address(0)))
        return ENOMEM;
    *block = given(__libc_memalign(alignment, bytes), __builtin_return_address(0));
    return *block == NULL ? ENOMEM : 0;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    if (short_of_memory(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return given(__libc_memalign(alignment, bytes), __builtin_return_address(0));
}

void free(void *block)
{
    if (block != NULL && from_ours(__builtin_return_address(0)))
        atomic_fetch_sub(&living, 1);
    __libc_free(block);
}

/* ---- files ---- */

static int with_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

#define MODE_OF(flags)                                                                                                 \
    mode_t mode = 0;                                                                                                   \
    if (with_mode(flags)) {                                                                                            \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

#define OPENS(name)                                                                                                    \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        MODE_OF(flags)                                                                                                 \
        if (!due(OPEN, -1))                                                                                            \
            return REAL(name)(path, flags, mode);                                                                      \
        return (int)ended(really() ? REAL(name)(path, flags, mode) : -1);                                              \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                                                                                 \
    int name(int folder, const char *path, int flags, ...)                                                             \
    {                                                                                                                  \
        MODE_OF(flags)                                                                                                 \
        if (!due(OPEN, -1))                                                                                            \
            return REAL(name)(folder, path, flags, mode);                                                              \
        return (int)ended(really() ? REAL(name)(folder, path, flags, mode) : -1);                                      \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

/* As many bytes as a call that is due may move. */
static size_t part(size_t count)
{
    return plan.outcome == END ? 0 : plan.outcome == SHORT || plan.outcome == KILL_WITHIN ? (count + 1) / 2 : count;
}

ssize_t read(int descriptor, void *to, size_t count)
{
    if (!due(READ, descriptor))
        return REAL(read)(descriptor, to, count);
    return ended(really() ? REAL(read)(descriptor, to, part(count)) : -1);
}

#define READS_AT(name)                                                                                                 \
    ssize_t name(int descriptor, void *to, size_t count, off_t at)                                                     \
    {                                                                                                                  \
        if (!due(READ, descriptor))                                                                                    \
            return REAL(name)(descriptor, to, count, at);                                                              \
        return ended(really() ? REAL(name)(descriptor, to, part(count), at) : -1);                                     \
    }
READS_AT(pread)
READS_AT(pread64)

ssize_t write(int descriptor, const void *from, size_t count)
{
    if (!due(WRITE, descriptor))
        return REAL(write)(descriptor, from, count);
    return ended(really() || plan.outcome == KILL_WITHIN ? REAL(write)(descriptor, from, part(count)) : -1);
}

#define FAILS(kind, type, name, descriptor, parameters, arguments)                                                     \
    type name parameters                                                                                               \
    {                                                                                                                  \
        if (!due(kind, descriptor))                                                                                    \
            return REAL(name) arguments;                                                                               \
        return (type)ended(really() ? REAL(name) arguments : -1);                                                      \
    }
/* The disk is never waited for: a process that is killed leaves what it has written in the system's memory anyway. */
#define SYNCS(name)                                                                                                    \
    int name(int of)                                                                                                   \
    {                                                                                                                  \
        return due(SYNC, of) ? (int)ended(really() ? 0 : -1) : 0;                                                      \
    }
SYNCS(fsync)
SYNCS(fdatasync)
FAILS(RENAME, int, rename, -1, (const char *from, const char *to), (from, to))
FAILS(RENAME, int, renameat, -1, (int a, const char *from, int b, const char *to), (a, from, b, to))
FAILS(SEEK, off_t, lseek, of, (int of, off_t at, int whence), (of, at, whence))
FAILS(SEEK, off_t, lseek64, of, (int of, off_t at, int whence), (of, at, whence))
FAILS(STATUS, int, fstat, of, (int of, struct stat *status), (of, status))
FAILS(STATUS, int, fstat64, of, (int of, struct stat64 *status), (of, status))
FAILS(MODE, int, chmod, -1, (const char *path, mode_t mode), (path, mode))

/* A close that fails has closed: Linux gives the number back whatever it says. */
int close(int descriptor)
{
    const int failing = due(CLOSE, descriptor);
    const int result = REAL(close)(descriptor);
    return failing ? (int)ended(result) : result;
}

/* Whose code a crash is in: the libraries of the innermost calls, on stderr. */
static void tell_crash(int number)
{
    void *calls[24];
    backtrace_symbols_fd(calls, backtrace(calls, 24), 2);
    signal(number, SIG_DFL);
    raise(number);
}

__attribute__((constructor)) static void from_environment(void)
{
    void *first[1];
    backtrace(first, 1); /* loads what it needs now, while there is memory */
    signal(SIGSEGV, tell_crash);
    signal(SIGABRT, tell_crash);
    const char *text = getenv("LSTM_ENGINE_FAULT");
    unsigned kinds;
    long at, count;
    int outcome, error, descriptor;
    if (text != NULL
        && sscanf(text, "%u %ld %ld %d %d %d", &kinds, &at, &count, &outcome, &error, &descriptor) == 6)
        fault_arm(kinds, at, count, outcome, error, descriptor);
}

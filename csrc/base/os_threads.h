/* What threads of our own need of the system, from POSIX or Windows: a mutex, a condition with a time limit, a thread,
 * and where there is a way to, which CPU it runs on. A file that includes this defines _GNU_SOURCE first. */
#ifndef LE_BASE_OS_THREADS_H
#define LE_BASE_OS_THREADS_H

#include <stdint.h>

#if defined(_WIN32)
#include <process.h>
#include <windows.h>

typedef SRWLOCK le_mutex;
typedef CONDITION_VARIABLE le_condition;
#define LE_THREAD_RESULT unsigned __stdcall
#define LE_THREAD_NULL 0

static inline void le_mutex_init(le_mutex *mutex)
{
    InitializeSRWLock(mutex);
}

static inline void le_mutex_lock(le_mutex *mutex)
{
    AcquireSRWLockExclusive(mutex);
}

static inline void le_mutex_unlock(le_mutex *mutex)
{
    ReleaseSRWLockExclusive(mutex);
}

static inline void le_condition_init(le_condition *condition)
{
    InitializeConditionVariable(condition);
}

static inline void le_condition_signal(le_condition *condition)
{
    WakeConditionVariable(condition);
}

static inline void le_condition_wait(le_condition *condition, le_mutex *mutex)
{
    SleepConditionVariableSRW(condition, mutex, INFINITE, 0);
}

/* Returns after a signal, after `ns`, or now and then for no reason. */
static inline void le_condition_wait_for(le_condition *condition, le_mutex *mutex, int64_t ns)
{
    SleepConditionVariableSRW(condition, mutex, (DWORD)(ns / 1000000 + 1), 0);
}

/* Whether a thread that runs work(argument), and is nobody's to join, has begun. */
static inline int le_thread_start(unsigned(__stdcall *work)(void *), void *argument)
{
    const uintptr_t thread = _beginthreadex(NULL, 0, work, argument, 0, NULL);
    if (thread == 0)
        return 0;
    CloseHandle((HANDLE)thread);
    return 1;
}

/* Nothing to do: there is no fork(). */
static inline int le_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)before, (void)parent, (void)child;
    return 1;
}

#else
#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef pthread_mutex_t le_mutex;
typedef pthread_cond_t le_condition;
#define LE_THREAD_RESULT void *
#define LE_THREAD_NULL NULL

static inline void le_mutex_init(le_mutex *mutex)
{
    pthread_mutex_init(mutex, NULL);
}

static inline void le_mutex_lock(le_mutex *mutex)
{
    pthread_mutex_lock(mutex);
}

static inline void le_mutex_unlock(le_mutex *mutex)
{
    pthread_mutex_unlock(mutex);
}

static inline void le_condition_init(le_condition *condition)
{
#if defined(__APPLE__)
    pthread_cond_init(condition, NULL);
#else
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
#endif
}

static inline void le_condition_signal(le_condition *condition)
{
    pthread_cond_signal(condition);
}

static inline void le_condition_wait(le_condition *condition, le_mutex *mutex)
{
    pthread_cond_wait(condition, mutex);
}

/* Returns after a signal, after `ns`, or now and then for no reason. */
static inline void le_condition_wait_for(le_condition *condition, le_mutex *mutex, int64_t ns)
{
    struct timespec time;
#if defined(__APPLE__)
    time = (struct timespec){ns / 1000000000, ns % 1000000000};
    pthread_cond_timedwait_relative_np(condition, mutex, &time);
#else
    clock_gettime(CLOCK_MONOTONIC, &time);
    ns += time.tv_nsec;
    time.tv_sec += ns / 1000000000;
    time.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(condition, mutex, &time);
#endif
}

/* Whether a thread that runs work(argument), and is nobody's to join, has begun. Signals are for the threads that were
 * there before. */
static inline int le_thread_start(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, NULL, work, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        pthread_detach(thread);
    return !failed;
}

/* Whether the functions are called around every fork() from now on. */
static inline int le_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return pthread_atfork(before, parent, child) == 0;
}
#endif

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef pid_t le_thread_id;

static inline le_thread_id le_thread_self(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* The CPU that this thread is on, -1 where that cannot be told. */
static inline int le_thread_cpu(void)
{
    return sched_getcpu();
}

/* Have a thread run on the CPUs that the calling one may use, but not on `cpu`; whether there are any. */
static inline int le_thread_leave(le_thread_id thread, int cpu)
{
    cpu_set_t others;
    if (cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof others, &others) != 0)
        return 1;
    CPU_CLR((size_t)cpu, &others);
    if (CPU_COUNT(&others) == 0)
        return 0;
    sched_setaffinity(thread, sizeof others, &others); /* refused: it stays where it is */
    return 1;
}
#else
typedef int le_thread_id;

static inline le_thread_id le_thread_self(void)
{
    return 0;
}

static inline int le_thread_cpu(void)
{
    return -1;
}

static inline int le_thread_leave(le_thread_id thread, int cpu)
{
    (void)thread, (void)cpu;
    return 1;
}
#endif

#endif

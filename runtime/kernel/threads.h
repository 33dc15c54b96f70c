/* A few pieces of work at the same time, each in a thread of its own: POSIX threads, or those of Windows. */
#ifndef EDGESCOPE_THREADS_H
#define EDGESCOPE_THREADS_H

#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#undef near /* macros of its own, in the way of ordinary names */
#undef far
typedef HANDLE Thread;
#else
#include <pthread.h>
typedef pthread_t Thread;
#endif

#define MOST_THREADS 64

typedef struct {
    void (*run)(void *);
    void *task;
} Work;

#ifdef _WIN32
static DWORD WINAPI thread_main(LPVOID work) {
    ((Work *)work)->run(((Work *)work)->task);
    return 0;
}

static int begin(Thread *thread, Work *work) {
    *thread = CreateThread(NULL, 0, thread_main, work, 0, NULL);
    return *thread != NULL;
}

static void wait_for(Thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}
#else
static void *thread_main(void *work) {
    ((Work *)work)->run(((Work *)work)->task);
    return NULL;
}

static int begin(Thread *thread, Work *work) { return !pthread_create(thread, NULL, thread_main, work); }

static void wait_for(Thread thread) { pthread_join(thread, NULL); }
#endif

/* Do all of it, 1 to MOST_THREADS pieces, and return. The first is done here, and so is what no thread can be had for;
 * all of it one after the other unless `together`. */
static void do_all(Work *work, int32_t count, int together) {
    Thread threads[MOST_THREADS];
    int began[MOST_THREADS];
    for (int32_t k = 1; k < count; k++) began[k] = together && begin(threads + k, work + k);
    work[0].run(work[0].task);
    for (int32_t k = 1; k < count; k++) {
        if (began[k]) wait_for(threads[k]);
        else work[k].run(work[k].task);
    }
}

#endif

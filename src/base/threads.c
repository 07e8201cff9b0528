/* A plain pool over POSIX threads; see threads.h. */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cpu.h"

struct thread_pool {
    int thread_count;   /* the caller included */
    pthread_t *threads; /* thread_count - 1 of them */
    int started;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_cond_t finished;
    atomic_ullong job; /* counts jobs; workers wait for it to change */
    atomic_bool stopping;
    atomic_int busy; /* workers still inside the current job */
    int patience;    /* looks before a thread lies down to sleep */
    thread_work *work;
    void *context;
    int shard_count;
    atomic_int next_shard;
};

typedef struct worker_start {
    thread_pool *pool;
    int worker;
} worker_start;

/* Set while a thread executes shards: a nested thread_pool_run then stays on its own thread. */
static _Thread_local int current_worker = -1;

/* Looks at a value until it is another one, for as long as waking a sleeping thread may take: between two jobs of a
 * language model's token lie a few microseconds, and a sleeper would be late for each. */
#define PATIENCE 3000 /* some 50 microseconds */

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run_shards(thread_pool *pool, int worker) {
    current_worker = worker;
    for (;;) {
        int shard = atomic_fetch_add(&pool->next_shard, 1);
        if (shard >= pool->shard_count) break;
        pool->work(pool->context, shard, worker);
    }
    current_worker = -1;
}

/* False: no job will come any more. */
static bool wait_for_job(thread_pool *pool, uint64_t seen) {
    for (int i = 0; i < pool->patience && atomic_load(&pool->job) == seen; i++) pause_briefly();
    if (atomic_load(&pool->job) != seen) return true;
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(&pool->job) == seen && !atomic_load(&pool->stopping))
        pthread_cond_wait(&pool->wake, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    return atomic_load(&pool->job) != seen;
}

static void wait_for_workers(thread_pool *pool) {
    for (int i = 0; i < pool->patience && atomic_load(&pool->busy) > 0; i++) pause_briefly();
    if (atomic_load(&pool->busy) == 0) return;
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(&pool->busy) > 0) pthread_cond_wait(&pool->finished, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument) {
    worker_start start = *(worker_start *)argument;
    free(argument);
    thread_pool *pool = start.pool;
    cpu_flush_denormals(); /* as graph_forward does on the calling thread: every shard computes alike */
    for (uint64_t seen = 0; wait_for_job(pool, seen); seen++) { /* no job begins before all have done the last one */
        run_shards(pool, start.worker);
        if (atomic_fetch_sub(&pool->busy, 1) > 1) continue;
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_signal(&pool->finished);
        pthread_mutex_unlock(&pool->mutex);
    }
    return NULL;
}

int thread_start(pthread_t *out, void *(*run)(void *), void *argument) {
    sigset_t asynchronous, before;
    sigfillset(&asynchronous);
    const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof own_faults / sizeof *own_faults; i++) sigdelset(&asynchronous, own_faults[i]);
    pthread_sigmask(SIG_SETMASK, &asynchronous, &before);
    int status = pthread_create(out, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

int thread_available_count(void) {
    int count = 1;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
    FILE *quota_file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (quota_file) {
        long long quota, period;
        if (fscanf(quota_file, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
            long long processors = (quota + period - 1) / period;
            if (processors < count) count = (int)processors;
        }
        fclose(quota_file);
    }
    return count > 0 ? count : 1;
}

carina_status thread_pool_create(thread_pool **out, int thread_count, carina_error *error) {
    *out = NULL;
    if (thread_count == 0) thread_count = thread_available_count();
    if (thread_count < 1 || thread_count > 1024)
        return error_set(error, CARINA_ERROR_ARGUMENT, "threads: %d is not between 1 and 1024", thread_count);
    thread_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return error_memory(error, "thread pool", sizeof *pool);
    pool->thread_count = thread_count;
    pool->patience = thread_count <= thread_available_count() ? PATIENCE : 0; /* or one would wait in another's way */
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->threads = calloc((size_t)thread_count, sizeof *pool->threads);
    if (!pool->threads) {
        thread_pool_free(pool);
        return error_memory(error, "thread pool", (unsigned long long)thread_count * sizeof *pool->threads);
    }
    for (int i = 1; i < thread_count; i++) {
        worker_start *start = malloc(sizeof *start);
        if (start) *start = (worker_start){pool, i};
        if (!start || thread_start(&pool->threads[pool->started], worker_main, start) != 0) {
            free(start);
            thread_pool_free(pool);
            return error_set(error, CARINA_ERROR_MEMORY, "threads: cannot start thread %d of %d", i + 1, thread_count);
        }
        pool->started++;
    }
    *out = pool;
    return CARINA_OK;
}

void thread_pool_free(thread_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stopping, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool);
}

int thread_pool_count(const thread_pool *pool) { return pool ? pool->thread_count : 1; }

void thread_pool_run(thread_pool *pool, int shard_count, thread_work *work, void *context) {
    if (!pool || pool->thread_count == 1 || shard_count <= 1 || current_worker >= 0) {
        int worker = current_worker >= 0 ? current_worker : 0;
        for (int shard = 0; shard < shard_count; shard++) work(context, shard, worker);
        return;
    }
    pool->work = work;
    pool->context = context;
    pool->shard_count = shard_count;
    atomic_store(&pool->next_shard, 0);
    atomic_store(&pool->busy, pool->thread_count - 1);
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->job, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    run_shards(pool, 0);
    wait_for_workers(pool);
}

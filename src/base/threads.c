/* A plain pool over POSIX threads; see threads.h. */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
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
    uint64_t job; /* counts jobs; workers wait for it to change */
    bool stopping;
    int busy; /* workers still inside the current job */
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

static void run_shards(thread_pool *pool, int worker) {
    current_worker = worker;
    for (;;) {
        int shard = atomic_fetch_add(&pool->next_shard, 1);
        if (shard >= pool->shard_count) break;
        pool->work(pool->context, shard, worker);
    }
    current_worker = -1;
}

static void *worker_main(void *argument) {
    worker_start start = *(worker_start *)argument;
    free(argument);
    thread_pool *pool = start.pool;
    cpu_flush_denormals(); /* as graph_forward does on the calling thread: every shard computes alike */
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->job == seen && !pool->stopping) pthread_cond_wait(&pool->wake, &pool->mutex);
        if (pool->stopping) break;
        seen = pool->job;
        pthread_mutex_unlock(&pool->mutex);
        run_shards(pool, start.worker);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0) pthread_cond_signal(&pool->finished);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
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
        if (!start || pthread_create(&pool->threads[pool->started], NULL, worker_main, start) != 0) {
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
    pool->stopping = true;
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
    pthread_mutex_lock(&pool->mutex);
    pool->work = work;
    pool->context = context;
    pool->shard_count = shard_count;
    atomic_store(&pool->next_shard, 0);
    pool->busy = pool->thread_count - 1;
    pool->job++;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    run_shards(pool, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy > 0) pthread_cond_wait(&pool->finished, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

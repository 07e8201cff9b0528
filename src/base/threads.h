/* The one thread pool. Work is cut into shards by its shape, never by the number of threads: shard i does the same
 * arithmetic whoever runs it, so results are equal for any thread count. Waiting threads look
 * out for some 50 microseconds, then sleep; with more threads than processors they sleep at once.
 */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include <pthread.h>

#include "base/error.h"

typedef struct thread_pool thread_pool;

/* thread_count counts the calling thread; 0 means all processors this process may use. */
carina_status thread_pool_create(thread_pool **out, int thread_count, carina_error *error);
void thread_pool_free(thread_pool *pool);       /* accepts NULL */
int thread_pool_count(const thread_pool *pool); /* 1 for NULL */

/* Calls work(context, shard, worker) for shard = 0 .. shard_count - 1 and returns when all are done. Shards are handed
 * out in order; `worker` in [0, thread_pool_count) names the thread for scratch memory. Calls from inside a worker run
 * on that worker alone. NULL pool: everything on the calling thread. */
typedef void thread_work(void *context, int shard, int worker);
void thread_pool_run(thread_pool *pool, int shard_count, thread_work *work, void *context);

/* A thread that signals to the process do not reach: those are the business of the thread that catches them. As
 * pthread_create otherwise. */
int thread_start(pthread_t *out, void *(*run)(void *), void *argument);

/* Processors this process may use (affinity and cgroup quota respected). */
int thread_available_count(void);

#endif

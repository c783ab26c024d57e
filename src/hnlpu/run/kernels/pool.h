/* A pool that sleeps: a region's units are taken one by one from an atomic counter.

   The caller works too, so a helper that is slow to wake, or whose core runs another job, costs
   its own share and no more.  Helpers look for the next region for SPIN_NS, then sleep in the
   kernel.  A caller that finds the pool taken does its region alone. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define SPIN_NS 30000
#define MOST_THREADS 256

typedef void (*Unit)(void *context, int64_t unit);

typedef struct {
    Unit run;
    void *context;
    int64_t units;
    _Atomic int64_t next;
} Region;

static struct {
    pthread_mutex_t owner; /* held by the caller whose region runs */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t work, done;
    Region *region;
    int inside;  /* helpers that hold `region` */
    int helpers; /* threads started */
    int wanted;  /* helpers that may take part */
    _Atomic uint64_t generation;
} pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
          PTHREAD_COND_INITIALIZER, NULL, 0, 0, 0, 0};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void drain(Region *region)
{
    for (;;) {
        int64_t unit = atomic_fetch_add_explicit(&region->next, 1, memory_order_relaxed);
        if (unit >= region->units)
            return;
        region->run(region->context, unit);
    }
}

static void *helper(void *argument)
{
    const int number = (int)(intptr_t)argument;
    uint64_t seen = 0;
    for (;;) {
        int64_t until = now_ns() + SPIN_NS;
        while (atomic_load_explicit(&pool.generation, memory_order_acquire) == seen &&
               now_ns() < until)
            for (int i = 0; i < 8; i++)
                relax();
        pthread_mutex_lock(&pool.lock);
        while (atomic_load_explicit(&pool.generation, memory_order_relaxed) == seen)
            pthread_cond_wait(&pool.work, &pool.lock);
        seen = atomic_load_explicit(&pool.generation, memory_order_relaxed);
        Region *region = number < pool.wanted ? pool.region : NULL;
        if (region)
            pool.inside++;
        pthread_mutex_unlock(&pool.lock);
        if (!region)
            continue;
        drain(region);
        pthread_mutex_lock(&pool.lock);
        if (--pool.inside == 0)
            pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* A forked child has none of its parent's helpers: it starts its own when it needs them. */
static void after_fork(void)
{
    pthread_mutex_init(&pool.owner, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.work, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.region = NULL;
    pool.inside = pool.helpers = 0;
}

static void start_helpers(void)
{
    static int registered;
    if (!registered)
        registered = pthread_atfork(NULL, NULL, after_fork) == 0;
    while (pool.helpers < pool.wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, helper, (void *)(intptr_t)pool.helpers))
            return; /* fewer helpers, same results */
        pthread_detach(thread);
        pool.helpers++;
    }
}

/* Run units 0..units-1, each once, in any order, on this thread and on helpers that are free. */
static void in_parallel(Unit run, void *context, int64_t units)
{
    Region region = {run, context, units, 0};
    if (units < 2 || pool.wanted == 0 || pthread_mutex_trylock(&pool.owner)) {
        drain(&region);
        return;
    }
    start_helpers();
    pthread_mutex_lock(&pool.lock);
    pool.region = &region;
    atomic_fetch_add_explicit(&pool.generation, 1, memory_order_release);
    pthread_mutex_unlock(&pool.lock);
    pthread_cond_broadcast(&pool.work);
    drain(&region);
    pthread_mutex_lock(&pool.lock);
    pool.region = NULL;
    while (pool.inside)
        pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.owner);
}

/* Memory of a thread that grows as needed and goes with the thread. */
typedef struct {
    void *memory;
    size_t size;
} Scratch;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void free_scratch(void *value)
{
    free(((Scratch *)value)->memory);
    free(value);
}

static void make_scratch_key(void)
{
    pthread_key_create(&scratch_key, free_scratch);
}

/* At least `size` bytes on a 64-byte boundary, or NULL when memory is short. */
static void *scratch(size_t size)
{
    pthread_once(&scratch_once, make_scratch_key);
    Scratch *mine = pthread_getspecific(scratch_key);
    if (!mine) {
        mine = calloc(1, sizeof *mine);
        if (!mine)
            return NULL;
        pthread_setspecific(scratch_key, mine);
    }
    if (mine->size < size) {
        void *memory = NULL;
        free(mine->memory);
        mine->memory = NULL;
        mine->size = 0;
        if (posix_memalign(&memory, 64, size))
            return NULL;
        mine->memory = memory;
        mine->size = size;
    }
    return mine->memory;
}

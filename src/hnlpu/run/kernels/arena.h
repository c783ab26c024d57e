/* Memory handed out piece by piece, given back as a whole. */
typedef struct {
    char *memory;
    size_t used, mapped; /* `mapped`: size of its own mapping, 0 on the heap */
} Arena;

#define LARGE_PAGE ((size_t)1 << 21)

/* A large arena is a mapping of its own, which leaves no gap in the heap when it goes, on large
   pages where the system has them: it zeroes them sooner. */
static int open_arena(Arena *arena, size_t size)
{
    void *memory = NULL;
    if (size < 2 * LARGE_PAGE) {
        if (posix_memalign(&memory, 64, size))
            return 2;
        *arena = (Arena){memory, 0, 0};
        return 0;
    }
    const size_t mapped = size + LARGE_PAGE;
    memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 2;
    const size_t before = (LARGE_PAGE - (uintptr_t)memory % LARGE_PAGE) % LARGE_PAGE;
#ifdef MADV_HUGEPAGE
    madvise((char *)memory + before, size / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#endif
    *arena = (Arena){memory, before, mapped};
    return 0;
}

static void close_arena(Arena *arena)
{
    if (arena->mapped)
        munmap(arena->memory, arena->mapped);
    else
        free(arena->memory);
}

static void *take(Arena *arena, int64_t count, size_t size)
{
    void *piece = arena->memory + arena->used;
    arena->used += ((size_t)count * size + 63) / 64 * 64;
    return piece;
}

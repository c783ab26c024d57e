/* Exact integer sums of hardwired matrices, and the emulator's vector unit, in C.

   Entry points take plain pointers and 64-bit integers.  They return 0 when done, or
     1  an activation lies outside of 16 bits
     2  memory is short
     3  a row's exponents spread further than any build's
     4  a value is not finite
   in which cases nothing may be used of what they wrote.  docs/arithmetic.md is the definition. */

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <sys/mman.h>

#include "kernels.h"
#include "pool.h"

#include "portable.h"
#if defined(__x86_64__)
/* Whether the processor has the features of CPUID leaf 7 (EBX and ECX), and the system saves the
   registers of XCR0.  Compilers' own tests need a run-time library that zig lacks. */
static int x86_has(unsigned ebx, unsigned ecx, unsigned registers)
{
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & registers) != registers || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (b & ebx) == ebx && (c & ecx) == ecx;
}

#include "x86_avx2.h"
#include "x86_avx512.h"
#elif defined(__aarch64__)
#include "arm64_neon.h"
#endif

#ifndef SOURCE_DIGEST
#define SOURCE_DIGEST "unknown"
#endif
#define EXPORT __attribute__((visibility("default")))
#define FEW_ROWS 64 /* of a unit of work: some 30 kB of digits */

#define VECTOR_UNIT(set) \
    set##_plane, set##_to_float, set##_norm, set##_quantize, set##_rotate, set##_swiglu, set##_silu, \
    set##_attend

/* best first; the number of tokens up to which reading packed digits wins is measured
   (benchmarks/kernels.py) */
#define ANY INT64_MAX
static const Instructions INSTRUCTIONS[] = {
#if defined(__x86_64__)
    {"avx512", 64, 4, 32, avx512_block_of, 12, {0, ANY, 15, 7}, avx512_few, avx512_tile, avx512_unpack, avx512_usable, VECTOR_UNIT(avx512)},
    {"avx2", 32, 8, 16, avx2_block_of, 4, {0, ANY, 11, 7}, avx2_few, avx2_tile, avx2_unpack, avx2_usable, VECTOR_UNIT(avx2)},
#elif defined(__aarch64__)
    {"neon", 16, 1, 0, NULL, 4, {0, 32, 16, 12}, neon_few, neon_tile, portable_unpack, neon_usable, VECTOR_UNIT(neon)},
#endif
    {"portable", 16, 1, 0, NULL, 4, {0, 4, 2, 1}, portable_few, portable_tile, portable_unpack, portable_usable,
     VECTOR_UNIT(portable)},
};
#define INSTRUCTION_SETS (int64_t)(sizeof INSTRUCTIONS / sizeof *INSTRUCTIONS)

#include "many_tokens.h"

typedef struct {
    const Matrix *matrix;
    const int32_t *x;      /* [tokens][columns] */
    const int32_t *scales; /* [tokens], where `out` is asked for */
    int64_t tokens;
    int64_t *sums; /* [tokens][rows], or NULL */
    float *out;    /* [tokens][rows], or NULL */
} Job;

typedef struct {
    const Instructions *isa;
    Job job;
    int few;
    Planes planes;
    ManyTokens many;
    int64_t first_unit, units;
} Prepared;

typedef struct {
    const Instructions *isa;
    Prepared *jobs;
    int64_t count;
    _Atomic int error;
} Work;

static int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

static void finish(void *to, int64_t token, int64_t tokens, int64_t row, int64_t rows,
                   const int64_t *sums, int64_t stride)
{
    const Prepared *prepared = to;
    const Job *job = &prepared->job;
    const Matrix *m = job->matrix;
    for (int64_t t = 0; t < tokens; t++) {
        const int64_t at = (token + t) * m->rows + row;
        if (job->sums)
            memcpy(job->sums + at, sums + t * stride, (size_t)rows * sizeof *sums);
        if (!job->out)
            continue;
        prepared->isa->to_float(sums + t * stride, m->row_exponents + row, m->bias ? m->bias + row : NULL,
                           job->scales[token + t], rows, job->out + at);
    }
}

static void run_unit(void *context, int64_t unit)
{
    Work *work = context;
    Prepared *p = work->jobs;
    while (unit >= p->first_unit + p->units)
        p++;
    if (!p->few) {
        const int error = many_tokens(&p->many, (unit - p->first_unit) * PANEL, finish, p);
        if (error)
            work->error = error;
        return;
    }
    const int64_t first = (unit - p->first_unit) * FEW_ROWS, all = p->job.matrix->rows;
    int64_t sums[MOST_FEW * FEW_ROWS];
    FewRows rows = {p->job.matrix, &p->planes, first, all - first < FEW_ROWS ? all - first : FEW_ROWS,
                    0, 0, sums};
    for (int64_t done; rows.token < p->job.tokens; rows.token += done) {
        rows.tokens = p->job.tokens - rows.token;
        done = work->isa->few(&rows);
        finish(p, rows.token, done, first, rows.rows, sums, rows.rows);
    }
}

static void range_of(const int32_t *x, int64_t n, int32_t *low, int32_t *high)
{
    int32_t a = 0, b = 0;
    for (int64_t i = 0; i < n; i++) {
        a = x[i] < a ? x[i] : a;
        b = x[i] > b ? x[i] : b;
    }
    *low = a;
    *high = b;
}

/* -6 times the sums of a chunk's blocks, from their bytes of one plane; see kernels.h */
static void fill_block_sums(const Instructions *isa, const Planes *p, int64_t t, int64_t chunk,
                            int plane, int64_t in_chunk)
{
    const int64_t group = p->group, in_group = group / 16;
    int16_t *sums = p->block_sums + ((t * p->chunks + chunk) * p->planes + plane) * isa->words;
    for (int64_t word = 0; word < isa->words; word++) {
        const int64_t place = isa->block_of[word], g = chunk * in_chunk + place / in_group;
        int32_t sum = 0;
        if (place >= 0 && g < p->groups) {
            const int8_t *bytes =
                p->bytes + ((t * p->groups + g) * p->planes + plane) * 2 * group + place % in_group * 16;
            for (int i = 0; i < 16; i++)
                sum += bytes[i] + bytes[group + i];
        }
        sums[word] = (int16_t)(-LARGEST_CODE / 2 * sum);
    }
}

/* x as planes of bytes in the order in which the kernels read codes; see kernels.h. */
static void fill_planes(const Instructions *isa, Planes *p, const int32_t *x, int64_t tokens,
                        int64_t columns)
{
    const int64_t group = p->group;
    for (int64_t t = 0; t < tokens; t++)
        for (int plane = 0; plane < p->planes; plane++) {
            for (int64_t g = 0; g < p->groups; g++) {
                const int32_t *from = x + t * columns + 2 * group * g;
                const int64_t left = columns - 2 * group * g;
                isa->plane(from, (left < 2 * group ? left : 2 * group) / 2, plane, group,
                           p->bytes + ((t * p->groups + g) * p->planes + plane) * 2 * group);
            }
            for (int64_t chunk = 0; chunk < p->chunks && isa->words; chunk++)
                fill_block_sums(isa, p, t, chunk, plane, isa->chunk);
        }
}

/* Choose a job's kernel and bring its activations to the kernel's form, or say why not. */
static int prepare(const Instructions *isa, Prepared *p, const Prepared *before, int64_t way)
{
    const Job *job = &p->job;
    const int64_t columns = job->matrix->blocks * BLOCK;
    if (before && before->job.x == job->x && before->job.tokens == job->tokens &&
        before->job.matrix->blocks == job->matrix->blocks) {
        p->few = before->few;
        p->planes = before->planes;
        p->many = before->many;
        p->many.matrix = job->matrix;
        return 0;
    }
    int32_t low, high;
    range_of(job->x, job->tokens * columns, &low, &high);
    if (low < INT16_MIN || high > INT16_MAX)
        return 1;
    const int64_t planes = low >= -128 && high <= 127 ? 1 : high < 127 * 256 + 128 ? 2 : 3;
    p->few = way ? way == 1 : job->tokens <= isa->few_tokens[planes];
    void *memory = NULL;
    if (p->few) {
        const int64_t groups = round_up(job->matrix->blocks * 16, isa->group) / isa->group;
        const int64_t chunks = round_up(groups, isa->chunk) / isa->chunk;
        const int64_t bytes = round_up(job->tokens * groups * planes * 2 * isa->group, 64);
        if (posix_memalign(&memory, 64, (size_t)(bytes + job->tokens * chunks * planes * isa->words * 2)))
            return 2;
        p->planes = (Planes){isa->group, groups, chunks, planes, memory,
                             (int16_t *)((int8_t *)memory + bytes)};
        fill_planes(isa, &p->planes, job->x, job->tokens, columns);
        return 0;
    }
    if (posix_memalign(&memory, 64, (size_t)(job->tokens * columns * 2)))
        return 2;
    int16_t *x = memory;
    for (int64_t i = 0; i < job->tokens * columns; i++)
        x[i] = (int16_t)job->x[i];
    p->many = (ManyTokens){isa, job->matrix, x, job->tokens, high > -low ? high : -low};
    return 0;
}

static void release(Prepared *jobs, int64_t count)
{
    const void *last = NULL; /* neighbours may share their activations */
    for (int64_t i = 0; i < count; i++) {
        void *memory = jobs[i].few ? (void *)jobs[i].planes.bytes : (void *)jobs[i].many.x;
        if (memory != last)
            free(memory);
        last = memory;
    }
    free(jobs);
}

/* Sums of several matrices as one piece of parallel work; `way` is 0 to choose by the number of
   tokens, 1 for packed digits, 2 for panels. */
static int project(const Instructions *isa, const Job *given, int64_t count, int64_t way)
{
    Prepared *jobs = calloc((size_t)count + 1, sizeof *jobs);
    if (!jobs)
        return 2;
    int64_t units = 0;
    int error = 0;
    for (int64_t i = 0; i < count && !error; i++) {
        Prepared *p = &jobs[i];
        p->isa = isa;
        p->job = given[i];
        error = prepare(isa, p, i ? p - 1 : NULL, way);
        const int64_t step = p->few ? FEW_ROWS : PANEL;
        p->first_unit = units;
        p->units = round_up(p->job.matrix->rows, step) / step;
        units += p->units;
    }
    Work work = {isa, jobs, count, 0};
    if (!error) {
        in_parallel(run_unit, &work, units);
        error = work.error;
    }
    release(jobs, count);
    return error;
}

#include "arena.h"
#include "rows.h"
#include "experts.h"
#include "attend.h"
#include "tape.h"
#include "pointwise.h"
#include "reduce.h"
#include "recurrent.h"
#include "members.h"
#include "low_rank.h"
#include "run_tape.h"

static const Instructions *usable[INSTRUCTION_SETS + 1]; /* then NULL */
static pthread_once_t usable_once = PTHREAD_ONCE_INIT;

/* Asked once: under a hypervisor CPUID takes as long as a matrix. */
static void find_usable(void)
{
    for (int64_t i = 0, found = 0; i < INSTRUCTION_SETS; i++)
        if (INSTRUCTIONS[i].usable())
            usable[found++] = &INSTRUCTIONS[i];
}

/* The `number`-th usable instruction set, best first, or NULL past the last. */
static const Instructions *instructions(int64_t number)
{
    pthread_once(&usable_once, find_usable);
    return usable[number < INSTRUCTION_SETS ? number : INSTRUCTION_SETS];
}

EXPORT int hnlpu_project(const Job *jobs, int64_t count, int64_t set, int64_t way)
{
    return project(instructions(set), jobs, count, way);
}

EXPORT int hnlpu_attend(const Attention *attention, int64_t set)
{
    return attend(instructions(set), attention);
}

EXPORT int hnlpu_tape(const Instruction *tape, int64_t count, int64_t row_bytes, int64_t turn_bytes,
                      const Batch *batch, int64_t set)
{
    return run_tape(instructions(set), tape, count, row_bytes, turn_bytes, batch);
}

/* RMSNorm of x [rows][n] */
EXPORT int hnlpu_norm(const float *x, const float *weight, int64_t rows, int64_t n, double eps,
                      int64_t set, float *out)
{
    for (int64_t row = 0; row < rows; row++)
        instructions(set)->norm(x + row * n, weight, n, eps, out + row * n);
    return 0;
}

/* x [rows][n] as integers of `bits` bits and the exponents of their scales [rows] */
EXPORT int hnlpu_quantize(const float *x, int64_t rows, int64_t n, int64_t bits, int64_t set,
                          int32_t *integers, int32_t *scales)
{
    int error = 0;
    for (int64_t row = 0; row < rows && !error; row++)
        error = instructions(set)->quantize(x + row * n, n, bits, integers + row * n, scales + row);
    return error;
}

EXPORT const char *hnlpu_instructions(int64_t number)
{
    const Instructions *found = instructions(number);
    return found ? found->name : NULL;
}

/* Digest of the source that this library was made from. */
EXPORT const char *hnlpu_source(void) { return SOURCE_DIGEST; }

/* Threads that a call may use, its caller's included. */
EXPORT void hnlpu_set_threads(int64_t threads)
{
    pthread_mutex_lock(&pool.owner);
    pthread_mutex_lock(&pool.lock);
    pool.wanted = threads < 1 ? 0 : threads > MOST_THREADS ? MOST_THREADS : (int)threads - 1;
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.owner);
}

/* Sums of a few tokens straight from the codes: a template over one instruction set.

   The including file defines NAME(x), TARGET, GROUP (code bytes of a vector), LANES (32-bit lanes),
   PRODUCTS (of one lane and group), Vector, Codes, Wide and the inline functions zero, add, shift_left, shifts, load_codes, part,
   add_wide, zero_wide, total, total_wide and exceeds used below.

   A lane's part of a group, PRODUCTS products of at most 12 * 128 each, is shifted by its block's e - b and
   added in 32 bits where no sum of the row can overflow, else in 64. */

#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE void NAME(narrow)(const FewRows *job, int64_t row, const int T, const int P)
{
    const Matrix *m = job->matrix;
    const Planes *x = job->planes;
    const int64_t groups = x->groups, blocks = m->blocks;
    const int b = m->row_exponents[row];
    Vector sums[MOST_FEW][MOST_PLANES];
#pragma GCC unroll 4
    for (int t = 0; t < T; t++)
#pragma GCC unroll 3
        for (int p = 0; p < P; p++)
            sums[t][p] = NAME(zero)();
    for (int64_t d = 0; d < m->digits; d++) {
        const uint8_t *codes = m->codes[d] + row * blocks * 16;
        const uint8_t *exponents = m->exponents[d] + row * blocks;
        const int8_t *bytes = x->bytes + job->token * groups * P * 2 * GROUP;
        const int32_t *corrections = x->corrections + job->token * groups * P * LANES;
        for (int64_t g = 0; g < groups; g++) {
            const int64_t left = blocks - g * (GROUP / 16);
            const Codes w = NAME(load_codes)(codes + g * GROUP, left);
            const Vector shift = NAME(shifts)(exponents + g * (GROUP / 16), left, b);
            __builtin_prefetch(codes + g * GROUP + AHEAD);
#pragma GCC unroll 4
            for (int t = 0; t < T; t++)
#pragma GCC unroll 3
                for (int p = 0; p < P; p++) {
                    const int64_t at = (t * groups + g) * P + p;
                    const Vector sum =
                        NAME(part)(w, bytes + at * 2 * GROUP, corrections + at * LANES);
                    sums[t][p] = NAME(add)(sums[t][p], NAME(shift_left)(sum, shift));
                }
        }
    }
    for (int t = 0; t < T; t++) {
        int64_t high = 0;
        for (int p = 1; p < P; p++)
            high += NAME(total)(sums[t][p]);
        job->sums[t * job->rows + row - job->first] = NAME(total)(sums[t][0]) + high * 256;
    }
}

INLINE void NAME(wide)(const FewRows *job, int64_t row, const int P)
{
    const Matrix *m = job->matrix;
    const Planes *x = job->planes;
    const int64_t groups = x->groups, blocks = m->blocks;
    const int b = m->row_exponents[row];
    for (int64_t t = 0; t < job->tokens; t++) {
        Wide sums[MOST_PLANES];
        for (int p = 0; p < P; p++)
            sums[p] = NAME(zero_wide)();
        for (int64_t d = 0; d < m->digits; d++)
            for (int64_t g = 0; g < groups; g++) {
                const int64_t left = blocks - g * (GROUP / 16);
                const Codes w =
                    NAME(load_codes)(m->codes[d] + (row * blocks + g * (GROUP / 16)) * 16, left);
                const Vector shift =
                    NAME(shifts)(m->exponents[d] + row * blocks + g * (GROUP / 16), left, b);
                const int64_t at = ((job->token + t) * groups + g) * P;
                for (int p = 0; p < P; p++)
                    sums[p] = NAME(add_wide)(
                        sums[p],
                        NAME(part)(w, x->bytes + (at + p) * 2 * GROUP,
                                   x->corrections + (at + p) * LANES),
                        shift);
            }
        int64_t high = 0;
        for (int p = 1; p < P; p++)
            high += NAME(total_wide)(sums[p]);
        job->sums[t * job->rows + row - job->first] = NAME(total_wide)(sums[0]) + high * 256;
    }
}

/* The largest e - b of a row for which its lanes cannot overflow 32 bits. */
static int NAME(safe_shift)(const Matrix *m, const Planes *x)
{
    int64_t bound = x->groups * m->digits * PRODUCTS * LARGEST_CODE * 128;
    int shift = -1;
    while (shift < 30 && bound << (shift + 1) <= INT32_MAX)
        shift++;
    return shift;
}

INLINE int NAME(fits)(const Matrix *m, int64_t row, int safe)
{
    const int limit = m->row_exponents[row] + safe;
    for (int64_t d = 0; d < m->digits; d++)
        if (limit < 255 && NAME(exceeds)(m->exponents[d] + row * m->blocks, m->blocks, limit))
            return 0;
    return 1;
}

INLINE void NAME(rows)(const FewRows *job, const int T, const int P)
{
    const int safe = NAME(safe_shift)(job->matrix, job->planes);
    for (int64_t row = job->first; row < job->first + job->rows; row++)
        if (NAME(fits)(job->matrix, row, safe))
            NAME(narrow)(job, row, T, P);
        else
            NAME(wide)(job, row, P);
}

#define TOKENS(T)                                    \
    TARGET static void NAME(few_##T)(const FewRows *job) \
    {                                                \
        if (job->planes->planes == 1)                \
            NAME(rows)(job, T, 1);                   \
        else if (job->planes->planes == 2)           \
            NAME(rows)(job, T, 2);                   \
        else                                         \
            NAME(rows)(job, T, 3);                   \
    }
TOKENS(1)
TOKENS(2)
TOKENS(3)
TOKENS(4)
#undef TOKENS

static void NAME(few)(const FewRows *job)
{
    static const FewKernel kernels[MOST_FEW] = {NAME(few_1), NAME(few_2), NAME(few_3), NAME(few_4)};
    kernels[job->tokens - 1](job);
}

#undef INLINE

/* Sums of a few tokens straight from the codes: a template over one instruction set.

   The including file defines NAME(x), TARGET, GROUP (code bytes of a vector), CHUNK (groups whose
   units are made together), WORDS (of sums of blocks, by chunk), SHARED (tokens that share one
   reading of the codes, by planes), Vector, Wide, Codes, Units and the inline functions zero,
   zero_wide, units, load_codes, add_part, correct, total, total_of_4, add_wide and total_wide.

     sum += (products of a lane and a block) * unit,    unit = 2^(e - b)

   Products of one block and plane are at most 12 * 128 each.  What the spread of a row's exponents
   asks for, its kind says: sums of NARROW rows are taken modulo 2^32, which they fit; others go over
   to 64 bits after each chunk, those that are SPLIT with their shifts in two halves. */

#define INLINE static inline __attribute__((always_inline)) TARGET
#define OF_CHUNK (CHUNK * GROUP / 16) /* blocks */
#define EACH(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < (n); i++)

/* Where a chunk of a row, and what meets it, begin; steps from one token to the next */
typedef struct {
    const uint8_t *codes, *exponents;
    const int8_t *bytes;
    const int16_t *block_sums;
    int64_t token_bytes, token_sums;
} NAME(Place);

/* `groups` groups with `left` blocks for T tokens of P planes: CHUNK groups, all of them whole, if
   `left` is OF_CHUNK as a constant. */
INLINE void NAME(chunk)(const NAME(Place) *at, int groups, int64_t left, int b, const int T, const int P,
                        const int halves, Vector sums[][2])
{
    Units units[2];
    EACH(h, halves)
        units[h] = NAME(units)(at->exponents, left, b, h);
    EACH(k, groups) {
        const Codes w = NAME(load_codes)(at->codes + k * GROUP, left - k * (GROUP / 16));
        if (k * GROUP % 64 == 0)
            __builtin_prefetch(at->codes + k * GROUP + AHEAD);
        EACH(t, T)
            EACH(p, P)
                NAME(add_part)(sums[t * P + p], w,
                               at->bytes + t * at->token_bytes + (k * P + p) * 2 * GROUP, units, k, halves);
    }
    EACH(t, T)
        EACH(p, P)
            EACH(h, halves) {
                Vector *sum = &sums[t * P + p][h];
                *sum = NAME(correct)(*sum, units[h], at->block_sums + t * at->token_sums + p * WORDS);
            }
}

INLINE void NAME(to_wide)(Vector sums[][2], Wide wide[][2], const int P, const int halves)
{
    EACH(p, P)
        EACH(h, halves) {
            wide[p][h] = NAME(add_wide)(wide[p][h], sums[p][h]);
            sums[p][h] = NAME(zero)();
        }
}

/* One row for T tokens; T is 1 if the row is not narrow. */
INLINE void NAME(row)(const FewRows *job, int64_t row, const int T, const int P, const int kind)
{
    const Matrix *m = job->matrix;
    const Planes *x = job->planes;
    const int64_t blocks = m->blocks, whole = blocks / OF_CHUNK, left = blocks % OF_CHUNK;
    const int halves = kind == SPLIT ? 2 : 1, b = m->row_exponents[row];
    Vector sums[2 * MOST_FEW][2]; /* no more than T * P are used */
    Wide wide[MOST_PLANES][2];
    EACH(i, T * P)
        sums[i][0] = sums[i][1] = NAME(zero)();
    EACH(p, P)
        wide[p][0] = wide[p][1] = NAME(zero_wide)();
    for (int64_t d = 0; d < m->digits; d++) {
        NAME(Place) at = {
            m->codes[d] + row * blocks * 16, m->exponents[d] + row * blocks,
            x->bytes + job->token * x->groups * P * 2 * GROUP,
            x->block_sums + job->token * x->chunks * P * WORDS,
            x->groups * P * 2 * GROUP, x->chunks * P * WORDS};
        for (int64_t c = 0; c < whole; c++) {
            NAME(chunk)(&at, CHUNK, OF_CHUNK, b, T, P, halves, sums);
            if (kind != NARROW)
                NAME(to_wide)(sums, wide, P, halves);
            at.codes += CHUNK * GROUP;
            at.exponents += OF_CHUNK;
            at.bytes += CHUNK * P * 2 * GROUP;
            at.block_sums += P * WORDS;
        }
        if (left) {
            NAME(chunk)(&at, (int)((left + GROUP / 16 - 1) / (GROUP / 16)), left, b, T, P, halves, sums);
            if (kind != NARROW)
                NAME(to_wide)(sums, wide, P, halves);
        }
    }
    int64_t *to = job->sums + row - job->first;
    if (kind != NARROW) {
        int64_t planes[MOST_PLANES] = {0};
        EACH(p, P) {
            planes[p] = NAME(total_wide)(wide[p][0]);
            if (halves == 2)
                planes[p] += NAME(total_wide)(wide[p][1]) * ((int64_t)1 << SPLIT_AT);
        }
        to[0] = planes[0] + (planes[1] + planes[2]) * 256;
        return;
    }
    int32_t totals[MOST_PLANES][MOST_FEW];
    EACH(p, P)
        if (T % 4 == 0)
            for (int t = 0; t < T; t += 4)
                NAME(total_of_4)(sums[t * P + p], sums[(t + 1) * P + p], sums[(t + 2) * P + p],
                                 sums[(t + 3) * P + p], totals[p] + t);
        else
            EACH(t, T)
                totals[p][t] = NAME(total)(sums[t * P + p][0]);
    EACH(t, T) {
        int64_t high = 0;
        for (int p = 1; p < P; p++)
            high += totals[p][t];
        to[t * job->rows] = totals[0][t] + high * 256;
    }
}

/* A row that is not narrow: rare, so that each token reads the codes anew */
#define OTHER(P)                                                                     \
    TARGET static void NAME(other_##P)(const FewRows *job, int64_t row, int kind)    \
    {                                                                                \
        FewRows one = *job;                                                          \
        for (int64_t t = 0; t < job->tokens; t++, one.token++, one.sums += job->rows) \
            if (kind == FLUSHED)                                                     \
                NAME(row)(&one, row, 1, P, FLUSHED);                                 \
            else                                                                     \
                NAME(row)(&one, row, 1, P, SPLIT);                                   \
    }
OTHER(1)
OTHER(2)
OTHER(3)
#undef OTHER

/* All rows of a job for T tokens of P planes */
#define TOKENS(T, P)                                                           \
    TARGET static void NAME(few_##T##_##P)(const FewRows *job)                 \
    {                                                                          \
        for (int64_t row = job->first; row < job->first + job->rows; row++) {  \
            const int kind = kind_of_row(job->matrix, row);                    \
            if (kind == NARROW)                                                \
                NAME(row)(job, row, T, P, NARROW);                             \
            else if (kind == SPREAD)                                           \
                spread_row(job, row);                                          \
            else                                                               \
                NAME(other_##P)(job, row, kind);                               \
        }                                                                      \
    }
TOKENS(1, 1)
TOKENS(1, 2)
TOKENS(1, 3)
TOKENS(2, 1)
TOKENS(2, 2)
TOKENS(4, 1)
TOKENS(4, 2)
TOKENS(8, 1)
TOKENS(8, 2)
#undef TOKENS

/* The most of 1, 2, 4 or 8 tokens that share one reading, as the registers allow; how many it was. */
static int64_t NAME(few)(const FewRows *job)
{
    static const FewKernel kernels[4][MOST_PLANES] = {
        {NAME(few_1_1), NAME(few_1_2), NAME(few_1_3)},
        {NAME(few_2_1), NAME(few_2_2)},
        {NAME(few_4_1), NAME(few_4_2)},
        {NAME(few_8_1), NAME(few_8_2)},
    };
    static const int64_t most[MOST_PLANES] = SHARED;
    const int64_t planes = job->planes->planes;
    FewRows now = *job;
    int power = 3;
    while (1 << power > job->tokens || 1 << power > most[planes - 1])
        power--;
    now.tokens = 1 << power;
    kernels[power][planes - 1](&now);
    return now.tokens;
}

#undef EACH
#undef OF_CHUNK
#undef INLINE

/* Sums of many tokens: PANEL rows are unpacked once to 16-bit weights, shifts included, and
   multiplied in tiles; 32-bit sums go over to 64 bits before any could overflow. */

#define PAIRS_AT_ONCE 128  /* of columns: 16 kB of weights */
#define TOKENS_AT_ONCE 96  /* that meet these weights while they are near; whole tiles */
#define LARGEST_SHIFT 24 /* more than any build holds (20); beyond it the caller must choose */

typedef struct {
    const Instructions *isa;
    const Matrix *matrix;
    const int16_t *x; /* [tokens][columns] */
    int64_t tokens;
    int64_t largest_x;
} ManyTokens;

static int is_zero(const uint8_t *codes)
{
    uint64_t two[2];
    memcpy(two, codes, 16);
    return ((two[0] | two[1]) & 0x7777777777777777u) == 0;
}

/* The largest e - b of a row's blocks, whether zero or not */
static int row_shift(const Matrix *m, int64_t row)
{
    uint8_t most = 0;
    for (int64_t d = 0; d < m->digits; d++) {
        const uint8_t *exponents = m->exponents[d] + row * m->blocks;
        for (int64_t block = 0; block < m->blocks; block++)
            most = exponents[block] > most ? exponents[block] : most;
    }
    return shift_of(most, m->row_exponents[row]);
}

/* The largest e - b of PANEL rows: of all their blocks if 16 bits hold that, else of those that are
   not zero. */
static int panel_shift(const Matrix *m, int64_t first, int64_t last)
{
    int largest = 0;
    for (int64_t row = first; row < last; row++) {
        const int by = row_shift(m, row);
        largest = by > largest ? by : largest;
    }
    if (largest < 16 && (LARGEST_CODE * m->digits) << largest <= INT16_MAX)
        return largest;
    largest = 0;
    for (int64_t d = 0; d < m->digits; d++)
        for (int64_t row = first; row < last; row++)
            for (int64_t block = 0; block < m->blocks; block++) {
                const int64_t at = row * m->blocks + block;
                const int by = shift_of(m->exponents[d][at], m->row_exponents[row]);
                if (by > largest && !is_zero(m->codes[d] + at * 16))
                    largest = by;
            }
    return largest;
}

/* Rows first..last-1 as w[pair][PANEL][2], of 16 bits or more; `w` starts as zeros. */
#define UNPACK(name, Integer)                                                                  \
    static void name(const Matrix *m, int64_t first, int64_t last, Integer *w)                 \
    {                                                                                          \
        for (int64_t d = 0; d < m->digits; d++)                                                \
            for (int64_t row = first; row < last; row++)                                       \
                for (int64_t block = 0; block < m->blocks; block++) {                          \
                    const int64_t at = row * m->blocks + block;                                \
                    const int by = shift_of(m->exponents[d][at], m->row_exponents[row]);       \
                    const uint8_t *codes = m->codes[d] + at * 16;                              \
                    if (by > LARGEST_SHIFT)                                                    \
                        continue; /* a block of zeros */                                       \
                    const int32_t unit = (int32_t)1 << by;                                     \
                    Integer *to = w + (block * 16 * PANEL + row - first) * 2;                  \
                    for (int j = 0; j < 16; j++) {                                             \
                        to[j * 2 * PANEL] += (Integer)(TWICE[codes[j] & 15] * unit);           \
                        to[j * 2 * PANEL + 1] += (Integer)(TWICE[codes[j] >> 4] * unit);       \
                    }                                                                          \
                }                                                                              \
    }
UNPACK(unpack_16, int16_t)
UNPACK(unpack_32, int32_t)
#undef UNPACK

/* Add w times x to sums [tokens][PANEL], as `unit`s; `largest_w` bounds the magnitudes of w.  Columns
   are taken some at a time, so that their weights stay in the first cache while tokens go by. */
static void multiply(const ManyTokens *job, const int16_t *w, int64_t largest_w, int64_t unit,
                     int64_t first, int64_t tokens, int64_t *sums)
{
    const int64_t columns = job->matrix->blocks * BLOCK, pairs = columns / 2;
    const int64_t largest = 2 * largest_w * job->largest_x, tile = job->isa->tile_tokens;
    int64_t safe = largest ? INT32_MAX / largest : pairs; /* pairs that 32 bits hold */
    safe = safe < 1 ? 1 : safe;
    const int64_t step = safe < PAIRS_AT_ONCE ? safe : PAIRS_AT_ONCE;
    int32_t part[TOKENS_AT_ONCE * PANEL];
    int64_t held = 0;
    memset(part, 0, (size_t)(tokens * PANEL) * sizeof *part);
    for (int64_t start = 0; start < pairs; start += step) {
        const int64_t end = start + step < pairs ? start + step : pairs;
        for (int64_t t = 0; t < tokens; t += tile)
            job->isa->tile(w, job->x + (first + t) * columns, columns,
                           tokens - t < tile ? tokens - t : tile, start, end, part + t * PANEL);
        held += step;
        if (held + step <= safe && end < pairs)
            continue;
        for (int64_t i = 0; i < tokens * PANEL; i++)
            sums[i] += part[i] * unit;
        memset(part, 0, (size_t)(tokens * PANEL) * sizeof *part);
        held = 0;
    }
}

typedef void (*Finish)(void *to, int64_t token, int64_t tokens, int64_t row, int64_t rows,
                       const int64_t *sums, int64_t stride);

/* All tokens' sums of the panel at `first_row`; 0 if done, else why not (see kernels.c). */
static int many_tokens(const ManyTokens *job, int64_t first_row, Finish finish, void *to)
{
    const Matrix *m = job->matrix;
    const int64_t last_row = first_row + PANEL < m->rows ? first_row + PANEL : m->rows;
    const size_t weights = (size_t)(m->blocks * BLOCK * PANEL);
    const int shift = panel_shift(m, first_row, last_row);
    if (shift > LARGEST_SHIFT)
        return 3;
    const int64_t largest_w = (int64_t)(LARGEST_CODE * m->digits) << shift;
    const int narrow = largest_w <= INT16_MAX;
    int16_t *w = scratch(weights * (narrow ? 2 : 8));
    if (!w)
        return 2;
    int16_t *high = w + weights;
    if (!narrow) {
        int32_t *whole = (int32_t *)(w + 2 * weights);
        memset(whole, 0, weights * sizeof *whole);
        unpack_32(m, first_row, last_row, whole);
        for (size_t i = 0; i < weights; i++) { /* whole = high * 2^15 + w, |w| <= 2^14 */
            w[i] = (int16_t)(((whole[i] + 16384) & 32767) - 16384);
            high[i] = (int16_t)((whole[i] - w[i]) / 32768);
        }
    } else if (!job->isa->unpack(m, first_row, w)) {
        memset(w, 0, weights * sizeof *w);
        unpack_16(m, first_row, last_row, w);
    }
    int64_t sums[TOKENS_AT_ONCE * PANEL];
    for (int64_t t = 0; t < job->tokens; t += TOKENS_AT_ONCE) {
        const int64_t n = job->tokens - t < TOKENS_AT_ONCE ? job->tokens - t : TOKENS_AT_ONCE;
        memset(sums, 0, (size_t)(n * PANEL) * sizeof *sums);
        if (narrow) {
            multiply(job, w, largest_w, 1, t, n, sums);
        } else {
            multiply(job, w, 16384, 1, t, n, sums);
            multiply(job, high, largest_w / 32768 + 1, 32768, t, n, sums);
        }
        finish(to, t, n, first_row, last_row - first_row, sums, PANEL);
    }
    return 0;
}

/* What the kernels of every instruction set share.

     packed digits ──► few tokens:  sums straight from the codes, 8-bit planes of x
                   └─► many tokens: 32 rows as 16-bit integers ──► 16-bit products

   Weight codes lie two a byte, the even input low, 16 bytes a block of 32 inputs. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 32
#define PANEL 32          /* rows that are unpacked together */
#define MOST_FEW 8        /* tokens that share one reading of the codes, at most */
#define MOST_PLANES 3
#define AHEAD 4096        /* bytes of codes asked of memory before they are needed: measured */
#define LARGEST_CODE 12   /* twice E2M1's largest magnitude */

typedef struct {
    const uint8_t *codes[4];     /* [rows][blocks][16] */
    const uint8_t *exponents[4]; /* [rows][blocks] */
    const uint8_t *row_exponents;
    const float *bias; /* or NULL */
    int64_t rows, blocks, digits;
    uint8_t *kinds; /* [rows], see `RowKind`; zeros where nobody has looked yet.  Or NULL */
} Matrix;

/* One vector of tokens as planes of bytes: x = plane 0 + 256 * (plane 1 + plane 2).

   A group is what one vector of code bytes covers, a chunk some groups.  `bytes` [tokens][groups]
   [planes][2][group] holds the inputs of the low and of the high nibbles; `block_sums` [tokens]
   [chunks][planes][words] holds -6 times the sums of blocks, in the order in which a kernel that
   multiplies weights + 12 has the units of blocks. */
typedef struct {
    int64_t group, groups, chunks, planes;
    int8_t *bytes;
    int16_t *block_sums;
} Planes;

typedef struct {
    const Matrix *matrix;
    const Planes *planes;
    int64_t first, rows; /* of the matrix */
    int64_t token, tokens;
    int64_t *sums; /* [tokens][rows] of this call */
} FewRows;

/* Queries [rows][heads][size] at `positions` of `sequences`, whose keys [page][kv head][size]
   [page_size] and values [page][kv head][page_size][size] lie on the pages that `tables`
   [sequence][pages] names.  Each sees the last `window` positions (0: all).  Scores are times
   `scale`; `sinks` [heads] may be NULL for none. */
typedef struct {
    const float *queries, *keys, *values, *sinks;
    const int64_t *tables, *sequences, *positions;
    float *out; /* [rows][heads * size] */
    int64_t rows, heads, kv_heads, size, page_size, pages, window;
    float scale;
} Attention;

typedef float Float4 __attribute__((vector_size(16)));
typedef float Float8 __attribute__((vector_size(32)));
typedef float Float16 __attribute__((vector_size(64)));
typedef double Double4 __attribute__((vector_size(32)));
typedef double Double8 __attribute__((vector_size(64)));
typedef int32_t Int4 __attribute__((vector_size(16)));
typedef int32_t Int8 __attribute__((vector_size(32)));
typedef int32_t Int16 __attribute__((vector_size(64)));
typedef int64_t Long4 __attribute__((vector_size(32)));
typedef int64_t Long8 __attribute__((vector_size(64)));

#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52: adding and taking it off rounds half to even */
#define ROUNDED(x) (((x) + ROUNDER) - ROUNDER)

/* 2^e for e that float64 holds without becoming subnormal */
static inline __attribute__((always_inline)) double power_of_two(int64_t e)
{
    const uint64_t bits = (uint64_t)(e + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

typedef void (*FewKernel)(const FewRows *job);
/* sums of some of the job's tokens; how many these are */
typedef int64_t (*FewTokens)(const FewRows *job);
/* out[tokens][PANEL] += sum over pairs first..last-1 of w[pair][PANEL][2] * x[token][pair][2] */
typedef void (*TileKernel)(const int16_t *w, const int16_t *x, int64_t x_stride, int64_t tokens,
                           int64_t first, int64_t last, int32_t *out);
/* PANEL rows from `first` on as w[pair][PANEL][2]; returns 0 if it leaves this to portable code */
typedef int (*UnpackKernel)(const Matrix *matrix, int64_t first, int16_t *w);

typedef struct {
    const char *name;
    int64_t group, chunk, words; /* see `Planes`; block_of [words] is a block's place in its chunk, or -1 */
    const int8_t *block_of;
    int64_t tile_tokens;
    int64_t few_tokens[MOST_PLANES + 1]; /* up to here packed digits are read, by planes of x */
    FewTokens few;
    TileKernel tile;
    UnpackKernel unpack;
    int (*usable)(void);
    void (*plane)(const int32_t *x, int64_t half, int plane, int64_t group, int8_t *out);
    void (*to_float)(const int64_t *sums, const uint8_t *row_exponents, const float *bias,
                     int64_t scale, int64_t n, float *out);
    void (*norm)(const float *x, const float *weight, int64_t n, double eps, float *out);
    int (*quantize)(const float *x, int64_t n, int64_t bits, int32_t *out, int32_t *scale);
    void (*rotate)(float *x, int64_t heads, int64_t size, const float *cos, const float *sin);
    void (*swiglu)(const float *gate_up, int64_t n, float gain, float limit, float *out);
    void (*silu)(const float *gates, const float *ups, int64_t n, float *out);
    void (*attend)(const Attention *a, int64_t row, int64_t kv_head, float *scores);
} Instructions;

static const int8_t TWICE[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* e - b, but 0 for what lies below: only blocks of zeros do */
static inline int shift_of(int exponent, int row_exponent)
{
    return exponent > row_exponent ? exponent - row_exponent : 0;
}

/* What the spread of a row's exponents asks of its sums.

   A plane of a row sums up to at most 32 * 12 * 128 times the sum of its blocks' units.  Where that
   fits 32 bits the row is NARROW; else it is FLUSHED to 64 bits chunk by chunk, which fit 32 as units
   are at most 2^13.  Units of up to 2^27 are SPLIT in two halves at 2^14.  What spreads further is
   blocks of zeros, or beyond any build. */
enum RowKind { UNSEEN, NARROW, FLUSHED, SPLIT, SPREAD };
#define SPLIT_AT 14

static inline int seen_kind(const Matrix *m, int64_t row)
{
    const int b = m->row_exponents[row];
    int64_t units = 0;
    int largest = 0;
    for (int64_t d = 0; d < m->digits; d++)
        for (int64_t block = 0; block < m->blocks; block++) {
            const int shift = shift_of(m->exponents[d][row * m->blocks + block], b);
            units += (int64_t)1 << (shift < 31 ? shift : 31);
            largest = shift > largest ? shift : largest;
        }
    if (largest >= SPLIT_AT)
        return largest < 2 * SPLIT_AT ? SPLIT : SPREAD;
    return units <= INT32_MAX / (BLOCK * LARGEST_CODE * 128) ? NARROW : FLUSHED;
}

/* Looked at once; threads that do it at the same time find the same. */
static inline int kind_of_row(const Matrix *m, int64_t row)
{
    int kind = m->kinds ? __atomic_load_n(m->kinds + row, __ATOMIC_RELAXED) : UNSEEN;
    if (kind == UNSEEN) {
        kind = seen_kind(m, row);
        if (m->kinds)
            __atomic_store_n(m->kinds + row, (uint8_t)kind, __ATOMIC_RELAXED);
    }
    return kind;
}

/* A row of any spread, weight by weight */
static void spread_row(const FewRows *job, int64_t row)
{
    const Matrix *m = job->matrix;
    const Planes *x = job->planes;
    const int64_t group = x->group, in_group = group / 16;
    for (int64_t t = 0; t < job->tokens; t++) {
        int64_t total = 0;
        for (int64_t d = 0; d < m->digits; d++)
            for (int64_t block = 0; block < m->blocks; block++) {
                const int64_t at = row * m->blocks + block;
                const uint8_t *codes = m->codes[d] + at * 16;
                const int8_t *bytes = x->bytes + ((job->token + t) * x->groups + block / in_group) *
                                                     x->planes * 2 * group + block % in_group * 16;
                int64_t sum = 0;
                for (int p = 0; p < x->planes; p++, bytes += 2 * group)
                    for (int i = 0; i < 16; i++)
                        sum += (TWICE[codes[i] & 15] * bytes[i] + TWICE[codes[i] >> 4] * bytes[group + i]) *
                               (p ? 256 : 1);
                if (sum)
                    total += sum * ((int64_t)1 << shift_of(m->exponents[d][at], m->row_exponents[row]));
            }
        job->sums[t * job->rows + row - job->first] = total;
    }
}

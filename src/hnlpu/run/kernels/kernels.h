/* What the kernels of every instruction set share.

     packed digits ──► few tokens:  sums straight from the codes, 8-bit planes of x
                   └─► many tokens: 32 rows as 16-bit integers ──► 16-bit products

   Weight codes lie two a byte, the even input low, 16 bytes a block of 32 inputs. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 32
#define PANEL 32          /* rows that are unpacked together */
#define MOST_TOKENS 12    /* of a tile: products of PANEL rows and so many tokens at once */
#define MOST_FEW 4        /* tokens that share one reading of the codes */
#define MOST_PLANES 3
#define AHEAD 2048        /* bytes of codes asked of memory before they are needed: measured */
#define LARGEST_CODE 12   /* twice E2M1's largest magnitude */

typedef struct {
    const uint8_t *codes[2];     /* [rows][blocks][16] */
    const uint8_t *exponents[2]; /* [rows][blocks] */
    const uint8_t *row_exponents;
    const float *bias; /* or NULL */
    int64_t rows, blocks, digits;
} Matrix;

/* One vector of tokens as planes of bytes: x = plane 0 + 256 * (plane 1 + plane 2).

   A group is what one vector of code bytes covers.  `bytes` [tokens][groups][planes][2][group]
   holds the inputs of the low and of the high nibbles; `corrections` [tokens][groups][planes]
   [group / 4] holds -12 times what each 32-bit lane will see, where kernels multiply weights + 12. */
typedef struct {
    int64_t group, groups, planes;
    int8_t *bytes;
    int32_t *corrections;
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
/* out[tokens][PANEL] = sum over pairs first..last-1 of w[pair][PANEL][2] * x[token][pair][2] */
typedef void (*TileKernel)(const int16_t *w, const int16_t *x, int64_t x_stride, int64_t tokens,
                           int64_t first, int64_t last, int32_t *out);
/* PANEL rows from `first` on as w[pair][PANEL][2]; returns 0 if it leaves this to portable code */
typedef int (*UnpackKernel)(const Matrix *matrix, int64_t first, int16_t *w);

typedef struct {
    const char *name;
    int64_t group;
    int64_t tile_tokens;
    int64_t few_tokens[MOST_PLANES + 1]; /* up to here packed digits are read, by planes of x */
    FewKernel few;
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

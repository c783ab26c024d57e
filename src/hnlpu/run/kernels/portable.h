/* Plain C: for processors without a kernel of their own, and as the yardstick of the others. */

#define NAME(x) portable_##x
#define TARGET
#define GROUP 16
#define CHUNK 1
#define WORDS 0
#define SHARED {4, 4, 1}

typedef struct { uint32_t lane; } PortableVector;
typedef struct { int64_t lane; } PortableWide;
typedef struct { int8_t even[16], odd[16]; } PortableCodes;
#define Vector PortableVector
#define Wide PortableWide
#define Units int32_t
#define Codes PortableCodes
#define INLINE static inline __attribute__((always_inline))

INLINE Vector portable_zero(void) { return (Vector){0}; }
INLINE Wide portable_zero_wide(void) { return (Wide){0}; }
/* 2^(e - b) of a block, or 0 where its shift is not of this half */
INLINE Units portable_units(const uint8_t *exponents, int64_t left, int b, int half)
{
    (void)left;
    const int shift = shift_of(exponents[0], b) - (half ? SPLIT_AT : 0);
    return shift < 0 || shift >= SPLIT_AT ? 0 : 1 << shift;
}
INLINE Codes portable_load_codes(const uint8_t *codes, int64_t left)
{
    Codes w;
    (void)left;
    for (int i = 0; i < 16; i++) {
        w.even[i] = TWICE[codes[i] & 15];
        w.odd[i] = TWICE[codes[i] >> 4];
    }
    return w;
}
/* unsigned: it wraps */
INLINE void portable_add_part(Vector sum[2], Codes w, const int8_t *x, const Units *units, int k,
                              int halves)
{
    int32_t part = 0;
    (void)k;
    for (int i = 0; i < 16; i++)
        part += w.even[i] * x[i] + w.odd[i] * x[16 + i];
    for (int h = 0; h < halves; h++)
        sum[h].lane += (uint32_t)(part * units[h]);
}
INLINE Vector portable_correct(Vector sum, Units units, const int16_t *block_sums)
{
    (void)units, (void)block_sums; /* weights are signed here */
    return sum;
}
INLINE Wide portable_add_wide(Wide sum, Vector a) { return (Wide){sum.lane + (int32_t)a.lane}; }
INLINE int64_t portable_total(Vector a) { return (int32_t)a.lane; }
INLINE void portable_total_of_4(const Vector *a, const Vector *b, const Vector *c, const Vector *d,
                                int32_t *to)
{
    const Vector four[4] = {*a, *b, *c, *d};
    for (int i = 0; i < 4; i++)
        to[i] = (int32_t)four[i].lane;
}
INLINE int64_t portable_total_wide(Wide a) { return a.lane; }
INLINE int portable_any(Long8 lanes)
{
    int64_t all = 0;
    for (int i = 0; i < 8; i++)
        all |= lanes[i];
    return all != 0;
}

#undef INLINE

#include "few_tokens.h"
#define FLOATS 16
#define AT_ONCE 1
#include "vector_unit.h"
#undef FLOATS
#undef AT_ONCE

static void portable_tile(const int16_t *w, const int16_t *x, int64_t x_stride, int64_t tokens,
                          int64_t first, int64_t last, int32_t *out)
{
    for (int64_t k = first; k < last; k++)
        for (int64_t t = 0; t < tokens; t++) {
            const int32_t x0 = x[t * x_stride + 2 * k], x1 = x[t * x_stride + 2 * k + 1];
            for (int r = 0; r < PANEL; r++)
                out[t * PANEL + r] += w[(k * PANEL + r) * 2] * x0 + w[(k * PANEL + r) * 2 + 1] * x1;
        }
}

static int portable_unpack(const Matrix *matrix, int64_t first, int16_t *w)
{
    (void)matrix, (void)first, (void)w;
    return 0;
}
static int portable_usable(void) { return 1; }

#undef NAME
#undef TARGET
#undef GROUP
#undef CHUNK
#undef WORDS
#undef SHARED
#undef Vector
#undef Wide
#undef Units
#undef Codes

/* NEON of every 64-bit ARM: signed bytes, products widened to 16 bits. */

#define NAME(x) neon_##x
#define TARGET
#define GROUP 16
#define CHUNK 1
#define WORDS 0
#define SHARED {4, 4, 1}

typedef struct { int8x16_t even, odd; } NeonCodes;
#define Vector int32x4_t
#define Wide int64x2_t
#define Units int32_t
#define Codes NeonCodes
#define INLINE static inline __attribute__((always_inline))

INLINE Vector neon_zero(void) { return vdupq_n_s32(0); }
INLINE Wide neon_zero_wide(void) { return vdupq_n_s64(0); }
/* 2^(e - b) of a block, or 0 where its shift is not of this half */
INLINE Units neon_units(const uint8_t *exponents, int64_t left, int b, int half)
{
    (void)left;
    const int shift = shift_of(exponents[0], b) - (half ? SPLIT_AT : 0);
    return shift < 0 || shift >= SPLIT_AT ? 0 : 1 << shift;
}
INLINE Codes neon_load_codes(const uint8_t *codes, int64_t left)
{
    (void)left;
    const int8x16_t weights = vld1q_s8(TWICE);
    const uint8x16_t both = vld1q_u8(codes);
    return (Codes){vqtbl1q_s8(weights, vandq_u8(both, vdupq_n_u8(15))),
                   vqtbl1q_s8(weights, vshrq_n_u8(both, 4))};
}
INLINE void neon_add_part(Vector sum[2], Codes w, const int8_t *x, const Units *units, int k, int halves)
{
    (void)k;
    const int8x16_t even = vld1q_s8(x), odd = vld1q_s8(x + 16);
    /* four products of at most 12 * 128: 6144 */
    int16x8_t part = vmull_s8(vget_low_s8(w.even), vget_low_s8(even));
    part = vmlal_high_s8(part, w.even, even);
    part = vmlal_s8(part, vget_low_s8(w.odd), vget_low_s8(odd));
    part = vmlal_high_s8(part, w.odd, odd);
    for (int h = 0; h < halves; h++)
        sum[h] = vmlaq_n_s32(sum[h], vpaddlq_s16(part), units[h]);
}
INLINE Vector neon_correct(Vector sum, Units units, const int16_t *block_sums)
{
    (void)units, (void)block_sums; /* weights are signed here */
    return sum;
}
INLINE Wide neon_add_wide(Wide sum, Vector a) { return vpadalq_s32(sum, a); }
INLINE int64_t neon_total_wide(Wide a) { return vaddvq_s64(a); }
INLINE void neon_total_of_4(const Vector *a, const Vector *b, const Vector *c, const Vector *d, int32_t *to)
{
    vst1q_s32(to, vpaddq_s32(vpaddq_s32(*a, *b), vpaddq_s32(*c, *d)));
}
INLINE int64_t neon_total(Vector a) { return vaddvq_s32(a); }
INLINE int neon_any(Long8 lanes)
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

#define TILE_TOKENS 4
static inline __attribute__((always_inline)) void neon_tile_of(const int16_t *w, const int16_t *x,
                                                               int64_t x_stride, const int T,
                                                               int64_t first, int64_t last,
                                                               int32_t *out)
{
    for (int quarter = 0; quarter < 4; quarter++) {
        int32x4_t sums[TILE_TOKENS][2];
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            sums[t][0] = vld1q_s32(out + t * PANEL + quarter * 8);
            sums[t][1] = vld1q_s32(out + t * PANEL + quarter * 8 + 4);
        }
        for (int64_t k = first; k < last; k++) {
            const int16x8x2_t pair = vld2q_s16(w + k * 2 * PANEL + quarter * 16);
#pragma GCC unroll 4
            for (int t = 0; t < T; t++) {
                const int16_t even = x[t * x_stride + 2 * k], odd = x[t * x_stride + 2 * k + 1];
                sums[t][0] = vmlal_n_s16(sums[t][0], vget_low_s16(pair.val[0]), even);
                sums[t][1] = vmlal_high_n_s16(sums[t][1], pair.val[0], even);
                sums[t][0] = vmlal_n_s16(sums[t][0], vget_low_s16(pair.val[1]), odd);
                sums[t][1] = vmlal_high_n_s16(sums[t][1], pair.val[1], odd);
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            vst1q_s32(out + t * PANEL + quarter * 8, sums[t][0]);
            vst1q_s32(out + t * PANEL + quarter * 8 + 4, sums[t][1]);
        }
    }
}

static void neon_tile(const int16_t *w, const int16_t *x, int64_t x_stride, int64_t tokens,
                      int64_t first, int64_t last, int32_t *out)
{
    switch (tokens) {
    case 1: neon_tile_of(w, x, x_stride, 1, first, last, out); break;
    case 2: neon_tile_of(w, x, x_stride, 2, first, last, out); break;
    case 3: neon_tile_of(w, x, x_stride, 3, first, last, out); break;
    default: neon_tile_of(w, x, x_stride, 4, first, last, out);
    }
}

static int neon_usable(void) { return 1; }

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
#undef TILE_TOKENS

/* AVX2: bytes are multiplied as (weight + 12, unsigned) x (x, signed), which never saturates. */

#define NAME(x) avx2_##x
#define TARGET __attribute__((target("avx2")))
#define GROUP 32
#define LANES 8
#define PRODUCTS 8

typedef struct { __m256i even, odd; } Avx2Codes;
typedef struct { __m256i low, high; } Avx2Wide;
#define Vector __m256i
#define Wide Avx2Wide
#define Codes Avx2Codes
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE Vector avx2_zero(void) { return _mm256_setzero_si256(); }
INLINE Wide avx2_zero_wide(void)
{
    return (Wide){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
INLINE Vector avx2_add(Vector a, Vector b) { return _mm256_add_epi32(a, b); }
INLINE Vector avx2_shift_left(Vector a, Vector by) { return _mm256_sllv_epi32(a, by); }

/* a 16-byte half of the vector is one block */
INLINE Vector avx2_shifts(const uint8_t *exponents, int64_t left, int b)
{
    const int high = left > 1 ? shift_of(exponents[1], b) : 0;
    return _mm256_set_m128i(_mm_set1_epi32(high), _mm_set1_epi32(shift_of(exponents[0], b)));
}

INLINE Codes avx2_load_codes(const uint8_t *codes, int64_t left)
{
    const __m256i weights = _mm256_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4,
                                             0, 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6,
                                             4, 0);
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i both =
        left > 1 ? _mm256_loadu_si256((const __m256i *)codes)
                 : _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)codes));
    return (Codes){_mm256_shuffle_epi8(weights, _mm256_and_si256(both, mask)),
                   _mm256_shuffle_epi8(weights, _mm256_and_si256(_mm256_srli_epi16(both, 4), mask))};
}

INLINE Vector avx2_part(Codes w, const int8_t *x, const int32_t *correction)
{
    const __m256i even = _mm256_load_si256((const __m256i *)x);
    const __m256i odd = _mm256_load_si256((const __m256i *)(x + GROUP));
    /* four products of at most 24 * 128: 12288 */
    const __m256i pairs =
        _mm256_add_epi16(_mm256_maddubs_epi16(w.even, even), _mm256_maddubs_epi16(w.odd, odd));
    return _mm256_add_epi32(_mm256_load_si256((const __m256i *)correction),
                            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE Wide avx2_add_wide(Wide sum, Vector a, Vector by)
{
    const __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(a));
    const __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(a, 1));
    const __m256i by_low = _mm256_cvtepu32_epi64(_mm256_castsi256_si128(by));
    const __m256i by_high = _mm256_cvtepu32_epi64(_mm256_extracti128_si256(by, 1));
    return (Wide){_mm256_add_epi64(sum.low, _mm256_sllv_epi64(low, by_low)),
                  _mm256_add_epi64(sum.high, _mm256_sllv_epi64(high, by_high))};
}

INLINE int64_t avx2_total_wide(Wide a)
{
    const __m256i both = _mm256_add_epi64(a.low, a.high);
    const __m128i half =
        _mm_add_epi64(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    return _mm_extract_epi64(half, 0) + _mm_extract_epi64(half, 1);
}

INLINE int64_t avx2_total(Vector a)
{
    return avx2_total_wide((Wide){_mm256_cvtepi32_epi64(_mm256_castsi256_si128(a)),
                                  _mm256_cvtepi32_epi64(_mm256_extracti128_si256(a, 1))});
}

INLINE int avx2_exceeds(const uint8_t *exponents, int64_t n, int limit)
{
    const __m256i bound = _mm256_set1_epi8((char)limit);
    __m256i most = bound;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
        most = _mm256_max_epu8(most, _mm256_loadu_si256((const __m256i *)(exponents + i)));
    int largest = 0;
    for (; i < n; i++)
        largest = exponents[i] > largest ? exponents[i] : largest;
    return largest > limit || _mm256_movemask_epi8(_mm256_cmpeq_epi8(most, bound)) != -1;
}

INLINE int avx2_any(Long4 lanes) { return _mm256_movemask_pd((__m256d)lanes) != 0; }

#undef INLINE
#include "few_tokens.h"
#define FLOATS 8
#define AT_ONCE 2
#include "vector_unit.h"
#undef FLOATS
#undef AT_ONCE

#define TILE_TOKENS 4
static inline __attribute__((always_inline)) TARGET void avx2_tile_of(
    const int16_t *w, const int16_t *x, int64_t x_stride, const int T, int64_t first, int64_t last,
    int32_t *out)
{
    for (int half = 0; half < 2; half++) {
        __m256i sums[TILE_TOKENS][2];
#pragma GCC unroll 4
        for (int t = 0; t < T; t++)
            sums[t][0] = sums[t][1] = _mm256_setzero_si256();
        for (int64_t k = first; k < last; k++) {
            const int16_t *pair = w + k * 2 * PANEL + half * PANEL;
            const __m256i low = _mm256_load_si256((const __m256i *)pair);
            const __m256i high = _mm256_load_si256((const __m256i *)(pair + 16));
#pragma GCC unroll 4
            for (int t = 0; t < T; t++) {
                int32_t both;
                memcpy(&both, x + t * x_stride + 2 * k, 4);
                const __m256i v = _mm256_set1_epi32(both);
                sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(low, v));
                sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(high, v));
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            __m256i *to = (__m256i *)(out + t * PANEL + half * 16);
            _mm256_storeu_si256(to, sums[t][0]);
            _mm256_storeu_si256(to + 1, sums[t][1]);
        }
    }
}

TARGET static void avx2_tile(const int16_t *w, const int16_t *x, int64_t x_stride, int64_t tokens,
                             int64_t first, int64_t last, int32_t *out)
{
    switch (tokens) {
    case 1: avx2_tile_of(w, x, x_stride, 1, first, last, out); break;
    case 2: avx2_tile_of(w, x, x_stride, 2, first, last, out); break;
    case 3: avx2_tile_of(w, x, x_stride, 3, first, last, out); break;
    default: avx2_tile_of(w, x, x_stride, 4, first, last, out);
    }
}

static int avx2_usable(void)
{
    return x86_has(1u << 5, 0, 0x6); /* AVX2; registers of 256 bits are saved */
}

#undef NAME
#undef TARGET
#undef GROUP
#undef LANES
#undef PRODUCTS
#undef Vector
#undef Wide
#undef Codes
#undef TILE_TOKENS

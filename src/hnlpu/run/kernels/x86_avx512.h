/* AVX-512 with VNNI: vpdpbusd on (weight + 12) x plane of x, vpdpwssd on 16-bit weights. */

#define NAME(x) avx512_##x
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define GROUP 64
#define LANES 16
#define PRODUCTS 8

typedef struct { __m512i even, odd; } Avx512Codes;
typedef struct { __m512i low, high; } Avx512Wide;
#define Vector __m512i
#define Wide Avx512Wide
#define Codes Avx512Codes
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE Vector avx512_zero(void) { return _mm512_setzero_si512(); }
INLINE Wide avx512_zero_wide(void)
{
    return (Wide){_mm512_setzero_si512(), _mm512_setzero_si512()};
}
INLINE Vector avx512_add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
INLINE Vector avx512_shift_left(Vector a, Vector by) { return _mm512_sllv_epi32(a, by); }

/* a 16-byte quarter of the vector is one block: its four lanes shift by the same */
INLINE Vector avx512_shifts(const uint8_t *exponents, int64_t left, int b)
{
    uint32_t four;
    if (left >= 4) {
        memcpy(&four, exponents, 4);
    } else {
        four = exponents[0];
        for (int i = 1; i < left; i++)
            four |= (uint32_t)exponents[i] << 8 * i;
    }
    const __m512i byte_of_lane = _mm512_set_epi32(
        0x80808003, 0x80808003, 0x80808003, 0x80808003, 0x80808002, 0x80808002, 0x80808002,
        0x80808002, 0x80808001, 0x80808001, 0x80808001, 0x80808001, 0x80808000, 0x80808000,
        0x80808000, 0x80808000);
    const __m512i shifts =
        _mm512_subs_epu8(_mm512_set1_epi32((int)four), _mm512_set1_epi8((char)b));
    return _mm512_shuffle_epi8(shifts, byte_of_lane);
}

INLINE Codes avx512_load_codes(const uint8_t *codes, int64_t left)
{
    const __m512i weights = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i both =
        left >= 4 ? _mm512_loadu_si512(codes)
                  : _mm512_maskz_loadu_epi8(((uint64_t)1 << (16 * left)) - 1, codes);
    return (Codes){
        _mm512_shuffle_epi8(weights, _mm512_and_si512(both, mask)),
        _mm512_shuffle_epi8(weights, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask))};
}

INLINE Vector avx512_part(Codes w, const int8_t *x, const int32_t *correction)
{
    const __m512i sum = _mm512_dpbusd_epi32(_mm512_load_si512(correction), w.even,
                                            _mm512_load_si512(x));
    return _mm512_dpbusd_epi32(sum, w.odd, _mm512_load_si512(x + GROUP));
}

INLINE Wide avx512_add_wide(Wide sum, Vector a, Vector by)
{
    const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(a));
    const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(a, 1));
    const __m512i by_low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(by));
    const __m512i by_high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(by, 1));
    return (Wide){_mm512_add_epi64(sum.low, _mm512_sllv_epi64(low, by_low)),
                  _mm512_add_epi64(sum.high, _mm512_sllv_epi64(high, by_high))};
}

INLINE int64_t avx512_total_wide(Wide a)
{
    return _mm512_reduce_add_epi64(_mm512_add_epi64(a.low, a.high));
}

INLINE int64_t avx512_total(Vector a)
{
    return avx512_total_wide((Wide){_mm512_cvtepi32_epi64(_mm512_castsi512_si256(a)),
                                    _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(a, 1))});
}

INLINE int avx512_exceeds(const uint8_t *exponents, int64_t n, int limit)
{
    const __m512i bound = _mm512_set1_epi8((char)limit);
    uint64_t above = 0;
    for (int64_t i = 0; i < n; i += 64) {
        const uint64_t here = n - i >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - i)) - 1;
        above |= _mm512_cmpgt_epu8_mask(_mm512_maskz_loadu_epi8(here, exponents + i), bound);
    }
    return above != 0;
}

INLINE int avx512_any(Long8 lanes) { return _mm512_movepi64_mask((__m512i)lanes) != 0; }

#undef INLINE
#include "few_tokens.h"
#define FLOATS 16
#define AT_ONCE 4
#include "vector_unit.h"
#undef FLOATS
#undef AT_ONCE

#define TILE_TOKENS 12
static inline __attribute__((always_inline)) TARGET void avx512_tile_of(
    const int16_t *w, const int16_t *x, int64_t x_stride, const int T, int64_t first, int64_t last,
    int32_t *out)
{
    __m512i sums[TILE_TOKENS][2];
#pragma GCC unroll 12
    for (int t = 0; t < T; t++)
        sums[t][0] = sums[t][1] = _mm512_setzero_si512();
    for (int64_t k = first; k < last; k++) {
        const __m512i low = _mm512_load_si512(w + k * 2 * PANEL);
        const __m512i high = _mm512_load_si512(w + k * 2 * PANEL + PANEL);
#pragma GCC unroll 12
        for (int t = 0; t < T; t++) {
            int32_t both;
            memcpy(&both, x + t * x_stride + 2 * k, 4);
            const __m512i v = _mm512_set1_epi32(both);
            sums[t][0] = _mm512_dpwssd_epi32(sums[t][0], low, v);
            sums[t][1] = _mm512_dpwssd_epi32(sums[t][1], high, v);
        }
    }
#pragma GCC unroll 12
    for (int t = 0; t < T; t++) {
        _mm512_storeu_si512(out + t * PANEL, sums[t][0]);
        _mm512_storeu_si512(out + t * PANEL + 16, sums[t][1]);
    }
}

#define CASE(T) \
    case T: avx512_tile_of(w, x, x_stride, T, first, last, out); break;
TARGET static void avx512_tile(const int16_t *w, const int16_t *x, int64_t x_stride, int64_t tokens,
                               int64_t first, int64_t last, int32_t *out)
{
    switch (tokens) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11)
    default: avx512_tile_of(w, x, x_stride, 12, first, last, out);
    }
}
#undef CASE

/* 16 rows of a block, transposed in 4 x 4 pieces: vector q of `pieces` holds, lane by row, the
   bytes 4q..4q+3 of each row, which are inputs 8q..8q+7. */
static inline __attribute__((always_inline)) TARGET void avx512_transpose(const uint8_t *codes,
                                                                          int64_t stride, int rows,
                                                                          __m512i pieces[4])
{
    __m512i four[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const uint8_t *at = codes + i * stride;
        const __m128i none = _mm_setzero_si128();
#define ROW(n) (i + n < rows ? _mm_loadu_si128((const __m128i *)(at + n * stride)) : none)
        four[i] = _mm512_castsi128_si512(ROW(0));
        four[i] = _mm512_inserti32x4(four[i], ROW(4), 1);
        four[i] = _mm512_inserti32x4(four[i], ROW(8), 2);
        four[i] = _mm512_inserti32x4(four[i], ROW(12), 3);
#undef ROW
    }
    const __m512i a = _mm512_unpacklo_epi32(four[0], four[1]);
    const __m512i b = _mm512_unpackhi_epi32(four[0], four[1]);
    const __m512i c = _mm512_unpacklo_epi32(four[2], four[3]);
    const __m512i d = _mm512_unpackhi_epi32(four[2], four[3]);
    pieces[0] = _mm512_unpacklo_epi64(a, c);
    pieces[1] = _mm512_unpackhi_epi64(a, c);
    pieces[2] = _mm512_unpacklo_epi64(b, d);
    pieces[3] = _mm512_unpackhi_epi64(b, d);
}

/* Every shift of the panel fits 16-bit weights; the caller has checked it. */
TARGET static int avx512_unpack(const Matrix *m, int64_t first, int16_t *w)
{
    const int64_t blocks = m->blocks;
    const __m512i weights = _mm512_broadcast_i64x4(_mm256_setr_epi16(
        0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12));
    for (int half = 0; half < 2; half++) {
        const int64_t row = first + 16 * half;
        const int rows = m->rows - row >= 16 ? 16 : m->rows > row ? (int)(m->rows - row) : 0;
        const __m128i bases =
            _mm_maskz_loadu_epi8((__mmask16)((1u << rows) - 1), m->row_exponents + row);
        for (int64_t d = 0; d < m->digits; d++)
            for (int64_t block = 0; block < blocks; block++) {
                const uint8_t *e = m->exponents[d] + row * blocks + block;
#define E(r) ((char)(r < rows ? e[r * blocks] : 0))
                const __m512i shift = _mm512_cvtepu8_epi32(_mm_subs_epu8(
                    _mm_setr_epi8(E(0), E(1), E(2), E(3), E(4), E(5), E(6), E(7), E(8), E(9), E(10),
                                  E(11), E(12), E(13), E(14), E(15)),
                    bases));
#undef E
                const __m512i by = _mm512_or_si512(shift, _mm512_slli_epi32(shift, 16));
                __m512i pieces[4];
                avx512_transpose(m->codes[d] + (row * blocks + block) * 16, blocks * 16, rows,
                                 pieces);
                int16_t *to = w + block * 16 * 2 * PANEL + half * PANEL;
#pragma GCC unroll 4
                for (int q = 0; q < 4; q++)
#pragma GCC unroll 4
                    for (int j = 0; j < 4; j++) {
                        /* nibbles of byte j to the low bits of both halves of the lane; vpermw
                           reads five, and the table is there twice */
                        const __m512i low = _mm512_srli_epi32(pieces[q], 8 * j);
                        const __m512i high = j == 3 ? _mm512_srli_epi32(pieces[q], 12)
                                             : j == 2 ? _mm512_srli_epi32(pieces[q], 4)
                                             : j == 1 ? _mm512_slli_epi32(pieces[q], 4)
                                                      : _mm512_slli_epi32(pieces[q], 12);
                        const __m512i both = _mm512_mask_blend_epi16(0xAAAAAAAA, low, high);
                        __m512i values =
                            _mm512_sllv_epi16(_mm512_permutexvar_epi16(both, weights), by);
                        __m512i *at = (__m512i *)(to + (4 * q + j) * 2 * PANEL);
                        if (d)
                            values = _mm512_add_epi16(values, _mm512_load_si512(at));
                        _mm512_store_si512(at, values);
                    }
            }
    }
    return 1;
}

static int avx512_usable(void)
{
    /* F, DQ, BW, VL; VNNI; registers of 512 bits and masks are saved */
    return x86_has(1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, 1u << 11, 0xe6);
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

/* AVX-512 with VNNI: vpdpbusd on (weight + 12) x plane of x, vpdpwssd on 16-bit weights. */

#define NAME(x) avx512_##x
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define GROUP 64
#define CHUNK 4
#define WORDS 32
#define SHARED {8, 8, 1} /* tokens at once, by planes: 32 registers */

typedef struct { __m512i even, odd; } Avx512Codes;
#define Vector __m512i
#define Wide __m512i
#define Units __m512i
#define Codes Avx512Codes

/* places of a chunk's blocks among its units */
static const int8_t avx512_block_of[WORDS] = {
    0, 4, 8,  12, -1, -1, -1, -1, 1, 5, 9,  13, -1, -1, -1, -1,
    2, 6, 10, 14, -1, -1, -1, -1, 3, 7, 11, 15, -1, -1, -1, -1};

#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE Vector avx512_zero(void) { return _mm512_setzero_si512(); }
INLINE Wide avx512_zero_wide(void) { return _mm512_setzero_si512(); }

/* 2^(e - b) of 16 blocks as 16-bit words, each fourth one's in the same quarter; zeros where shifts
   are not of this half (below SPLIT_AT, or from there on) */
INLINE Units avx512_units(const uint8_t *exponents, int64_t left, int b, int half)
{
    const __m128i e = left >= 16 ? _mm_loadu_si128((const __m128i *)exponents)
                                 : _mm_maskz_loadu_epi8((__mmask16)((1u << left) - 1), exponents);
    const __m512i order = _mm512_set_epi64(-1, 0x800f800b80078003, -1, 0x800e800a80068002, -1,
                                           0x800d800980058001, -1, 0x800c800880048000);
    __m512i shift = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(e), order);
    shift = _mm512_subs_epu16(shift, _mm512_set1_epi16((int16_t)b));
    if (half) /* what is below 0 is far above 15 without a sign */
        shift = _mm512_sub_epi16(shift, _mm512_set1_epi16(SPLIT_AT));
    return _mm512_and_si512(_mm512_sllv_epi16(_mm512_set1_epi16(1), shift),
                            _mm512_set1_epi16((1 << SPLIT_AT) - 1));
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

/* sum[half] + products * unit of the k-th group; four products are at most 4 * 24 * 128 */
INLINE void avx512_add_part(Vector sum[2], Codes w, const int8_t *x, const Units *units, int k,
                            int halves)
{
    const __m512i pairs = _mm512_add_epi16(_mm512_maddubs_epi16(w.even, _mm512_load_si512(x)),
                                           _mm512_maddubs_epi16(w.odd, _mm512_load_si512(x + GROUP)));
    const __m512i own = _mm512_set1_epi16((int16_t)(0x0100 + 0x0202 * k));
    for (int h = 0; h < halves; h++)
        sum[h] = _mm512_dpwssd_epi32(sum[h], pairs, _mm512_shuffle_epi8(units[h], own));
}

/* take off what + 12 added: 12 * unit * (sum of x) of each block */
INLINE Vector avx512_correct(Vector sum, Units units, const int16_t *block_sums)
{
    const __m512i six = _mm512_load_si512(block_sums);
    return _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sum, units, six), units, six);
}

INLINE __m256i avx512_halves(Vector a)
{
    return _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
}

INLINE void avx512_total_of_4(const Vector *a, const Vector *b, const Vector *c, const Vector *d,
                              int32_t *to)
{
    const __m256i pairs =
        _mm256_hadd_epi32(_mm256_hadd_epi32(avx512_halves(*a), avx512_halves(*b)),
                          _mm256_hadd_epi32(avx512_halves(*c), avx512_halves(*d)));
    _mm_storeu_si128((__m128i *)to, _mm_add_epi32(_mm256_castsi256_si128(pairs),
                                                  _mm256_extracti128_si256(pairs, 1)));
}

INLINE Wide avx512_add_wide(Wide sum, Vector a)
{
    sum = _mm512_add_epi64(sum, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(a)));
    return _mm512_add_epi64(sum, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(a, 1)));
}

INLINE int64_t avx512_total_wide(Wide a) { return _mm512_reduce_add_epi64(a); }
INLINE int64_t avx512_total(Vector a) { return _mm512_reduce_add_epi32(a); }

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
    for (int t = 0; t < T; t++) {
        sums[t][0] = _mm512_loadu_si512(out + t * PANEL);
        sums[t][1] = _mm512_loadu_si512(out + t * PANEL + 16);
    }
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
#undef CHUNK
#undef WORDS
#undef SHARED
#undef Vector
#undef Wide
#undef Units
#undef Codes
#undef TILE_TOKENS

/* AVX2: bytes are multiplied as (weight + 12, unsigned) x (x, signed), which never saturates. */

#define NAME(x) avx2_##x
#define TARGET __attribute__((target("avx2")))
#define GROUP 32
#define CHUNK 8
#define WORDS 16
#define SHARED {8, 4, 1} /* tokens at once, by planes: 16 registers */

typedef struct { __m256i even, odd; } Avx2Codes;
#define Vector __m256i
#define Wide __m256i
#define Units __m256i
#define Codes Avx2Codes

/* places of a chunk's blocks among its units */
static const int8_t avx2_block_of[WORDS] = {0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15};

#define INLINE static inline __attribute__((always_inline)) TARGET
/* Compilers order these sums anew, and then the registers do not suffice. */
#define KEEP_ORDER(sum) __asm__("" : "+x"(sum))

INLINE Vector avx2_zero(void) { return _mm256_setzero_si256(); }
INLINE Wide avx2_zero_wide(void) { return _mm256_setzero_si256(); }

/* 2^(e - b) of 16 blocks as 16-bit words, the even blocks' in the lower half; zeros where shifts are
   not of this half (below SPLIT_AT, or from there on) */
INLINE Units avx2_units(const uint8_t *exponents, int64_t left, int b, int half)
{
    const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m128i low = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i high = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 0, 0);
    uint8_t few[16] = {0};
    if (left < 16) {
        memcpy(few, exponents, (size_t)left);
        exponents = few;
    }
    const __m128i e = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)exponents), order);
    __m128i shift = _mm_subs_epu8(e, _mm_set1_epi8((char)b));
    /* past the tables all is zero: what is below 0 by its sign, what is above by their last place */
    shift = half ? _mm_sub_epi8(shift, _mm_set1_epi8(SPLIT_AT)) : _mm_min_epu8(shift, _mm_set1_epi8(15));
    const __m128i bytes = _mm_shuffle_epi8(low, shift), more = _mm_shuffle_epi8(high, shift);
    return _mm256_set_m128i(_mm_unpackhi_epi8(bytes, more), _mm_unpacklo_epi8(bytes, more));
}

INLINE Codes avx2_load_codes(const uint8_t *codes, int64_t left)
{
    const __m256i weights = _mm256_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4,
                                             0, 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6,
                                             4, 0);
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i both =
        left > 1 ? _mm256_loadu_si256((const __m256i *)codes)
                 : _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)codes));
    KEEP_ORDER(both);
    return (Codes){_mm256_shuffle_epi8(weights, _mm256_and_si256(both, mask)),
                   _mm256_shuffle_epi8(weights, _mm256_and_si256(_mm256_srli_epi16(both, 4), mask))};
}

/* sum[half] + products * unit of the k-th group; four products are at most 4 * 24 * 128 */
INLINE void avx2_add_part(Vector sum[2], Codes w, const int8_t *x, const Units *units, int k, int halves)
{
    const __m256i pairs =
        _mm256_add_epi16(_mm256_maddubs_epi16(w.even, _mm256_load_si256((const __m256i *)x)),
                         _mm256_maddubs_epi16(w.odd, _mm256_load_si256((const __m256i *)(x + GROUP))));
    const __m256i own = _mm256_set1_epi16((int16_t)(0x0100 + 0x0202 * k));
    for (int h = 0; h < halves; h++) {
        sum[h] = _mm256_add_epi32(sum[h],
                                  _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(units[h], own)));
        KEEP_ORDER(sum[h]);
    }
}

/* take off what + 12 added: 12 * unit * (sum of x) of each block */
INLINE Vector avx2_correct(Vector sum, Units units, const int16_t *block_sums)
{
    const __m256i six = _mm256_madd_epi16(units, _mm256_load_si256((const __m256i *)block_sums));
    return _mm256_add_epi32(sum, _mm256_add_epi32(six, six));
}

INLINE void avx2_total_of_4(const Vector *a, const Vector *b, const Vector *c, const Vector *d, int32_t *to)
{
    const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(*a, *b), _mm256_hadd_epi32(*c, *d));
    _mm_storeu_si128((__m128i *)to, _mm_add_epi32(_mm256_castsi256_si128(pairs),
                                                  _mm256_extracti128_si256(pairs, 1)));
}

INLINE Wide avx2_add_wide(Wide sum, Vector a)
{
    sum = _mm256_add_epi64(sum, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(a)));
    return _mm256_add_epi64(sum, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(a, 1)));
}

INLINE int64_t avx2_total_wide(Wide a)
{
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    return _mm_extract_epi64(half, 0) + _mm_extract_epi64(half, 1);
}

INLINE int64_t avx2_total(Vector a)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

/* int64 as float64, rounded once: the halves with their sign as if 2^84 + 2^63 and 2^52 were there,
   which one subtraction and one sum take off */
INLINE Double4 avx2_doubles(Long4 a)
{
    const __m256i high = _mm256_xor_si256(_mm256_srli_epi64((__m256i)a, 32),
                                          _mm256_set1_epi64x(0x4530000080000000));
    const __m256i low = _mm256_blend_epi32((__m256i)a, _mm256_set1_epi64x(0x4330000000000000), 0xaa);
    const __m256d both = _mm256_castsi256_pd(_mm256_set1_epi64x(0x4530000080100000));
    return (Double4)_mm256_add_pd(_mm256_sub_pd(_mm256_castsi256_pd(high), both),
                                  _mm256_castsi256_pd(low));
}

INLINE int avx2_any(Long4 lanes) { return _mm256_movemask_pd((__m256d)lanes) != 0; }

#undef INLINE
#include "few_tokens.h"
#define FLOATS 8
#define AT_ONCE 2
#define DOUBLES_OF avx2_doubles
#include "vector_unit.h"
#undef DOUBLES_OF
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
        for (int t = 0; t < T; t++) {
            const __m256i *from = (const __m256i *)(out + t * PANEL + half * 16);
            sums[t][0] = _mm256_loadu_si256(from);
            sums[t][1] = _mm256_loadu_si256(from + 1);
        }
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

/* 8 rows of a block, transposed in 4 x 4 pieces: see avx512_transpose */
static inline __attribute__((always_inline)) TARGET void avx2_transpose(const uint8_t *codes,
                                                                        int64_t stride, int rows,
                                                                        __m256i pieces[4])
{
    __m256i four[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const uint8_t *at = codes + i * stride;
        const __m128i none = _mm_setzero_si128();
#define ROW(n) (i + n < rows ? _mm_loadu_si128((const __m128i *)(at + n * stride)) : none)
        four[i] = _mm256_set_m128i(ROW(4), ROW(0));
#undef ROW
    }
    const __m256i a = _mm256_unpacklo_epi32(four[0], four[1]);
    const __m256i b = _mm256_unpackhi_epi32(four[0], four[1]);
    const __m256i c = _mm256_unpacklo_epi32(four[2], four[3]);
    const __m256i d = _mm256_unpackhi_epi32(four[2], four[3]);
    pieces[0] = _mm256_unpacklo_epi64(a, c);
    pieces[1] = _mm256_unpackhi_epi64(a, c);
    pieces[2] = _mm256_unpacklo_epi64(b, d);
    pieces[3] = _mm256_unpackhi_epi64(b, d);
}

/* A block of 8 rows, whose units stand in both halves of a lane each, to `to` [16][PANEL][2] */
static inline __attribute__((always_inline)) TARGET void avx2_unpack_block(
    const uint8_t *codes, int64_t stride, int rows, __m256i units, int more, int16_t *to)
{
    const __m256i weights = _mm256_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
                                             0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const __m256i mask = _mm256_set1_epi8(15);
    /* byte j of each lane to the upper byte of its lower half */
    const __m256i first = _mm256_setr_epi32(
        (int)0x80800080, (int)0x80800480, (int)0x80800880, (int)0x80800c80, (int)0x80800080,
        (int)0x80800480, (int)0x80800880, (int)0x80800c80);
    __m256i pieces[4];
    avx2_transpose(codes, stride, rows, pieces);
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
        const __m256i low = _mm256_shuffle_epi8(weights, _mm256_and_si256(pieces[q], mask));
        const __m256i high = _mm256_shuffle_epi8(
            weights, _mm256_and_si256(_mm256_srli_epi16(pieces[q], 4), mask));
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const __m256i own = _mm256_add_epi8(first, _mm256_set1_epi32(j << 8));
            const __m256i both =
                _mm256_or_si256(_mm256_shuffle_epi8(low, own),
                                _mm256_slli_epi32(_mm256_shuffle_epi8(high, own), 16));
            __m256i values = _mm256_mullo_epi16(_mm256_srai_epi16(both, 8), units);
            __m256i *at = (__m256i *)(to + (4 * q + j) * 2 * PANEL);
            if (more)
                values = _mm256_add_epi16(values, _mm256_load_si256(at));
            _mm256_store_si256(at, values);
        }
    }
}

/* Every shift of the panel fits 16-bit weights; the caller has checked it. */
TARGET static int avx2_unpack(const Matrix *m, int64_t first, int16_t *w)
{
    const int64_t blocks = m->blocks;
    for (int part = 0; part < PANEL / 8; part++) {
        const int64_t row = first + 8 * part;
        const int rows = m->rows - row >= 8 ? 8 : m->rows > row ? (int)(m->rows - row) : 0;
        for (int64_t d = 0; d < m->digits; d++)
            for (int64_t block = 0; block < blocks; block++) {
                int32_t shifts[8] = {0};
                for (int r = 0; r < rows; r++)
                    shifts[r] = shift_of(m->exponents[d][(row + r) * blocks + block],
                                         m->row_exponents[row + r]);
                const __m256i unit = _mm256_sllv_epi32(_mm256_set1_epi32(1),
                                                       _mm256_loadu_si256((const __m256i *)shifts));
                const __m256i units = _mm256_or_si256(unit, _mm256_slli_epi32(unit, 16));
                int16_t *to = w + block * 16 * 2 * PANEL + part * 16;
                avx2_unpack_block(m->codes[d] + (row * blocks + block) * 16, blocks * 16, rows, units,
                                  d > 0, to);
            }
    }
    return 1;
}

static int avx2_usable(void)
{
    return x86_has(1u << 5, 0, 0x6); /* AVX2; registers of 256 bits are saved */
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

/* The vector unit in `float` numerics: a template over one instruction set (NAME, TARGET, FLOATS,
   float32 numbers of a vector, which is 8 or 16, AT_ONCE, vectors that four heads keep in registers,
   and DOUBLES_OF where compilers turn int64 into float64 one by one).  Wider vectors than the processor's would go through memory.

   emulate/_vector_unit.py is the definition, bit for bit: every product and sum rounds once to
   float32, sums run in index order, exp and 1 / sqrt in float64.  Vectors lie across positions or
   across the dimensions of a head, never along a sum. */

#define INLINE static inline __attribute__((always_inline)) TARGET
#if FLOATS == 16
#define Floats Float16
#define Lanes Int16
#define Doubles Double8
#define Longs Long8
#define Halves Float8
#define HalfInts Int8
#else
#define Floats Float8
#define Lanes Int8
#define Doubles Double4
#define Longs Long4
#define Halves Float4
#define HalfInts Int4
#endif
#define HALF (FLOATS / 2)
#define LINE 16 /* float32 numbers of a line of the cache */

/* e^x of HALF float64 from -87 to 88, within 2^-49: see NAME(exp_less) */
INLINE Doubles NAME(exp_of)(Doubles x)
{
    static const double LOWER[] = {/* 1 / 12! ... 1 / 0! */
        2.08767569878680989792e-9, 2.50521083854417187751e-8, 2.75573192239858906526e-7,
        2.75573192239858906526e-6, 2.48015873015873015873e-5, 1.98412698412698412698e-4,
        1.38888888888888888889e-3, 8.33333333333333333333e-3, 4.16666666666666666667e-2,
        1.66666666666666666667e-1, 0.5, 1.0, 1.0};
    const Doubles t = x * 1.44269504088896338700 + ROUNDER;
    const Doubles k = t - ROUNDER; /* nearest integer to x / ln 2 */
    const Doubles r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    Doubles p = LOWER[0] - (Doubles){0};
#pragma GCC unroll 12
    for (int i = 1; i < 13; i++)
        p = p * r + LOWER[i];
    return (Doubles)((Longs)p + ((Longs)t << 52));
}

/* Lanes where x leaves the quick exponential's range, or rounding to float32 might fall on the wrong
   side: where a value is off by 2^-42 of itself. */
INLINE Longs NAME(doubtful)(Doubles x, Doubles value)
{
    const Longs beside = ((Longs)value & 0x1fffffff) - 0x10000000; /* of halfway */
    return ~((x >= -87.0) & (x <= 87.0)) | ((beside < 2048) & (beside > -2048));
}

/* values[i] = float32(e^(values[i] - largest)), as the C library gives it: the quick exponential
   decides where its error cannot change the rounding, the C library elsewhere. */
TARGET static void NAME(exp_less)(float *values, int64_t n, float largest)
{
    int64_t i = 0;
    for (; i + HALF <= n; i += HALF) {
        Halves v;
        memcpy(&v, values + i, sizeof v);
        const Doubles x = __builtin_convertvector(v - largest, Doubles);
        const Doubles e = NAME(exp_of)(x);
        if (!NAME(any)(NAME(doubtful)(x, e))) {
            v = __builtin_convertvector(e, Halves);
            memcpy(values + i, &v, sizeof v);
        } else {
            for (int j = 0; j < HALF; j++)
                values[i + j] = (float)exp((double)(values[i + j] - largest));
        }
    }
    for (; i < n; i++)
        values[i] = (float)exp((double)(values[i] - largest));
}

TARGET static void NAME(norm)(const float *x, const float *weight, int64_t n, double eps, float *out)
{
    double total = 0.0;
    for (int64_t i = 0; i < n; i++)
        total += (double)x[i] * (double)x[i];
    const float factor = (float)(1.0 / sqrt(total / (double)n + eps));
    for (int64_t i = 0; i < n; i++)
        out[i] = weight[i] * (x[i] * factor);
}

/* Integers of `bits` bits and their scale's exponent; 0, or 4 if a value is not finite. */
TARGET static int NAME(quantize)(const float *x, int64_t n, int64_t bits, int32_t *out,
                                 int32_t *scale)
{
    int32_t most = 0, least = 0; /* bits of the largest value and of minus the smallest */
    for (int64_t i = 0; i < n; i++) {
        int32_t word;
        memcpy(&word, x + i, 4);
        const int32_t other = (int32_t)((uint32_t)word ^ 0x80000000u);
        most = word > most ? word : most;
        least = other > least ? other : least;
    }
    if (most >= 0x7f800000 || least >= 0x7f800000)
        return 4;
    float up, down;
    memcpy(&up, &most, 4);
    memcpy(&down, &least, 4);
    const double high = (double)((int64_t)1 << (bits - 1)) - 1;
    int s = 0;
    if (most || least) {
        frexp(up > down ? up : down, &s);
        s -= 1 + (int)bits; /* the larger side needs at most one more step from here */
        while (ROUNDED((double)up * power_of_two(-s)) > high ||
               ROUNDED((double)down * power_of_two(-s)) > high + 1)
            s++;
    }
    *scale = s;
    const double factor = power_of_two(-s);
    for (int64_t i = 0; i < n; i++)
        out[i] = (int32_t)ROUNDED((double)x[i] * factor);
    return 0;
}

TARGET static void NAME(rotate)(float *x, int64_t heads, int64_t size, const float *cos,
                                const float *sin)
{
    const int64_t half = size / 2;
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < half; i++) {
            float *low = x + h * size + i, *high = low + half;
            const float a = *low, b = *high;
            *low = a * cos[i] - b * sin[i];
            *high = b * cos[i] + a * sin[i];
        }
}

/* y = sum * 2^(b - 128 + s) rounded once, plus bias; |sum| <= 2^53 is exact in float64 */
TARGET static void NAME(to_float)(const int64_t *sums, const uint8_t *row_exponents,
                                  const float *bias, int64_t scale, int64_t n, float *out)
{
    int64_t i = 0;
#ifdef DOUBLES_OF
    for (; i + HALF <= n; i += HALF) {
        Longs sum, exponents;
        memcpy(&sum, sums + i, sizeof sum);
        for (int j = 0; j < HALF; j++)
            exponents[j] = row_exponents[i + j];
        const Doubles unit = (Doubles)((exponents + (scale - 128 + 1023)) << 52);
        const Halves y = __builtin_convertvector(DOUBLES_OF(sum) * unit, Halves);
        memcpy(out + i, &y, sizeof y);
    }
#endif
    for (; i < n; i++)
        out[i] = (float)((double)sums[i] * power_of_two(row_exponents[i] + scale - 128));
    if (bias)
        for (i = 0; i < n; i++)
            out[i] = out[i] + bias[i];
}

#include "gates.h"

/* scores of H heads at FLOATS * N neighbouring positions: sums over the dimensions in order.  As much
   as they read is asked of memory from `next` on: the page that follows. */
INLINE void NAME(scores)(const float *queries, const float *keys, int64_t stride, int64_t size,
                         const int H, const int N, float *scores, int64_t score_stride, const float *next)
{
    Floats sums[4][4];
#pragma GCC unroll 4
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            sums[h][i] = (Floats){0};
    for (int64_t d = 0; d < size; d++) {
        Floats k[4];
        for (int line = 0; line < FLOATS * N; line += LINE)
            __builtin_prefetch(next + d * FLOATS * N + line);
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            memcpy(&k[i], keys + d * stride + FLOATS * i, sizeof k[i]);
#pragma GCC unroll 4
        for (int h = 0; h < H; h++)
#pragma GCC unroll 4
            for (int i = 0; i < N; i++)
                sums[h][i] = sums[h][i] + queries[h * size + d] * k[i];
    }
#pragma GCC unroll 4
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            memcpy(scores + h * score_stride + FLOATS * i, &sums[h][i], sizeof sums[h][i]);
}

/* `page` of the keys or values of head g */
INLINE const float *NAME(page)(const Attention *a, const float *all, const int64_t *table, int64_t page,
                               int64_t g)
{
    return all + (table[page] * a->kv_heads + g) * a->page_size * a->size;
}

/* FLOATS * N dimensions of the mixture of H heads: sums over the positions in order.  The first ones
   ask for what the next page holds of all dimensions. */
INLINE void NAME(mixture)(const Attention *a, int64_t row, int64_t g, int64_t first, int64_t last,
                          int64_t d, const int H, const int N, const float *shares,
                          int64_t share_stride, float *out)
{
    Floats sums[4][4];
#pragma GCC unroll 4
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            sums[h][i] = (Floats){0};
    const int64_t *table = a->tables + a->sequences[row] * a->pages;
    for (int64_t j = first; j < last;) {
        const int64_t page = j / a->page_size, begin = page * a->page_size;
        const int64_t end = begin + a->page_size, stop = end < last ? end : last;
        const float *values = NAME(page)(a, a->values, table, page, g) - begin * a->size + d;
        const float *next = values;
        if (d == 0 && end < last)
            next = NAME(page)(a, a->values, table, page + 1, g) - begin * a->size;
        for (; j < stop; j++) {
            Floats v[4];
            if (d == 0)
                for (int64_t line = 0; line < a->size; line += LINE)
                    __builtin_prefetch(next + j * a->size + line);
#pragma GCC unroll 4
            for (int i = 0; i < N; i++)
                memcpy(&v[i], values + j * a->size + FLOATS * i, sizeof v[i]);
#pragma GCC unroll 4
            for (int h = 0; h < H; h++)
#pragma GCC unroll 4
                for (int i = 0; i < N; i++)
                    sums[h][i] = sums[h][i] + shares[h * share_stride + j - first] * v[i];
        }
    }
#pragma GCC unroll 4
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            memcpy(out + h * a->size + d + FLOATS * i, &sums[h][i], sizeof sums[h][i]);
}

/* values *= scale; the largest of them and of `least` */
INLINE float NAME(scaled)(float *values, int64_t n, float scale, float least)
{
    Floats most = least - (Floats){0};
    int64_t j = 0;
    for (; j + FLOATS <= n; j += FLOATS) {
        Floats v;
        memcpy(&v, values + j, sizeof v);
        v = v * scale;
        memcpy(values + j, &v, sizeof v);
        const Lanes above = v > most;
        most = (Floats)(((Lanes)v & above) | ((Lanes)most & ~above));
    }
    for (int i = 0; i < FLOATS; i++)
        least = most[i] > least ? most[i] : least;
    for (; j < n; j++) {
        values[j] = values[j] * scale;
        least = values[j] > least ? values[j] : least;
    }
    return least;
}

/* One row's attention by H heads that share the keys and values of head `g`. */
INLINE void NAME(attend_heads)(const Attention *a, int64_t row, int64_t g, int64_t head, const int H,
                               float *scores)
{
    const int64_t position = a->positions[row], size = a->size, last = position + 1;
    const int64_t first = a->window > 0 && last > a->window ? last - a->window : 0;
    const int64_t n = last - first, stride = n;
    const int64_t *table = a->tables + a->sequences[row] * a->pages;
    const float *queries = a->queries + (row * a->heads + head) * size;
    float *out = a->out + (row * a->heads + head) * size;
    const float scale = a->scale;
    const float *soon = NAME(page)(a, a->keys, table, first / a->page_size, g);
    for (int64_t line = 0; line < size * a->page_size; line += LINE)
        __builtin_prefetch(soon + line);
    for (int64_t j = first; j < last;) {
        const int64_t page = j / a->page_size, begin = page * a->page_size;
        const int64_t end = begin + a->page_size, stop = end < last ? end : last;
        const float *keys = NAME(page)(a, a->keys, table, page, g) - begin;
        const float *next = end < last ? NAME(page)(a, a->keys, table, page + 1, g)
                                       : NAME(page)(a, a->values, table, first / a->page_size, g);
        for (; j + FLOATS * AT_ONCE <= stop; j += FLOATS * AT_ONCE)
            NAME(scores)(queries, keys + j, a->page_size, size, H, AT_ONCE, scores + j - first, stride,
                         next + (j - begin) * size);
        for (; j + FLOATS <= stop; j += FLOATS)
            NAME(scores)(queries, keys + j, a->page_size, size, H, 1, scores + j - first, stride,
                         next + (j - begin) * size);
        if (j < stop && j + FLOATS <= end) { /* positions behind the last have room, but no meaning */
            float some[4 * FLOATS];
            NAME(scores)(queries, keys + j, a->page_size, size, H, 1, some, FLOATS,
                         next + (j - begin) * size);
            for (int h = 0; h < H; h++)
                memcpy(scores + h * stride + j - first, some + h * FLOATS, (size_t)(stop - j) * 4);
            j = stop;
        }
        for (; j < stop; j++)
            for (int h = 0; h < H; h++) {
                float sum = 0.0f;
                for (int64_t d = 0; d < size; d++)
                    sum = sum + queries[h * size + d] * keys[d * a->page_size + j];
                scores[h * stride + j - first] = sum;
            }
    }
    double totals[4]; /* of each head in order; heads side by side, so that sums do not wait */
    for (int h = 0; h < H; h++) {
        float *mine = scores + h * stride;
        const float sink = a->sinks ? a->sinks[head + h] : -INFINITY;
        const float largest = NAME(scaled)(mine, n, scale, sink);
        totals[h] = (double)(float)exp((double)(sink - largest));
        NAME(exp_less)(mine, n, largest);
    }
    for (int64_t j = 0; j < n; j++)
#pragma GCC unroll 4
        for (int h = 0; h < H; h++)
            totals[h] += (double)scores[h * stride + j];
    for (int h = 0; h < H; h++) {
        float *mine = scores + h * stride;
        const float divisor = (float)totals[h];
        for (int64_t j = 0; j < n; j++)
            mine[j] = mine[j] / divisor;
    }
    int64_t d = 0;
    for (; d + FLOATS * AT_ONCE <= size; d += FLOATS * AT_ONCE)
        NAME(mixture)(a, row, g, first, last, d, H, AT_ONCE, scores, stride, out);
    for (; d + FLOATS <= size; d += FLOATS)
        NAME(mixture)(a, row, g, first, last, d, H, 1, scores, stride, out);
    for (; d < size; d++)
        for (int h = 0; h < H; h++) {
            float sum = 0.0f;
            for (int64_t j = first; j < last; j++) {
                const int64_t at = table[j / a->page_size] * a->kv_heads + g;
                const float v = a->values[(at * a->page_size + j % a->page_size) * size + d];
                sum = sum + scores[h * stride + j - first] * v;
            }
            out[h * size + d] = sum;
        }
}

TARGET static void NAME(attend)(const Attention *a, int64_t row, int64_t g, float *scores)
{
    const int64_t group = a->heads / a->kv_heads;
    int64_t h = 0;
    for (; h + 4 <= group; h += 4)
        NAME(attend_heads)(a, row, g, g * group + h, 4, scores);
    for (; h < group; h++)
        NAME(attend_heads)(a, row, g, g * group + h, 1, scores);
}

/* The bytes of one plane: even inputs, then odd ones; `half` of each are there. */
TARGET static void NAME(plane)(const int32_t *x, int64_t half, int plane, int64_t group, int8_t *out)
{
    int8_t *even = out, *odd = out + group;
    if (half < group)
        memset(out, 0, (size_t)(2 * group));
    for (int64_t i = 0; i < half; i++) {
        int32_t a = x[2 * i], b = x[2 * i + 1];
        if (plane) {
            a = (a - (int8_t)a) >> 8, b = (b - (int8_t)b) >> 8;
            const int32_t low_a = a < 127 ? a : 127, low_b = b < 127 ? b : 127;
            a = plane == 1 ? low_a : a - low_a;
            b = plane == 1 ? low_b : b - low_b;
        }
        even[i] = (int8_t)a;
        odd[i] = (int8_t)b;
    }
}

#undef INLINE
#undef Floats
#undef Lanes
#undef Doubles
#undef Longs
#undef Halves
#undef HalfInts
#undef HALF
#undef LINE

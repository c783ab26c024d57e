/* Plain C: for processors without a kernel of their own, and as the yardstick of the others. */

#define NAME(x) portable_##x
#define TARGET
#define GROUP 16
#define LANES 4
#define PRODUCTS 32

typedef struct { int32_t lane; } PortableVector;
typedef struct { int64_t lane; } PortableWide;
typedef struct { int8_t even[16], odd[16]; } PortableCodes;
#define Vector PortableVector
#define Wide PortableWide
#define Codes PortableCodes
#define INLINE static inline __attribute__((always_inline))

INLINE Vector portable_zero(void) { return (Vector){0}; }
INLINE Wide portable_zero_wide(void) { return (Wide){0}; }
INLINE Vector portable_add(Vector a, Vector b) { return (Vector){a.lane + b.lane}; }
INLINE Vector portable_shifts(const uint8_t *exponents, int64_t left, int b)
{
    (void)left;
    return (Vector){shift_of(exponents[0], b)};
}
/* multiplication: shifting a negative number left is undefined */
INLINE Vector portable_shift_left(Vector a, Vector by)
{
    return (Vector){a.lane ? a.lane * (int32_t)(1u << by.lane) : 0};
}
INLINE Wide portable_add_wide(Wide sum, Vector a, Vector by)
{
    return (Wide){a.lane ? sum.lane + a.lane * ((int64_t)1 << by.lane) : sum.lane};
}
INLINE int64_t portable_total(Vector a) { return a.lane; }
INLINE int64_t portable_total_wide(Wide a) { return a.lane; }
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
INLINE Vector portable_part(Codes w, const int8_t *x, const int32_t *correction)
{
    int32_t sum = 0;
    (void)correction; /* weights are signed here */
    for (int i = 0; i < 16; i++)
        sum += w.even[i] * x[i] + w.odd[i] * x[16 + i];
    return (Vector){sum};
}
INLINE int portable_exceeds(const uint8_t *exponents, int64_t n, int limit)
{
    for (int64_t i = 0; i < n; i++)
        if (exponents[i] > limit)
            return 1;
    return 0;
}

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
    memset(out, 0, (size_t)tokens * PANEL * sizeof *out);
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
#undef LANES
#undef PRODUCTS
#undef Vector
#undef Wide
#undef Codes

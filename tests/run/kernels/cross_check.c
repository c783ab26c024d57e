/* Every instruction set of a processor against plain sums, without Python: for processors that
   only an emulator has.  Prints what it compared; exit code 1 at the first difference. */

#include "kernels.c"

#include <stdio.h>

static uint64_t state = 1;

static uint32_t any(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % below);
}

static float normal(void) /* near enough: a sum of twelve */
{
    float sum = -6.0f;
    for (int i = 0; i < 12; i++)
        sum += any(65536) / 65536.0f;
    return sum;
}

static void fail(const char *what, const char *set)
{
    printf("%s: %s differs\n", set, what);
    exit(1);
}

static int64_t weight(const Matrix *m, int64_t row, int64_t column)
{
    int64_t sum = 0;
    for (int64_t d = 0; d < m->digits; d++) {
        const int64_t block = row * m->blocks + column / 32;
        const uint8_t byte = m->codes[d][block * 16 + column % 32 / 2];
        const int64_t value = TWICE[column % 2 ? byte >> 4 : byte & 15];
        if (value)
            sum += value * ((int64_t)1 << (m->exponents[d][block] - m->row_exponents[row]));
    }
    return sum;
}

/* One random matrix and some tokens, by every set and both ways. */
static void check_sums(void)
{
    const int64_t rows = 1 + any(70), blocks = 1 + any(any(3) ? 9 : 70), tokens = 1 + any(14), columns = 32 * blocks;
    static const int spreads[] = {0, 5, 10, 13, 14, 20};
    const int spread = spreads[any(6)], bits = 2 + (int)any(15), extreme = any(3) == 0;
    uint8_t *codes[2], *exponents[2], *bases = malloc((size_t)rows);
    memset(bases, 100, (size_t)rows);
    for (int d = 0; d < 2; d++) {
        codes[d] = malloc((size_t)(rows * blocks * 16));
        exponents[d] = malloc((size_t)(rows * blocks));
        for (int64_t i = 0; i < rows * blocks * 16; i++)
            codes[d][i] = (uint8_t)any(256);
        for (int64_t i = 0; i < rows * blocks; i++) {
            exponents[d][i] = (uint8_t)(100 + any((uint32_t)spread + 1));
            if (any(5) == 0) { /* a block of zeros, under any exponent */
                for (int j = 0; j < 16; j++)
                    codes[d][i * 16 + j] &= 0x88;
                exponents[d][i] = (uint8_t)any(255);
            }
        }
    }
    uint8_t *kinds = any(2) ? calloc((size_t)rows, 1) : NULL;
    const Matrix m = {{codes[0], codes[1]}, {exponents[0], exponents[1]}, bases, NULL, rows, blocks,
                      1 + any(2), kinds};
    int32_t *x = malloc((size_t)(tokens * columns) * 4);
    for (int64_t i = 0; i < tokens * columns; i++) {
        const int32_t half = 1 << (bits - 1);
        x[i] = extreme ? (any(2) ? -half : half - 1) : (int32_t)any(2 * (uint32_t)half) - half;
    }
    int64_t *sums = malloc((size_t)(tokens * rows) * 8);
    for (int64_t set = 0; instructions(set); set++)
        for (int64_t way = 0; way < 3; way++) {
            const Job job = {&m, x, NULL, tokens, sums, NULL};
            if (project(instructions(set), &job, 1, way))
                fail("return code", instructions(set)->name);
            for (int64_t t = 0; t < tokens; t++)
                for (int64_t r = 0; r < rows; r++) {
                    int64_t expected = 0;
                    for (int64_t c = 0; c < columns; c++)
                        expected += weight(&m, r, c) * x[t * columns + c];
                    if (sums[t * rows + r] != expected)
                        fail(way == 2 ? "panels" : "digits", instructions(set)->name);
                }
        }
    for (int d = 0; d < 2; d++)
        free(codes[d]), free(exponents[d]);
    free(bases), free(kinds), free(x), free(sums);
}

#define N 203

/* The vector unit of every set against portable C, bit for bit. */
static void check_vector_unit(float size)
{
    float x[2 * N], weights[N], out[2][N];
    int32_t integers[2][N], scales[2];
    for (int i = 0; i < 2 * N; i++)
        x[i] = size * normal();
    for (int i = 0; i < N; i++)
        weights[i] = normal();
    int64_t tables[3] = {2, 0, 1}, sequences[1] = {0}, positions[1] = {41};
    float keys[3 * 2 * 20 * 16], values[3 * 2 * 16 * 20], sinks[10];
    for (int i = 0; i < 3 * 2 * 20 * 16; i++)
        keys[i] = normal(), values[i] = normal();
    for (int i = 0; i < 10; i++)
        sinks[i] = normal();
    float scores[4 * 42];
    const Instructions *portable = &INSTRUCTIONS[INSTRUCTION_SETS - 1];
    for (int64_t set = 0; instructions(set); set++) {
        const Instructions *sets[2] = {portable, instructions(set)};
        for (int i = 0; i < 2; i++)
            sets[i]->norm(x, weights, N, 1e-5, out[i]);
        if (memcmp(out[0], out[1], sizeof out[0]))
            fail("norm", sets[1]->name);
        for (int i = 0; i < 2; i++)
            sets[i]->swiglu(x, N, 1.702f, 7.0f, out[i]);
        if (memcmp(out[0], out[1], sizeof out[0]))
            fail("swiglu", sets[1]->name);
        for (int i = 0; i < 2; i++)
            sets[i]->silu(x, x + N, N, out[i]);
        if (memcmp(out[0], out[1], sizeof out[0]))
            fail("silu", sets[1]->name);
        for (int i = 0; i < 2; i++)
            sets[i]->quantize(x, N, 12, integers[i], &scales[i]);
        if (memcmp(integers[0], integers[1], sizeof integers[0]) || scales[0] != scales[1])
            fail("quantize", sets[1]->name);
        for (int i = 0; i < 2; i++) {
            const Attention a = {x, keys, values, sinks, tables, sequences, positions, out[i], 1, 10, 2,
                                 20, 16, 3, 37, 0.2236068f};
            memset(out[i], 0, sizeof out[i]);
            for (int64_t g = 0; g < 2; g++)
                sets[i]->attend(&a, 0, g, scores);
        }
        if (memcmp(out[0], out[1], sizeof out[0]))
            fail("attend", sets[1]->name);
    }
}

int main(void)
{
    pool.wanted = 1;
    for (int i = 0; i < 60; i++)
        check_sums();
    for (float size = 1e-3f; size < 1e3f; size *= 3)
        check_vector_unit(size);
    for (int64_t set = 0; instructions(set); set++)
        printf("%s ", instructions(set)->name);
    printf("agree\n");
    return 0;
}

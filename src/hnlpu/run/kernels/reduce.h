/* Steps that make fewer numbers of many.

   REDUCE: places are the result (dense) and one or two arguments; `n` has what is made, whether in
   float64, the numbers of axes that stay and that go, their lengths [MOST_AXES] each, and for each
   argument the steps along those that stay [MOST_AXES] and those that go [MOST_AXES].  Sums run in
   the order of the index and start with their first term. */

enum Reduction { SUM, MOST, DOT };

#define SIDE_BY_SIDE 64 /* results that are made together: their sums do not wait for each other */

typedef struct {
    const Instruction *i;
    const float *a, *b;
    char *out;
    int64_t rows;
} ReduceWork;

static int64_t place_of(int64_t number, int64_t axes, const int64_t *lengths, const int64_t *steps)
{
    int64_t at = 0;
    for (int64_t axis = axes - 1; axis >= 0; number /= lengths[axis--])
        at += number % lengths[axis] * steps[axis];
    return at;
}

static int64_t product(int64_t axes, const int64_t *lengths)
{
    int64_t all = 1;
    for (int64_t axis = 0; axis < axes; axis++)
        all *= lengths[axis];
    return all;
}

/* `count` neighbouring results along the last axis that stays, from `a` and `b` on */
#define RESULTS(name, Real)                                                                      \
    static void name(const Instruction *i, const float *a, const float *b, int64_t count, Real *sums) \
    {                                                                                              \
        const int64_t stay = i->n[2], go = i->n[3], *go_lengths = i->n + 4 + MOST_AXES;            \
        const int64_t *steps = go_lengths + MOST_AXES, *b_steps = steps + 2 * MOST_AXES;           \
        const int64_t a_step = stay ? steps[stay - 1] : 0, b_step = stay ? b_steps[stay - 1] : 0;  \
        const int64_t terms = product(go, go_lengths);                                             \
        for (int64_t t = 0; t < terms; t++) {                                                      \
            const float *x = a + place_of(t, go, go_lengths, steps + MOST_AXES);                   \
            const float *y = b ? b + place_of(t, go, go_lengths, b_steps + MOST_AXES) : NULL;      \
            for (int64_t j = 0; j < count; j++) {                                                  \
                const Real v = y ? (Real)x[j * a_step] * (Real)y[j * b_step] : (Real)x[j * a_step]; \
                if (!t)                                                                            \
                    sums[j] = v;                                                                   \
                else if (i->n[0] == MOST)                                                          \
                    sums[j] = v > sums[j] || v != v ? v : sums[j];                                 \
                else                                                                               \
                    sums[j] = sums[j] + v;                                                         \
            }                                                                                      \
        }                                                                                          \
    }
RESULTS(results_32, float)
RESULTS(results_64, double)
#undef RESULTS

static void reduce_row(void *context, int64_t row)
{
    const ReduceWork *w = context;
    const Instruction *i = w->i;
    const int64_t stay = i->n[2], *lengths = i->n + 4, *steps = lengths + 2 * MOST_AXES;
    const int64_t last = stay ? lengths[stay - 1] : 1, all = product(stay, lengths);
    const float *a = w->a + row * i->places[1].step;
    const float *b = w->b ? w->b + row * i->places[2].step : NULL;
    char *out = w->out + row * i->places[0].step * size_of(i->places[0].kind);
    for (int64_t n = 0; n < all;) {
        int64_t count = last - n % last;
        count = count < SIDE_BY_SIDE ? count : SIDE_BY_SIDE;
        const float *x = a + place_of(n, stay, lengths, steps);
        const float *y = b ? b + place_of(n, stay, lengths, steps + 2 * MOST_AXES) : NULL;
        if (i->n[1]) {
            double sums[SIDE_BY_SIDE];
            results_64(i, x, y, count, sums);
            memcpy((double *)out + n, sums, (size_t)count * sizeof *sums);
        } else {
            float sums[SIDE_BY_SIDE];
            results_32(i, x, y, count, sums);
            memcpy((float *)out + n, sums, (size_t)count * sizeof *sums);
        }
        n += count;
    }
}

static int reduce(const Pass *p, const Instruction *i)
{
    ReduceWork w = {i, at(p, &i->places[1]), at(p, &i->places[2]), at(p, &i->places[0]), p->rows};
    const int64_t terms = product(i->n[2], i->n + 4) * product(i->n[3], i->n + 4 + MOST_AXES);
    share(reduce_row, &w, p->rows, p->rows * terms);
    return 0;
}

/* LARGEST: places are the values (or nowhere) and numbers of the n[2] largest, and x, whose rows have
   n[0] vectors of n[1]. */
static int pick_largest(const Pass *p, const Instruction *i)
{
    const int64_t lead = i->n[0], n = i->n[1], k = i->n[2];
    const Vectors values = vectors(p, &i->places[0]), x = vectors(p, &i->places[2]);
    int64_t *numbers = at(p, &i->places[1]);
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t v = 0; v < lead; v++) {
            const float *from = vector_at(x, row, v, n);
            int64_t *chosen = numbers + row * i->places[1].step + v * k;
            largest(from, n, k, chosen);
            for (int64_t rank = 0; values.at && rank < k; rank++)
                vector_at(values, row, v, k)[rank] = from[chosen[rank]];
        }
    return 0;
}

/* GATHER: places are the result (dense), x (dense), whose rows have n[0] runs of n[1] entries of n[2]
   numbers, and the numbers (dense) of the n[3] entries that are taken of each run. */
static int pick_entries(const Pass *p, const Instruction *i)
{
    const int64_t runs = i->n[0], length = i->n[1], size = i->n[2], count = i->n[3];
    const Vectors out = vectors(p, &i->places[0]), x = vectors(p, &i->places[1]);
    const int64_t *numbers = at(p, &i->places[2]);
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t run = 0; run < runs; run++)
            for (int64_t n = 0; n < count; n++) {
                const int64_t entry = numbers[row * i->places[2].step + n];
                if (entry < 0 || entry >= length)
                    return 6;
                memcpy(vector_at(out, row, run * count + n, size),
                       vector_at(x, row, run * length + entry, size), (size_t)size * sizeof(float));
            }
    return 0;
}

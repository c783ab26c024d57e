/* Steps that take vectors of float32 one by one, and leave integers for matrices where these are
   wanted.  A row has `lead` vectors of `n` numbers, one behind the other. */

/* Vectors that rows hold; row r's first number is at `at + r * step`. */
typedef struct {
    float *at; /* NULL: not asked for */
    int64_t step;
} Vectors;

typedef struct {
    const Instructions *isa;
    Vectors x, more;     /* x, or x + more */
    Vectors sum, normed; /* where x + more, and what comes out at last, go */
    const float *weight; /* of a norm, or NULL for none */
    int64_t weights;     /* vectors of weights, which take turns within a row */
    double eps;
    Vectors gate, up;    /* instead of x: see `Gate` */
    int64_t gate_kind;
    float gain, limit;
    int64_t rows, lead, n, padded, bits; /* integers have `padded` numbers, zeros behind n */
    int32_t *integers, *scales;          /* or NULL */
    _Atomic int error;
} RowWork;

/* What opens a gate: (up + 1) * gate * sigmoid(gain * gate), both clamped, gates and ups in turn;
   or gate * sigmoid(gate), times up where there is one. */
enum Gate { NO_GATE, CLAMPED_SWIGLU, SILU };

#define VECTORS_OF_UNIT 4
#define WORTH_SHARING 4096 /* numbers below which no other core is woken */

static float *vector_at(Vectors v, int64_t row, int64_t of_row, int64_t n)
{
    return v.at + row * v.step + of_row * n;
}

/* One vector as the step makes it: to where it was asked for, or to the thread's own memory. */
static float *made_vector(RowWork *w, int64_t row, int64_t k)
{
    const int64_t n = w->n;
    if (!w->weight && !w->gate_kind) {
        float *x = vector_at(w->x, row, k, n);
        if (!w->more.at)
            return x;
        float *sum = vector_at(w->sum, row, k, n);
        const float *more = vector_at(w->more, row, k, n);
        for (int64_t i = 0; i < n; i++)
            sum[i] = x[i] + more[i];
        return sum;
    }
    float *out = w->normed.at ? vector_at(w->normed, row, k, n) : scratch((size_t)n * sizeof(float));
    if (!out) {
        w->error = 2;
    } else if (w->gate_kind == CLAMPED_SWIGLU) {
        w->isa->swiglu(vector_at(w->gate, row, k, 2 * n), n, w->gain, w->limit, out);
    } else if (w->gate_kind) {
        w->isa->silu(vector_at(w->gate, row, k, n), w->up.at ? vector_at(w->up, row, k, n) : NULL, n,
                     out);
    } else {
        const float *x = vector_at(w->x, row, k, n);
        if (w->more.at) {
            float *sum = vector_at(w->sum, row, k, n);
            const float *more = vector_at(w->more, row, k, n);
            for (int64_t i = 0; i < n; i++)
                sum[i] = x[i] + more[i];
            x = sum;
        }
        w->isa->norm(x, w->weight + k % w->weights * n, n, w->eps, out);
    }
    return out;
}

static void make_vector(void *context, int64_t v)
{
    RowWork *w = context;
    const float *x = made_vector(w, v / w->lead, v % w->lead);
    if (!x || !w->integers)
        return;
    int32_t *integers = w->integers + v * w->padded;
    const int error = w->isa->quantize(x, w->n, w->bits, integers, w->scales + v);
    if (error)
        w->error = error;
    for (int64_t i = w->n; i < w->padded; i++)
        integers[i] = 0;
}

static void make_vectors(void *context, int64_t unit)
{
    const RowWork *w = context;
    const int64_t all = w->rows * w->lead, end = (unit + 1) * VECTORS_OF_UNIT;
    for (int64_t v = unit * VECTORS_OF_UNIT; v < end && v < all; v++)
        make_vector(context, v);
}

/* Run `units` of work that take `numbers` in all: on several cores if that is worth it. */
static void share(Unit run, void *context, int64_t units, int64_t numbers)
{
    if (numbers >= WORTH_SHARING)
        in_parallel(run, context, units);
    else
        for (int64_t unit = 0; unit < units; unit++)
            run(context, unit);
}

static int for_vectors(RowWork *w)
{
    const int64_t all = w->rows * w->lead;
    share(make_vectors, w, (all + VECTORS_OF_UNIT - 1) / VECTORS_OF_UNIT, all * w->n);
    return w->error;
}

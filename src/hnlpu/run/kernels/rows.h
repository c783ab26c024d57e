/* A layer's numbers, and steps that take rows of float32 one by one. */

typedef struct {
    const Matrix *q, *k, *v, *o, *router;
    const Matrix *const *gate_up, *const *down; /* by expert */
    const float *norm, *norm_after, *sinks;
    int64_t hidden, heads, kv_heads, head_size, experts, active, inner, bits, window;
    double eps;
    float gain, limit; /* of SwiGLU */
} Layer;

/* One step over rows of float32, each on its own. */
typedef struct {
    const Instructions *isa;
    const Layer *layer;
    const float *from, *more; /* what a row is made of */
    float *to;
    const float *weight; /* of a norm, or NULL for none */
    int64_t n;           /* values of a row */
    int64_t rows, step;  /* rows of a unit */
    int32_t *integers, *scales;
    const int64_t *order;
    _Atomic int error;
} RowWork;

#define ROWS_OF_UNIT 4
#define FOR_ROWS(w, unit, row)                                                         \
    for (int64_t row = (unit) * ROWS_OF_UNIT, past_ = row + ROWS_OF_UNIT < (w)->rows     \
                                                           ? row + ROWS_OF_UNIT          \
                                                           : (w)->rows;                  \
         row < past_; row++)

static void for_rows(Unit run, RowWork *w)
{
    in_parallel(run, w, (w->rows + ROWS_OF_UNIT - 1) / ROWS_OF_UNIT);
}

/* to = norm(from + more), where asked for, and its integers; from + more goes to `from`'s place */
static void prepare_rows(void *context, int64_t unit)
{
    RowWork *w = context;
    FOR_ROWS(w, unit, row) {
        const float *x = w->from + row * w->n;
        if (w->more) {
            float *sum = (float *)w->from + row * w->n;
            for (int64_t i = 0; i < w->n; i++)
                sum[i] = x[i] + w->more[row * w->n + i];
        }
        if (w->weight) {
            w->isa->norm(x, w->weight, w->n, w->layer->eps, w->to + row * w->n);
            x = w->to + row * w->n;
        }
        const int error = w->isa->quantize(x, w->n, w->layer->bits, w->integers + row * w->n,
                                           w->scales + row);
        if (error)
            w->error = error;
    }
}

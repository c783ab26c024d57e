/* The layers of the transformer, for some tokens at once.

     x ─► norm ─► integers ─► q k v ─► rope ─► pages ─► attend ─► mixed
     mixed ─► integers ─► o ─► + ─► norm ─► integers ─► router ─► experts ─► mix ─► + x

   Tokens are rows that never meet, so their bits do not depend on how many there are. */

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

/* gate and up to integers; unlike the others a row is one expert's work for one token */
static void gate_rows(void *context, int64_t unit)
{
    RowWork *w = context;
    const Layer *layer = w->layer;
    float *out = scratch((size_t)w->n * sizeof(float));
    if (!out) {
        w->error = 2;
        return;
    }
    w->isa->swiglu(w->from + unit * 2 * w->n, w->n, layer->gain, layer->limit, out);
    if (w->isa->quantize(out, w->n, layer->bits, w->integers + unit * w->n, w->scales + unit))
        w->error = 4;
}

/* x += sum over ranks of share * output, in the order of the ranks */
static void mix_rows(void *context, int64_t unit)
{
    RowWork *w = context;
    const int64_t active = w->layer->active, n = w->n;
    FOR_ROWS(w, unit, row) {
        const int64_t *place = w->order + row * active;
        const float *shares = w->more + row * active;
        float *x = w->to + row * n;
        for (int64_t i = 0; i < n; i++) {
            float total = shares[0] * w->from[place[0] * n + i];
            for (int64_t rank = 1; rank < active; rank++)
                total = total + shares[rank] * w->from[place[rank] * n + i];
            x[i] = x[i] + total;
        }
    }
}

/* The `active` largest logits, the lower number first among equals, and their softmax. */
static void route(const float *logits, int64_t experts, int64_t active, int64_t *chosen,
                  float *shares)
{
    for (int64_t rank = 0; rank < active; rank++) {
        int64_t best = -1;
        for (int64_t e = 0; e < experts; e++) {
            int taken = 0;
            for (int64_t before = 0; before < rank; before++)
                taken |= chosen[before] == e;
            if (!taken && (best < 0 || logits[e] > logits[best]))
                best = e;
        }
        chosen[rank] = best;
    }
    double total = 0.0;
    for (int64_t rank = 0; rank < active; rank++) {
        shares[rank] = (float)exp((double)(logits[chosen[rank]] - logits[chosen[0]]));
        total += (double)shares[rank];
    }
    for (int64_t rank = 0; rank < active; rank++)
        shares[rank] = shares[rank] / (float)total;
}

/* Memory handed out piece by piece, given back as a whole. */
typedef struct {
    char *memory;
    size_t used;
} Arena;

/* Large arenas lie on large pages where the system has them: it zeroes them sooner. */
static int open_arena(Arena *arena, size_t size)
{
    const size_t large = (size_t)1 << 21;
    void *memory = NULL;
    if (posix_memalign(&memory, size < 2 * large ? 64 : large, size))
        return 2;
#ifdef MADV_HUGEPAGE
    if (size >= 2 * large)
        madvise(memory, size, MADV_HUGEPAGE);
#endif
    *arena = (Arena){memory, 0};
    return 0;
}

static void *take(Arena *arena, int64_t count, size_t size)
{
    void *piece = arena->memory + arena->used;
    arena->used += ((size_t)count * size + 63) / 64 * 64;
    return piece;
}

static int before_attention(const Instructions *isa, const Layer *layer, const float *x,
                            int64_t tokens, const float *cos, const float *sin, float *q, float *k,
                            float *v)
{
    const int64_t n = layer->hidden, half = layer->head_size / 2;
    Arena arena = {NULL, 0};
    if (open_arena(&arena, (size_t)(tokens * (8 * n + 4) + 3 * 64)))
        return 2;
    RowWork w = {.isa = isa, .layer = layer, .from = x, .weight = layer->norm, .n = n, .rows = tokens};
    w.to = take(&arena, tokens * n, sizeof(float));
    w.integers = take(&arena, tokens * n, sizeof(int32_t));
    w.scales = take(&arena, tokens, sizeof(int32_t));
    for_rows(prepare_rows, &w);
    int error = w.error;
    if (!error) {
        const Job jobs[3] = {{layer->q, w.integers, w.scales, tokens, NULL, q},
                             {layer->k, w.integers, w.scales, tokens, NULL, k},
                             {layer->v, w.integers, w.scales, tokens, NULL, v}};
        error = project(isa, jobs, 3, 0);
    }
    for (int64_t t = 0; t < tokens && !error; t++) {
        isa->rotate(q + t * layer->heads * 2 * half, layer->heads, 2 * half, cos + t * half,
                    sin + t * half);
        isa->rotate(k + t * layer->kv_heads * 2 * half, layer->kv_heads, 2 * half, cos + t * half,
                    sin + t * half);
    }
    free(arena.memory);
    return error;
}

/* Jobs of the experts that have tokens: rows of `x` sorted by expert, from starts[e] on. */
static int64_t expert_jobs(const Layer *layer, const Matrix *const *matrices, const int64_t *starts,
                           const int32_t *x, const int32_t *scales, int64_t x_step, int64_t x_width,
                           float *out, int64_t out_width, Job *jobs)
{
    int64_t count = 0;
    for (int64_t e = 0; e < layer->experts; e++) {
        const int64_t first = starts[e], rows = starts[e + 1] - first;
        if (rows)
            jobs[count++] = (Job){matrices[e], x + first * x_step * x_width, scales + first * x_step,
                                  rows, NULL, out + first * out_width};
    }
    return count;
}

static int after_attention(const Instructions *isa, const Layer *layer, float *x, const float *mixed,
                           int64_t tokens, int64_t *chosen)
{
    const int64_t n = layer->hidden, width = layer->heads * layer->head_size;
    const int64_t inner = layer->inner, active = layer->active, pairs = tokens * active;
    const int64_t widest = width > n ? width : n;
    const size_t size =
        (size_t)tokens * (size_t)(4 * widest + 4 * n + 4 + 4 * layer->experts + 4 * active) +
        (size_t)pairs * (size_t)(8 * inner + 4 * inner + 8 + 4 * n + 8) +
        (size_t)(layer->experts + 1) * (8 + sizeof(Job)) + 16 * 64;
    Arena arena = {NULL, 0};
    if (open_arena(&arena, size))
        return 2;
    int32_t *integers = take(&arena, tokens * widest, 4), *scales = take(&arena, tokens, 4);
    float *y = take(&arena, tokens * n, 4), *logits = take(&arena, tokens * layer->experts, 4);
    float *shares = take(&arena, pairs, 4), *gate_up = take(&arena, pairs * 2 * inner, 4);
    int32_t *inputs = take(&arena, pairs * inner, 4), *input_scales = take(&arena, pairs, 4);
    int32_t *gathered = take(&arena, pairs * n, 4), *gathered_scales = take(&arena, pairs, 4);
    float *down = (float *)gathered; /* which nobody needs by then */
    int64_t *places = take(&arena, pairs, 8), *starts = take(&arena, layer->experts + 1, 8);
    Job *jobs = take(&arena, layer->experts, sizeof(Job));

    RowWork w = {.isa = isa, .layer = layer, .from = mixed, .n = width, .rows = tokens,
                 .integers = integers, .scales = scales};
    for_rows(prepare_rows, &w);
    int error = w.error;
    const Job output = {layer->o, integers, scales, tokens, NULL, y};
    if (!error)
        error = project(isa, &output, 1, 0);

    w.from = x, w.more = y, w.to = y, w.weight = layer->norm_after, w.n = n;
    if (!error) {
        for_rows(prepare_rows, &w);
        error = w.error;
    }
    const Job router = {layer->router, integers, scales, tokens, NULL, logits};
    if (!error)
        error = project(isa, &router, 1, 0);
    if (error)
        goto done;

    /* rows of the experts: those of the first expert, then those of the next */
    memset(starts, 0, (size_t)(layer->experts + 1) * sizeof *starts);
    for (int64_t t = 0; t < tokens; t++) {
        route(logits + t * layer->experts, layer->experts, active, chosen + t * active,
              shares + t * active);
        for (int64_t rank = 0; rank < active; rank++)
            starts[chosen[t * active + rank] + 1]++;
    }
    for (int64_t e = 0; e < layer->experts; e++)
        starts[e + 1] += starts[e];
    for (int64_t i = 0; i < pairs; i++)
        places[i] = starts[chosen[i]]++;
    for (int64_t e = layer->experts; e > 0; e--)
        starts[e] = starts[e - 1];
    starts[0] = 0;
    int64_t count;
    if (tokens == 1) { /* every expert takes the same row */
        count = expert_jobs(layer, layer->gate_up, starts, integers, scales, 0, n, gate_up, 2 * inner,
                            jobs);
    } else {
        for (int64_t i = 0; i < pairs; i++) {
            memcpy(gathered + places[i] * n, integers + i / active * n, (size_t)n * 4);
            gathered_scales[places[i]] = scales[i / active];
        }
        count = expert_jobs(layer, layer->gate_up, starts, gathered, gathered_scales, 1, n, gate_up,
                            2 * inner, jobs);
    }
    error = project(isa, jobs, count, 0);
    w = (RowWork){.isa = isa, .layer = layer, .from = gate_up, .n = inner, .rows = pairs,
                  .integers = inputs, .scales = input_scales};
    if (!error) {
        in_parallel(gate_rows, &w, pairs);
        error = w.error;
    }
    count = expert_jobs(layer, layer->down, starts, inputs, input_scales, 1, inner, down, n, jobs);
    if (!error)
        error = project(isa, jobs, count, 0);
    if (!error) {
        w.from = down, w.more = shares, w.to = x, w.n = n, w.rows = tokens, w.order = places;
        for_rows(mix_rows, &w);
    }
done:
    free(arena.memory);
    return error;
}

typedef struct {
    const Instructions *isa;
    const Attention *attention;
    _Atomic int error;
} AttendWork;

static void attend_unit(void *context, int64_t unit)
{
    AttendWork *w = context;
    const Attention *a = w->attention;
    const int64_t row = unit / a->kv_heads, n = a->positions[row] + 1;
    float *scores = scratch((size_t)(4 * n) * sizeof(float));
    if (scores)
        w->isa->attend(a, row, unit % a->kv_heads, scores);
    else
        w->error = 2;
}

static int attend(const Instructions *isa, const Attention *attention)
{
    AttendWork work = {isa, attention, 0};
    in_parallel(attend_unit, &work, attention->rows * attention->kv_heads);
    return work.error;
}

/* Keys and values of rows to their places on the pages. */
static void store(const Attention *a, const float *k, const float *v)
{
    for (int64_t row = 0; row < a->rows; row++) {
        const int64_t page = a->positions[row] / a->page_size, slot = a->positions[row] % a->page_size;
        const int64_t at = a->tables[a->sequences[row] * a->pages + page] * a->kv_heads;
        float *keys = (float *)a->keys + at * a->size * a->page_size + slot;
        float *values = (float *)a->values + (at * a->page_size + slot) * a->size;
        for (int64_t h = 0; h < a->kv_heads; h++) {
            const float *key = k + (row * a->kv_heads + h) * a->size;
            for (int64_t d = 0; d < a->size; d++)
                keys[(h * a->size + d) * a->page_size] = key[d];
            memcpy(values + h * a->page_size * a->size, v + (row * a->kv_heads + h) * a->size,
                   (size_t)a->size * sizeof(float));
        }
    }
}

/* All layers over x [tokens][hidden], in place.  `a` says where the tokens stand and where the
   pages of the first layer lie; those of the next one are `layer_size` values further on.
   `chosen` [layers][tokens][active] takes the experts. */
static int forward(const Instructions *isa, const Layer *layers, int64_t count, float *x,
                   const float *cos, const float *sin, Attention a, int64_t layer_size,
                   int64_t *chosen)
{
    const Layer *l = layers;
    const int64_t width = l->heads * l->head_size, narrow = l->kv_heads * l->head_size;
    Arena arena = {NULL, 0};
    if (open_arena(&arena, (size_t)a.rows * (size_t)(2 * width + 2 * narrow) * 4 + 4 * 64))
        return 2;
    float *q = take(&arena, a.rows * width, 4), *mixed = take(&arena, a.rows * width, 4);
    float *k = take(&arena, a.rows * narrow, 4), *v = take(&arena, a.rows * narrow, 4);
    a.queries = q, a.out = mixed;
    int error = 0;
    for (int64_t i = 0; i < count && !error; i++, l++) {
        error = before_attention(isa, l, x, a.rows, cos, sin, q, k, v);
        if (error)
            break;
        store(&a, k, v);
        a.sinks = l->sinks, a.window = l->window;
        error = attend(isa, &a);
        if (!error)
            error = after_attention(isa, l, x, mixed, a.rows, chosen + i * a.rows * l->active);
        a.keys += layer_size, a.values += layer_size;
    }
    free(arena.memory);
    return error;
}

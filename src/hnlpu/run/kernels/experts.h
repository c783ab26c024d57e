/* The mixture of experts, for some rows at once.

     logits ─► route ─► pairs sorted by expert ─► [ gate, up ─► gated ─► integers ─► down ] ─► mix

   What stands in brackets takes a few experts at a time, so that memory for their pairs need not
   hold all of them. */

typedef struct {
    const Matrix *const *gate, *const *up, *const *down; /* by expert; `up` NULL: gate has both */
    int64_t width, inner, experts, active, bits, gate_kind;
    int64_t share_first, normalise; /* see `route` */
    float gain, limit;
    int64_t in_columns, inner_columns; /* with padding */
} Experts;

/* A pair is one expert's work for one row: pairs lie sorted by expert, those of expert e from
   starts[e] on.  So many pairs, or one expert's, are under way together: enough for all cores. */
#define EXPERT_PAIRS 256

static int64_t pairs_together(const Experts *e, int64_t rows)
{
    const int64_t pairs = rows * e->active;
    const int64_t most = rows > EXPERT_PAIRS ? rows : EXPERT_PAIRS; /* no row goes twice to one */
    return pairs < most ? pairs : most;
}

/* Bytes that `through_experts` takes of its memory, at most. */
static size_t experts_bytes(const Experts *e, int64_t rows)
{
    const int64_t widest = e->in_columns > e->inner_columns ? e->in_columns : e->inner_columns;
    const int64_t opened = 2 * e->inner, pairs = rows * e->active;
    return (size_t)(pairs * (4 + 4 * e->width + 16) +
                    pairs_together(e, rows) * 4 * (opened + widest + 1) +
                    (e->experts + 1) * (int64_t)(8 + 4 + 2 * sizeof(Job))) +
           16 * 64;
}

/* The k largest of `values`, the lower number first among equals. */
static void largest(const float *values, int64_t n, int64_t k, int64_t *chosen)
{
    for (int64_t rank = 0; rank < k; rank++) {
        int64_t best = -1;
        for (int64_t e = 0; e < n; e++) {
            int taken = 0;
            for (int64_t before = 0; before < rank; before++)
                taken |= chosen[before] == e;
            if (!taken && (best < 0 || values[e] > values[best]))
                best = e;
        }
        chosen[rank] = best;
    }
}

/* Softmax in place; the sum of rounded powers in float64. */
static void softmax(float *x, int64_t n)
{
    float most = x[0];
    for (int64_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    double total = 0.0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)exp((double)(x[i] - most));
        total += (double)x[i];
    }
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] / (float)total;
}

/* The experts with the largest logits, and their shares: the softmax of those chosen, or with
   `share_first` of all, then divided by the sum of those chosen if `normalise`.  `all` [experts]
   is room to work in. */
static void route(const Experts *e, const float *logits, float *all, int64_t *chosen, float *shares)
{
    memcpy(all, logits, (size_t)e->experts * sizeof *all);
    if (e->share_first)
        softmax(all, e->experts);
    largest(all, e->experts, e->active, chosen);
    for (int64_t rank = 0; rank < e->active; rank++)
        shares[rank] = all[chosen[rank]];
    if (!e->share_first) {
        softmax(shares, e->active);
    } else if (e->normalise) {
        double total = 0.0;
        for (int64_t rank = 0; rank < e->active; rank++)
            total += (double)shares[rank];
        for (int64_t rank = 0; rank < e->active; rank++)
            shares[rank] = shares[rank] / (float)total;
    }
}

/* Experts `first` to the one returned, not included, are under way together. */
static int64_t end_of_group(const int64_t *starts, int64_t experts, int64_t first)
{
    int64_t end = first + 1;
    while (end < experts && starts[end + 1] - starts[first] <= EXPERT_PAIRS)
        end++;
    return end;
}

typedef struct {
    const int64_t *starts;
    int64_t first, end; /* experts */
    Job *jobs;
} Group;

/* Multiply the group's pairs by one matrix of each expert, or by two; with `x_step` 0 all pairs take
   the same x. */
static int project_group(const Instructions *isa, const Group *g, const Matrix *const *one,
                         const Matrix *const *two, const int32_t *x, const int32_t *scales,
                         int64_t x_step, float *out, float *out_of_two)
{
    int64_t count = 0;
    for (int64_t e = g->first; e < g->end; e++) {
        const int64_t at = g->starts[e] - g->starts[g->first], pairs = g->starts[e + 1] - g->starts[e];
        const int64_t from = at * x_step, columns = one[e]->blocks * BLOCK;
        if (!pairs)
            continue;
        g->jobs[count++] = (Job){one[e], x + from * columns, scales + from, pairs, NULL,
                                 out + at * one[e]->rows};
        if (two) /* behind it, as neighbours share what is made of their x */
            g->jobs[count++] = (Job){two[e], x + from * columns, scales + from, pairs, NULL,
                                     out_of_two + at * two[e]->rows};
    }
    return project(isa, g->jobs, count, 0);
}

/* Sort `pairs` of rows and experts by expert: `places` of pairs, `starts` of experts, and the
   pair at each place. */
static void sort_pairs(const int64_t *chosen, int64_t pairs, int64_t experts, int64_t *places,
                       int64_t *starts, int64_t *pair_at)
{
    memset(starts, 0, (size_t)(experts + 1) * sizeof *starts);
    for (int64_t i = 0; i < pairs; i++)
        starts[chosen[i] + 1]++;
    for (int64_t e = 0; e < experts; e++)
        starts[e + 1] += starts[e];
    for (int64_t i = 0; i < pairs; i++) {
        places[i] = starts[chosen[i]]++;
        pair_at[places[i]] = i;
    }
    for (int64_t e = experts; e > 0; e--)
        starts[e] = starts[e - 1];
    starts[0] = 0;
}

typedef struct {
    const float *outputs, *shares;
    const int64_t *places;
    Vectors x, to; /* to = x + the mixture; without x the mixture alone */
    int64_t rows, active, n;
} MixWork;

/* sum over ranks of share * output, in the order of the ranks */
static void mix_rows(void *context, int64_t unit)
{
    const MixWork *w = context;
    const int64_t n = w->n, end = (unit + 1) * VECTORS_OF_UNIT;
    for (int64_t row = unit * VECTORS_OF_UNIT; row < end && row < w->rows; row++) {
        const int64_t *place = w->places + row * w->active;
        const float *shares = w->shares + row * w->active;
        const float *x = w->x.at ? vector_at(w->x, row, 0, n) : NULL;
        float *to = vector_at(w->to, row, 0, n);
        for (int64_t i = 0; i < n; i++) {
            float total = shares[0] * w->outputs[place[0] * n + i];
            for (int64_t rank = 1; rank < w->active; rank++)
                total = total + shares[rank] * w->outputs[place[rank] * n + i];
            to[i] = x ? x[i] + total : total;
        }
    }
}

/* What the experts that `logits` choose make of `integers`, mixed, and added to `x` where there is
   one.  `chosen` [rows][active] takes their numbers. */
static int through_experts(const Instructions *isa, const Experts *e, Vectors logits,
                           const int32_t *integers, const int32_t *scales, int64_t rows, Vectors x,
                           Vectors to, int64_t *chosen, Arena arena)
{
    const int64_t active = e->active, pairs = rows * active, columns = e->in_columns;
    const int64_t widest = columns > e->inner_columns ? columns : e->inner_columns;
    const int64_t together = pairs_together(e, rows), n = e->width;
    float *shares = take(&arena, pairs, 4), *outputs = take(&arena, pairs * n, 4);
    int64_t *places = take(&arena, pairs, 8), *pair_at = take(&arena, pairs, 8);
    int64_t *starts = take(&arena, e->experts + 1, 8);
    float *all = take(&arena, e->experts, 4);
    float *opened = take(&arena, together * 2 * e->inner, 4), *raised = opened + together * e->inner;
    int32_t *inputs = take(&arena, together * widest, 4), *input_scales = take(&arena, together, 4);
    Group group = {starts, 0, 0, take(&arena, 2 * e->experts, sizeof(Job))};

    for (int64_t r = 0; r < rows; r++)
        route(e, vector_at(logits, r, 0, e->experts), all, chosen + r * active, shares + r * active);
    sort_pairs(chosen, pairs, e->experts, places, starts, pair_at);

    int error = 0;
    for (; group.first < e->experts && !error; group.first = group.end) {
        group.end = end_of_group(starts, e->experts, group.first);
        const int64_t base = starts[group.first], here = starts[group.end] - base;
        if (!here)
            continue;
        const int alone = rows == 1; /* every expert takes the same row */
        for (int64_t i = 0; i < here && !alone; i++) {
            const int64_t row = pair_at[base + i] / active;
            memcpy(inputs + i * columns, integers + row * columns, (size_t)columns * sizeof *inputs);
            input_scales[i] = scales[row];
        }
        const int32_t *from = alone ? integers : inputs, *by = alone ? scales : input_scales;
        error = project_group(isa, &group, e->gate, e->up, from, by, !alone, opened, raised);
        const int64_t step = e->up ? e->inner : 2 * e->inner;
        RowWork w = {.isa = isa, .gate = {opened, step}, .up = {e->up ? raised : NULL, step},
                     .gate_kind = e->gate_kind, .gain = e->gain, .limit = e->limit, .rows = here,
                     .lead = 1, .n = e->inner, .padded = e->inner_columns, .bits = e->bits,
                     .integers = inputs, .scales = input_scales};
        if (!error) {
            in_parallel(make_vector, &w, here);
            error = w.error;
        }
        if (!error)
            error = project_group(isa, &group, e->down, NULL, inputs, input_scales, 1,
                                  outputs + base * n, NULL);
    }
    MixWork mix = {outputs, shares, places, x, to, rows, active, n};
    if (!error)
        share(mix_rows, &mix, (rows + VECTORS_OF_UNIT - 1) / VECTORS_OF_UNIT, rows * n);
    return error;
}

/* The mixture of experts, for some tokens at once.

     logits ─► route ─► rows sorted by expert ─► [ gate_up ─► swiglu ─► integers ─► down ] ─► mix ─► + x

   What stands in brackets takes a few experts at a time, so that memory for their rows need not
   hold all of them. */

/* A row is one expert's work for one token: rows lie sorted by expert, those of expert e from
   starts[e] on.  So many rows, or one expert's, are under way together: enough for all cores. */
#define EXPERT_ROWS 256

static int64_t expert_rows(const Layer *layer, int64_t tokens)
{
    const int64_t pairs = tokens * layer->active;
    const int64_t most = tokens > EXPERT_ROWS ? tokens : EXPERT_ROWS; /* no token goes twice to one */
    return pairs < most ? pairs : most;
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

/* Experts `first` to the one returned, not included, are under way together. */
static int64_t end_of_group(const int64_t *starts, int64_t experts, int64_t first)
{
    int64_t end = first + 1;
    while (end < experts && starts[end + 1] - starts[first] <= EXPERT_ROWS)
        end++;
    return end;
}

typedef struct {
    const int64_t *starts;
    int64_t first, end; /* experts */
    Job *jobs;
} Group;

/* outputs = matrices * x, both by rows of the group; with `x_step` 0 all rows take the same x. */
static int project_group(const Instructions *isa, const Group *g, const Matrix *const *matrices,
                         const int32_t *x, const int32_t *scales, int64_t x_step, int64_t x_width,
                         float *out, int64_t out_width)
{
    int64_t count = 0;
    for (int64_t e = g->first; e < g->end; e++) {
        const int64_t at = g->starts[e] - g->starts[g->first], rows = g->starts[e + 1] - g->starts[e];
        if (rows)
            g->jobs[count++] = (Job){matrices[e], x + at * x_step * x_width, scales + at * x_step, rows,
                                     NULL, out + at * out_width};
    }
    return project(isa, g->jobs, count, 0);
}

/* Sort `pairs` of tokens and experts by expert: `places` of pairs, `starts` of experts, and the
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

/* The experts' part: adds to x [tokens][n] what those that `logits` choose make of `integers`. */
static int through_experts(const Instructions *isa, const Layer *layer, float *x, const float *logits,
                           const int32_t *integers, const int32_t *scales, int64_t tokens,
                           int64_t *chosen, Arena arena)
{
    const int64_t n = layer->hidden, inner = layer->inner, experts = layer->experts;
    const int64_t active = layer->active, pairs = tokens * active;
    const int64_t together = expert_rows(layer, tokens);
    float *shares = take(&arena, pairs, 4), *down = take(&arena, pairs * n, 4);
    int64_t *places = take(&arena, pairs, 8), *pair_at = take(&arena, pairs, 8);
    int64_t *starts = take(&arena, experts + 1, 8);
    float *gate_up = take(&arena, together * 2 * inner, 4);
    int32_t *inputs = take(&arena, together * (n > inner ? n : inner), 4);
    int32_t *input_scales = take(&arena, together, 4);
    Group group = {starts, 0, 0, take(&arena, experts, sizeof(Job))};

    for (int64_t t = 0; t < tokens; t++)
        route(logits + t * experts, experts, active, chosen + t * active, shares + t * active);
    sort_pairs(chosen, pairs, experts, places, starts, pair_at);

    int error = 0;
    for (; group.first < experts && !error; group.first = group.end) {
        group.end = end_of_group(starts, experts, group.first);
        const int64_t base = starts[group.first], rows = starts[group.end] - base;
        if (!rows)
            continue;
        if (tokens == 1) { /* every expert takes the same row */
            error = project_group(isa, &group, layer->gate_up, integers, scales, 0, n, gate_up,
                                  2 * inner);
        } else {
            for (int64_t row = 0; row < rows; row++) {
                const int64_t token = pair_at[base + row] / active;
                memcpy(inputs + row * n, integers + token * n, (size_t)n * sizeof *inputs);
                input_scales[row] = scales[token];
            }
            error = project_group(isa, &group, layer->gate_up, inputs, input_scales, 1, n, gate_up,
                                  2 * inner);
        }
        RowWork w = {.isa = isa, .layer = layer, .from = gate_up, .n = inner, .rows = rows,
                     .integers = inputs, .scales = input_scales};
        if (!error) {
            in_parallel(gate_rows, &w, rows);
            error = w.error;
        }
        if (!error)
            error = project_group(isa, &group, layer->down, inputs, input_scales, 1, inner,
                                  down + base * n, n);
    }
    if (!error) {
        RowWork w = {.isa = isa, .layer = layer, .from = down, .more = shares, .to = x, .n = n,
                     .rows = tokens, .order = places};
        for_rows(mix_rows, &w);
    }
    return error;
}

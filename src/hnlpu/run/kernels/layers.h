/* The layers of the transformer, for some tokens at once.

     x ─► norm ─► integers ─► q k v ─► rope ─► pages ─► attend ─► mixed
     mixed ─► integers ─► o ─► + ─► norm ─► integers ─► router ─► experts ─► mix ─► + x

   Tokens are rows that never meet, so their bits do not depend on how many there are. */

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Bytes that the layers take from the arena for so many tokens, at most: `forward` has what is
   mixed, on top of it lie q, k, v and what comes before attention, then what comes after. */
static size_t arena_bytes(const Layer *layer, int64_t tokens)
{
    const int64_t n = layer->hidden, width = layer->heads * layer->head_size, inner = layer->inner;
    const int64_t narrow = layer->kv_heads * layer->head_size, widest = width > n ? width : n;
    const int64_t before = tokens * 4 * (width + 2 * narrow + 2 * n + 1);
    const int64_t shared = tokens * 4 * (widest + 1 + layer->experts), y = tokens * 4 * n;
    const int64_t row = 4 * (2 * inner + (n > inner ? n : inner) + 1);
    const int64_t experts = tokens * layer->active * (4 + 4 * n + 16) +
                            expert_rows(layer, tokens) * row +
                            (layer->experts + 1) * (int64_t)(8 + sizeof(Job));
    const size_t after = (size_t)shared + larger((size_t)y, (size_t)experts);
    return (size_t)(tokens * 4 * width) + larger((size_t)before, after) + 16 * 64;
}

static int before_attention(const Instructions *isa, const Layer *layer, const float *x,
                            int64_t tokens, const float *cos, const float *sin, float *q, float *k,
                            float *v, Arena arena)
{
    const int64_t n = layer->hidden, half = layer->head_size / 2;
    RowWork w = {.isa = isa, .layer = layer, .from = x, .weight = layer->norm, .n = n, .rows = tokens};
    w.to = take(&arena, tokens * n, sizeof(float));
    w.integers = take(&arena, tokens * n, sizeof(int32_t));
    w.scales = take(&arena, tokens, sizeof(int32_t));
    for_rows(prepare_rows, &w);
    if (w.error)
        return w.error;
    const Job jobs[3] = {{layer->q, w.integers, w.scales, tokens, NULL, q},
                         {layer->k, w.integers, w.scales, tokens, NULL, k},
                         {layer->v, w.integers, w.scales, tokens, NULL, v}};
    const int error = project(isa, jobs, 3, 0);
    for (int64_t t = 0; t < tokens && !error; t++) {
        isa->rotate(q + t * layer->heads * 2 * half, layer->heads, 2 * half, cos + t * half,
                    sin + t * half);
        isa->rotate(k + t * layer->kv_heads * 2 * half, layer->kv_heads, 2 * half, cos + t * half,
                    sin + t * half);
    }
    return error;
}

static int after_attention(const Instructions *isa, const Layer *layer, float *x, const float *mixed,
                           int64_t tokens, int64_t *chosen, Arena arena)
{
    const int64_t n = layer->hidden, width = layer->heads * layer->head_size;
    int32_t *integers = take(&arena, tokens * (width > n ? width : n), 4);
    int32_t *scales = take(&arena, tokens, 4);
    float *logits = take(&arena, tokens * layer->experts, 4);
    Arena rest = arena; /* y goes when the experts come */
    float *y = take(&arena, tokens * n, 4);

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
    return error ? error
                 : through_experts(isa, layer, x, logits, integers, scales, tokens, chosen, rest);
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
    Arena arena;
    if (open_arena(&arena, arena_bytes(l, a.rows)))
        return 2;
    float *mixed = take(&arena, a.rows * width, 4);
    const Arena after = arena; /* q, k and v go when attention is done */
    float *q = take(&arena, a.rows * width, 4);
    float *k = take(&arena, a.rows * narrow, 4), *v = take(&arena, a.rows * narrow, 4);
    a.queries = q, a.out = mixed;
    int error = 0;
    for (int64_t i = 0; i < count && !error; i++, l++) {
        error = before_attention(isa, l, x, a.rows, cos, sin, q, k, v, arena);
        if (error)
            break;
        store(&a, k, v);
        a.sinks = l->sinks, a.window = l->window;
        error = attend(isa, &a);
        if (!error)
            error = after_attention(isa, l, x, mixed, a.rows, chosen + i * a.rows * l->active, after);
        a.keys += layer_size, a.values += layer_size;
    }
    close_arena(&arena);
    return error;
}

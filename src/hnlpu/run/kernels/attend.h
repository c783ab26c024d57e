/* Attention of some rows, each at its place of its sequence, over keys and values on pages. */

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

/* Keys and values [rows][kv heads][size] to their places on the pages. */
static void store(const Attention *a, Vectors k, Vectors v)
{
    for (int64_t row = 0; row < a->rows; row++) {
        const int64_t page = a->positions[row] / a->page_size, slot = a->positions[row] % a->page_size;
        const int64_t at = a->tables[a->sequences[row] * a->pages + page] * a->kv_heads;
        float *keys = (float *)a->keys + at * a->size * a->page_size + slot;
        float *values = (float *)a->values + (at * a->page_size + slot) * a->size;
        for (int64_t h = 0; h < a->kv_heads; h++) {
            const float *key = vector_at(k, row, h, a->size);
            for (int64_t d = 0; d < a->size; d++)
                keys[(h * a->size + d) * a->page_size] = key[d];
            memcpy(values + h * a->page_size * a->size, vector_at(v, row, h, a->size),
                   (size_t)a->size * sizeof(float));
        }
    }
}

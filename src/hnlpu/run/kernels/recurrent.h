/* States that are kept whole: one slot per sequence, [slots][values].

   READ: to places[0], n values of state n[0] [n[1]].
   WRITE: from places[0]; of a ring n[2] entries of n[1] / n[2] values, the oldest of which goes.
   KEEP: a ring's WRITE, after which places[1] takes all of it, row by row.
   CONVOLVE: KEEP, but places[1] takes the sum over entries of entry * weights [entries][values], in
   their order, plus a bias (pointers[0], pointers[1] or NULL). */

/* Rows of one sequence that a pass takes, in their order: `count` from `rows` on; in a turn its
   only one. */
typedef struct {
    const int64_t *rows;
    int64_t alone, count;
} Chain;

static int64_t chains_of(const Pass *p) { return p->in_turn ? p->rows : p->batch->chains; }

static Chain chain(const Pass *p, int64_t number)
{
    const int64_t *starts = p->batch->starts;
    if (p->in_turn)
        return (Chain){NULL, number, 1};
    return (Chain){p->batch->order + starts[number], 0, starts[number + 1] - starts[number]};
}

static int64_t row_of(const Chain *c, int64_t n) { return c->rows ? c->rows[n] : c->alone; }

/* The slot of a row's sequence */
static float *slot_of(const Pass *p, int64_t state, int64_t row, int64_t size)
{
    const int64_t sequence = p->batch->sequences[p->first + row];
    return (float *)p->batch->states[state] + p->batch->slots[sequence] * size;
}

typedef struct {
    const Pass *p;
    const Instruction *i;
} RecurrentWork;

static void read_state(const Pass *p, const Instruction *i)
{
    const Vectors to = vectors(p, &i->places[0]);
    for (int64_t row = 0; row < p->rows; row++)
        memcpy(to.at + row * to.step, slot_of(p, i->n[0], row, i->n[1]), (size_t)i->n[1] * 4);
}

static void convolve(const Instruction *i, const float *entries, int64_t width, float *out)
{
    const float *weights = i->pointers[0], *bias = i->pointers[1];
    for (int64_t c = 0; c < width; c++)
        out[c] = entries[c] * weights[c];
    for (int64_t k = 1; k < i->n[2]; k++)
        for (int64_t c = 0; c < width; c++)
            out[c] = out[c] + entries[k * width + c] * weights[k * width + c];
    for (int64_t c = 0; bias && c < width; c++)
        out[c] = out[c] + bias[c];
}

static void write_chain(void *context, int64_t number)
{
    const RecurrentWork *w = context;
    const Instruction *i = w->i;
    const Chain c = chain(w->p, number);
    const int64_t all = i->n[1], width = all / i->n[2];
    const Vectors x = vectors(w->p, &i->places[0]), to = vectors(w->p, &i->places[1]);
    float *slot = slot_of(w->p, i->n[0], row_of(&c, 0), all);
    for (int64_t n = 0; n < c.count; n++) {
        const int64_t row = row_of(&c, n);
        memmove(slot, slot + width, (size_t)(all - width) * sizeof *slot);
        memcpy(slot + all - width, x.at + row * x.step, (size_t)width * sizeof *slot);
        if (i->code == KEEP)
            memcpy(to.at + row * to.step, slot, (size_t)all * sizeof *slot);
        else if (i->code == CONVOLVE)
            convolve(i, slot, width, to.at + row * to.step);
    }
}

static int write_state(const Pass *p, const Instruction *i)
{
    RecurrentWork w = {p, i};
    share(write_chain, &w, chains_of(p), p->rows * i->n[1]);
    return 0;
}

/* SCAN: S = e^(dt a) S + (dt x) B^T, y = S C + skip x, where head h of n[1] has P = n[2] rows of S
   with N = n[3] columns, and shares B and C with the others of its group of n[1] / n[4].  Places:
   x, dt, a, B, C, skip, y. */
#define ROWS_OF_STATE 8

/* What the first row of a sequence reads in place of its slot; NULL for the slot itself. */
static const float *scan_source(const Pass *p, int64_t state, int64_t row, int64_t size)
{
    const Batch *batch = p->batch;
    const int64_t sequence = batch->sequences[p->first + row];
    if (!batch->sources || (p->in_turn && p->first > 0) ||
        batch->sources[sequence] == batch->slots[sequence])
        return NULL;
    return (const float *)batch->states[state] + batch->sources[sequence] * size;
}

static void scan_rows(float *s, int64_t n, int64_t rows, float decay, const float *moved,
                      const float *b, const float *c, float *y)
{
    for (int64_t k = 0; k < rows; k++)
        for (int64_t j = 0; j < n; j++)
            s[k * n + j] = s[k * n + j] * decay + moved[k] * b[j];
    for (int64_t k = 0; k < rows; k++)
        y[k] = s[k * n] * c[0];
    if (rows == ROWS_OF_STATE) /* side by side: their sums do not wait for each other */
        for (int64_t j = 1; j < n; j++)
            for (int64_t k = 0; k < ROWS_OF_STATE; k++)
                y[k] = y[k] + s[k * n + j] * c[j];
    else
        for (int64_t j = 1; j < n; j++)
            for (int64_t k = 0; k < rows; k++)
                y[k] = y[k] + s[k * n + j] * c[j];
}

static void scan_head(void *context, int64_t unit)
{
    const RecurrentWork *w = context;
    const int64_t *n = w->i->n, heads = n[1], rows = n[2], columns = n[3];
    const int64_t h = unit % heads, group = h / (heads / n[4]);
    const Chain c = chain(w->p, unit / heads);
    Vectors v[7];
    for (int k = 0; k < 7; k++)
        v[k] = vectors(w->p, &w->i->places[k]);
    const int64_t size = heads * rows * columns, mine = h * rows * columns;
    float *state = slot_of(w->p, n[0], row_of(&c, 0), size) + mine;
    const float *source = scan_source(w->p, n[0], row_of(&c, 0), size);
    for (int64_t i = 0; i < c.count; i++) {
        const int64_t row = row_of(&c, i);
        const float *x = vector_at(v[0], row, h, rows), dt = *vector_at(v[1], row, h, 1);
        const float decay = (float)exp((double)(dt * *vector_at(v[2], row, h, 1)));
        const float *b = vector_at(v[3], row, group, columns);
        const float *of = vector_at(v[4], row, group, columns);
        const float skip = *vector_at(v[5], row, h, 1);
        float *y = vector_at(v[6], row, h, rows);
        for (int64_t k = 0; k < rows; k += ROWS_OF_STATE) {
            const int64_t here = rows - k < ROWS_OF_STATE ? rows - k : ROWS_OF_STATE;
            float moved[ROWS_OF_STATE], sums[ROWS_OF_STATE];
            if (source && i == 0) /* in pieces, which are still at hand when they are worked on */
                memcpy(state + k * columns, source + mine + k * columns,
                       (size_t)(here * columns) * sizeof *state);
            for (int64_t j = 0; j < here; j++)
                moved[j] = x[k + j] * dt;
            scan_rows(state + k * columns, columns, here, decay, moved, b, of, sums);
            for (int64_t j = 0; j < here; j++)
                y[k + j] = sums[j] + x[k + j] * skip;
        }
    }
}

static int scan(const Pass *p, const Instruction *i)
{
    RecurrentWork w = {p, i};
    share(scan_head, &w, chains_of(p) * i->n[1], p->rows * i->n[1] * i->n[2] * i->n[3]);
    return 0;
}

/* Carrying out a tape. */

/* PREPARE: places are x, more, sum, normed, gate, up, integers, scales; pointers[0] a norm's weights;
   `n` has n, lead, the padded length of integers, their bits, the vectors of weights, what opens a
   gate; reals are eps, gain, limit. */
static int prepare_vectors(const Pass *p, const Instruction *i)
{
    const Place *at_ = i->places;
    RowWork w = {
        .isa = p->isa, .x = vectors(p, at_), .more = vectors(p, at_ + 1), .sum = vectors(p, at_ + 2),
        .normed = vectors(p, at_ + 3), .gate = vectors(p, at_ + 4), .up = vectors(p, at_ + 5),
        .integers = at(p, at_ + 6), .scales = at(p, at_ + 7), .weight = i->pointers[0],
        .rows = p->rows, .n = i->n[0], .lead = i->n[1], .padded = i->n[2], .bits = i->n[3],
        .weights = i->n[4], .gate_kind = i->n[5], .eps = i->reals[0], .gain = (float)i->reals[1],
        .limit = (float)i->reals[2],
    };
    return for_vectors(&w);
}

/* PROJECT: places are integers, scales and up to MOST_SHARED results, by the matrices `pointers`;
   `n` has their number and the vectors of a row. */
#define MOST_SHARED 4

static int project_vectors(const Pass *p, const Instruction *i)
{
    Job jobs[MOST_SHARED];
    for (int64_t k = 0; k < i->n[0]; k++)
        jobs[k] = (Job){i->pointers[k], at(p, &i->places[0]), at(p, &i->places[1]),
                        p->rows * i->n[1], NULL, at(p, &i->places[2 + k])};
    return project(p->isa, jobs, i->n[0], 0);
}

typedef struct {
    const Pass *p;
    const Instruction *i;
} RotateWork;

/* ROTATE: places are x, cosines, sines and the result; n has heads and their size. */
static void rotate_row(void *context, int64_t row)
{
    const RotateWork *w = context;
    const int64_t heads = w->i->n[0], size = w->i->n[1];
    const Vectors x = vectors(w->p, &w->i->places[0]), to = vectors(w->p, &w->i->places[3]);
    const Vectors cos = vectors(w->p, &w->i->places[1]), sin = vectors(w->p, &w->i->places[2]);
    float *out = to.at + row * to.step;
    if (out != x.at + row * x.step)
        memcpy(out, x.at + row * x.step, (size_t)(heads * size) * sizeof *out);
    w->p->isa->rotate(out, heads, size, cos.at + row * cos.step, sin.at + row * sin.step);
}

/* ATTEND: places are q, k, v and the result; n has heads, kv heads, size, window, the states of keys
   and values; pointers[0] sinks or NULL; reals[0] is the scale. */
static int attend_rows(const Pass *p, const Instruction *i)
{
    const Batch *b = p->batch;
    const Attention a = {
        .queries = at(p, &i->places[0]), .keys = b->states[i->n[4]], .values = b->states[i->n[5]],
        .sinks = i->pointers[0], .tables = b->tables, .sequences = b->sequences + p->first,
        .positions = b->positions + p->first, .out = at(p, &i->places[3]), .rows = p->rows,
        .heads = i->n[0], .kv_heads = i->n[1], .size = i->n[2], .page_size = b->page_size,
        .pages = b->pages, .window = i->n[3], .scale = (float)i->reals[0],
    };
    store(&a, vectors(p, &i->places[1]), vectors(p, &i->places[2]));
    return attend(p->isa, &a);
}

static Experts experts_of(const Instruction *i)
{
    const int64_t *n = i->n;
    return (Experts){
        .gate = i->pointers[0], .up = i->pointers[1], .down = i->pointers[2], .width = n[0],
        .inner = n[1], .experts = n[2], .active = n[3], .bits = n[4], .gate_kind = n[5],
        .share_first = n[6], .normalise = n[7], .in_columns = n[8], .inner_columns = n[9],
        .gain = (float)i->reals[0], .limit = (float)i->reals[1],
    };
}

/* EXPERTS: places are logits, integers, scales, what is added, the result and the chosen. */
static int mix_experts(const Pass *p, const Instruction *i)
{
    const Experts e = experts_of(i);
    const Arena arena = {p->arena, (size_t)(i->free * p->batch->rows), 0};
    return through_experts(p->isa, &e, vectors(p, &i->places[0]), at(p, &i->places[1]),
                           at(p, &i->places[2]), p->rows, vectors(p, &i->places[3]),
                           vectors(p, &i->places[4]), at(p, &i->places[5]), arena);
}

static int carry_out(const Pass *p, const Instruction *i)
{
    RotateWork turned = {p, i};
    switch (i->code) {
    case PREPARE: return prepare_vectors(p, i);
    case PROJECT: return project_vectors(p, i);
    case ROTATE: share(rotate_row, &turned, p->rows, p->rows * i->n[0] * i->n[1]); return 0;
    case ATTEND: return attend_rows(p, i);
    case EXPERTS: return mix_experts(p, i);
    case MEMBERS: return project_members(p, i);
    case POINTWISE: return pointwise(p, i);
    case REDUCE: return reduce(p, i);
    case LARGEST: return pick_largest(p, i);
    case READ: read_state(p, i); return 0;
    case WRITE: case KEEP: case CONVOLVE: return write_state(p, i);
    case SCAN: return scan(p, i);
    case LOW_RANK: add_low_rank(p, i); return 0;
    case GATHER: return pick_entries(p, i);
    default: return 5;
    }
}

/* Bytes of the arena: of values, or of what some of them and an instruction's own work take. */
static size_t arena_bytes(const Instruction *tape, int64_t count, int64_t row_bytes, int64_t rows)
{
    size_t most = (size_t)(row_bytes * rows);
    for (int64_t i = 0; i < count; i++) {
        size_t bytes = (size_t)(tape[i].free * rows);
        if (tape[i].code == EXPERTS) {
            const Experts e = experts_of(&tape[i]);
            bytes += experts_bytes(&e, rows);
        } else if (tape[i].code == MEMBERS) {
            const Members m = members_of(&tape[i]);
            bytes += members_bytes(&m, rows);
        }
        most = bytes > most ? bytes : most;
    }
    return (most + 63) / 64 * 64;
}

/* All instructions over the rows of a batch; values take `row_bytes` of each row, and those that
   live within a turn `turn_bytes`. */
static int run_tape(const Instructions *isa, const Instruction *tape, int64_t count,
                    int64_t row_bytes, int64_t turn_bytes, const Batch *batch)
{
    const size_t bytes = arena_bytes(tape, count, row_bytes, batch->rows);
    const size_t turn = (size_t)(turn_bytes * batch->most);
    Arena arena;
    if (open_arena(&arena, bytes + turn + 64))
        return 2;
    Pass all = {.isa = isa, .batch = batch, .rows = batch->rows};
    all.arena = take(&arena, (int64_t)bytes, 1);
    all.turn = take(&arena, (int64_t)turn, 1);
    int error = 0;
    for (int64_t i = 0; i < count && !error; i++) {
        if (tape[i].code != TURNS) {
            error = carry_out(&all, &tape[i]);
            continue;
        }
        const int64_t end = i + 1 + tape[i].n[0];
        for (int64_t t = 0; t < batch->turn_count && !error; t++) {
            Pass one = all;
            one.first = batch->turns[t];
            one.rows = batch->turns[t + 1] - one.first;
            one.in_turn = 1;
            for (int64_t k = i + 1; k < end && !error; k++)
                error = carry_out(&one, &tape[k]);
        }
        i = end - 1;
    }
    close_arena(&arena);
    return error;
}

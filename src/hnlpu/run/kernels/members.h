/* A bank's members outside of a mixture of experts: every pair of a row and a member by that member.

   MEMBERS: places are integers, scales, the members' numbers (nowhere: member m takes vector m) and
   the result; pointers[0] the bank; n has the pairs of a row, its vectors (1 that all pairs take, or
   one for each), the columns with padding, and the number of members. */

typedef struct {
    const Matrix *const *bank;
    int64_t pairs, vectors, columns, count, rows;
} Members;

static Members members_of(const Instruction *i)
{
    const Matrix *const *bank = i->pointers[0];
    return (Members){bank, i->n[0], i->n[1], i->n[2], i->n[3], (*bank)->rows};
}

/* Bytes that `project_members` takes of its memory, at most. */
static size_t members_bytes(const Members *m, int64_t rows)
{
    const int64_t pairs = rows * m->pairs;
    return (size_t)(pairs * (24 + 4 * (m->columns + 1 + m->rows)) +
                    (m->count + 1) * (int64_t)(8 + sizeof(Job))) +
           16 * 64;
}

static int project_members(const Pass *p, const Instruction *i)
{
    const Members m = members_of(i);
    const int64_t pairs = p->rows * m.pairs;
    const int32_t *integers = at(p, &i->places[0]), *scales = at(p, &i->places[1]);
    const int64_t *numbers = at(p, &i->places[2]);
    const Vectors to = vectors(p, &i->places[3]);
    Arena arena = {p->arena, (size_t)(i->free * p->batch->rows), 0};
    int64_t *chosen = take(&arena, pairs, 8), *places = take(&arena, pairs, 8);
    int64_t *pair_at = take(&arena, pairs, 8), *starts = take(&arena, m.count + 1, 8);
    int32_t *inputs = take(&arena, pairs * m.columns, 4), *by = take(&arena, pairs, 4);
    float *outputs = take(&arena, pairs * m.rows, 4);
    const Group all = {starts, 0, m.count, take(&arena, m.count, sizeof(Job))};
    for (int64_t pair = 0; pair < pairs; pair++) {
        const int64_t row = pair / m.pairs, k = pair % m.pairs;
        chosen[pair] = numbers ? numbers[row * i->places[2].step + k] : k % m.count;
    }
    sort_pairs(chosen, pairs, m.count, places, starts, pair_at);
    for (int64_t n = 0; n < pairs; n++) {
        const int64_t pair = pair_at[n], vector = m.vectors == 1 ? pair / m.pairs : pair;
        memcpy(inputs + n * m.columns, integers + vector * m.columns, (size_t)m.columns * 4);
        by[n] = scales[vector];
    }
    const int error = project_group(p->isa, &all, m.bank, NULL, inputs, by, 1, outputs, NULL);
    for (int64_t pair = 0; pair < pairs && !error; pair++)
        memcpy(vector_at(to, pair / m.pairs, pair % m.pairs, m.rows), outputs + places[pair] * m.rows,
               (size_t)m.rows * sizeof(float));
    return error;
}

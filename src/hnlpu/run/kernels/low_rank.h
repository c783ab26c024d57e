/* A low-rank part beside a matrix: y + scaling * B (A x).

   LOW_RANK: places are x, y, the members' numbers (nowhere: member k takes vector k) and the result,
   which may lie on y; pointers are A transposed [members][columns][rank] and B transposed
   [members][rank][rows]; n has the vectors of y, those of x (1 that all of y take, or one for each),
   the columns, the rank, the rows, and the number of members; reals[0] is the scaling.

   Sums run in the order of the index and start with their first term, each product and each sum
   rounded to float32, as the steps of the composite do. */

#define RANK_LIMIT 1024

typedef struct {
    const Pass *p;
    const Instruction *i;
} LowRankWork;

/* sums[0 .. count) of x[n] * m[n][0 .. count), m's rows `step` apart */
static void weighted_rows(const float *x, int64_t n, const float *m, int64_t step, int64_t count,
                          float *sums)
{
    for (int64_t j = 0; j < count; j++)
        sums[j] = x[0] * m[j];
    for (int64_t t = 1; t < n; t++)
        for (int64_t j = 0; j < count; j++)
            sums[j] = sums[j] + x[t] * m[t * step + j];
}

static void low_rank_pair(void *context, int64_t pair)
{
    const LowRankWork *w = context;
    const int64_t *n = w->i->n, row = pair / n[0], k = pair % n[0];
    const int64_t columns = n[2], rank = n[3], rows = n[4];
    const Vectors x = vectors(w->p, &w->i->places[0]), y = vectors(w->p, &w->i->places[1]);
    const Vectors to = vectors(w->p, &w->i->places[3]);
    const int64_t *numbers = at(w->p, &w->i->places[2]);
    const int64_t member = numbers ? numbers[row * w->i->places[2].step + k] : k % n[5];
    const float *down = (const float *)w->i->pointers[0] + member * columns * rank;
    const float *up = (const float *)w->i->pointers[1] + member * rank * rows;
    const float scaling = (float)w->i->reals[0], *from = vector_at(y, row, k, rows);
    float *out = vector_at(to, row, k, rows);
    float inner[RANK_LIMIT], total[64];
    weighted_rows(vector_at(x, row, n[1] == 1 ? 0 : k, columns), columns, down, rank, rank, inner);
    for (int64_t r = 0; r < rows; r += 64) {
        const int64_t count = rows - r < 64 ? rows - r : 64;
        weighted_rows(inner, rank, up + r, rows, count, total);
        for (int64_t j = 0; j < count; j++)
            out[r + j] = from[r + j] + total[j] * scaling;
    }
}

static void add_low_rank(const Pass *p, const Instruction *i)
{
    LowRankWork w = {p, i};
    const int64_t *n = i->n, pairs = p->rows * n[0];
    share(low_rank_pair, &w, pairs, pairs * n[3] * (n[2] + n[4]));
}

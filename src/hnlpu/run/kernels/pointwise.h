/* Steps on each number for itself, broadcast as NumPy does, in float32 or float64.

   POINTWISE: places are the result and up to three arguments; `n` has the operation, whether it
   computes in float64, the number of axes behind the row's, their lengths [MOST_AXES], and for the
   result and each argument the step along each of them [1 + 3][MOST_AXES].  `reals[0]` is a scale,
   `pointers[0]` a polynomial's coefficients and `n[3 + 5 * MOST_AXES]` their number. */

enum Operation {
    COPY, ADD, SUB, MUL, DIVIDE, MINIMUM, MAXIMUM, LESS, LESS_EQUAL, EQUAL, SELECT, SHIFT,
    INVERSE_ROOT, EXP, LOG, SIGMOID, TANH, SOFTPLUS, GELU, GELU_TANH, SIN, COS, POLYNOMIAL,
    ROUND
};

#define MOST_AXES 5
#define AT_A_TIME 256

typedef struct {
    const Instruction *i;
    char *places[4]; /* of the first row */
    int64_t rows, of_unit;
} PointwiseWork;

/* n numbers of `kind`, `step` apart, as float64 or float32: each rounds once where it must */
#define LOAD(name, Real)                                                                   \
    static void name(const char *from, int64_t kind, int64_t step, int64_t n, Real *to)      \
    {                                                                                        \
        switch (kind) {                                                                      \
        case FLOAT32: for (int64_t i = 0; i < n; i++) to[i] = (Real)((const float *)from)[i * step]; break; \
        case FLOAT64: for (int64_t i = 0; i < n; i++) to[i] = (Real)((const double *)from)[i * step]; break; \
        case INT64: for (int64_t i = 0; i < n; i++) to[i] = (Real)((const int64_t *)from)[i * step]; break; \
        default: for (int64_t i = 0; i < n; i++) to[i] = (Real)((const uint8_t *)from)[i * step]; break; \
        }                                                                                    \
    }
LOAD(load_32, float)
LOAD(load_64, double)
#undef LOAD

#define EACH(value)                     \
    for (int64_t i = 0; i < n; i++)     \
        r[i] = (value);                 \
    return

/* what is not a number stays so, as in NumPy */
#define COMBINE(name, Real)                                                                        \
    static void name(int64_t operation, const Real *a, const Real *b, const Real *c, int64_t n, Real *r) \
    {                                                                                               \
        switch (operation) {                                                                        \
        case COPY: EACH(a[i]);                                                                      \
        case ADD: EACH(a[i] + b[i]);                                                                \
        case SUB: EACH(a[i] - b[i]);                                                                \
        case MUL: EACH(a[i] * b[i]);                                                                \
        case DIVIDE: EACH(a[i] / b[i]);                                                             \
        case MINIMUM: EACH(a[i] < b[i] || a[i] != a[i] ? a[i] : b[i]);                              \
        case MAXIMUM: EACH(a[i] > b[i] || a[i] != a[i] ? a[i] : b[i]);                              \
        case LESS: EACH(a[i] < b[i]);                                                               \
        case LESS_EQUAL: EACH(a[i] <= b[i]);                                                        \
        case EQUAL: EACH(a[i] == b[i]);                                                             \
        default: EACH(a[i] != 0 ? b[i] : c[i]);                                                     \
        }                                                                                           \
    }
COMBINE(combine_32, float)
COMBINE(combine_64, double)
#undef COMBINE

static double polynomial(const double *coefficients, int64_t count, double x)
{
    double y = coefficients[count - 1] + x * 0;
    for (int64_t i = count - 2; i >= 0; i--)
        y = coefficients[i] + y * x;
    return y;
}

/* scale * f(x) in float64, rounded once by who stores it */
static void function_64(const Instruction *of, const double *a, int64_t n, double *r)
{
    const double scale = of->reals[0];
    switch (of->n[0]) {
    case EXP: EACH(exp(a[i]) * scale);
    case LOG: EACH(log(a[i]) * scale);
    case SIGMOID: EACH(1.0 / (1.0 + exp(-a[i])) * scale);
    case TANH: EACH(tanh(a[i]) * scale);
    case SOFTPLUS: EACH((a[i] < 0 ? log1p(exp(a[i])) : a[i] + log1p(exp(-a[i]))) * scale);
    case GELU: EACH(a[i] * 0.5 * (1.0 + erf(a[i] / 1.4142135623730951)) * scale);
    case GELU_TANH:
        EACH(a[i] * 0.5 *
             (1.0 + tanh(0.7978845608028654 * (a[i] + 0.044715 * pow(a[i], 3.0)))) * scale);
    case SIN: EACH(sin(a[i]) * scale);
    case COS: EACH(cos(a[i]) * scale);
    case ROUND: EACH(nearbyint(a[i]) * scale);
    case POLYNOMIAL:
        EACH(polynomial(of->pointers[0], of->n[3 + 5 * MOST_AXES], a[i]) * scale);
    case INVERSE_ROOT: EACH(1.0 / sqrt(a[i]));
    default: EACH(ldexp(a[i], (int)scale)); /* SHIFT */
    }
}
#undef EACH

#define STORE(name, Real)                                                                  \
    static void name(const Real *from, int64_t kind, int64_t step, int64_t n, char *to)      \
    {                                                                                        \
        switch (kind) {                                                                      \
        case FLOAT32: for (int64_t i = 0; i < n; i++) ((float *)to)[i * step] = (float)from[i]; break; \
        case FLOAT64: for (int64_t i = 0; i < n; i++) ((double *)to)[i * step] = (double)from[i]; break; \
        default: for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i * step] = (uint8_t)(from[i] != 0); break; \
        }                                                                                    \
    }
STORE(store_32, float)
STORE(store_64, double)
#undef STORE

/* n numbers along the last axis, from where `from` says */
static void pointwise_run(const Instruction *i, char *const *from, const int64_t *steps, int64_t n)
{
    float narrow[3][AT_A_TIME], made[AT_A_TIME];
    double wide[3][AT_A_TIME], made_wide[AT_A_TIME];
    const int is_wide = i->n[1] != 0;
    for (int64_t start = 0; start < n; start += AT_A_TIME) {
        const int64_t count = n - start < AT_A_TIME ? n - start : AT_A_TIME;
        const float *x[3] = {narrow[0], narrow[1], narrow[2]};
        for (int k = 1; k < 4 && from[k]; k++) {
            const int64_t kind = i->places[k].kind, step = steps[k * MOST_AXES];
            const char *a = from[k] + start * step * size_of(kind);
            if (is_wide)
                load_64(a, kind, step, count, wide[k - 1]);
            else if (kind == FLOAT32 && step == 1)
                x[k - 1] = (const float *)a;
            else
                load_32(a, kind, step, count, narrow[k - 1]);
        }
        const int64_t kind = i->places[0].kind, step = steps[0];
        char *to = from[0] + start * step * size_of(kind);
        if (!is_wide) {
            combine_32(i->n[0], x[0], x[1], x[2], count, made);
            store_32(made, kind, step, count, to);
            continue;
        }
        if (i->n[0] >= SHIFT)
            function_64(i, wide[0], count, made_wide);
        else
            combine_64(i->n[0], wide[0], wide[1], wide[2], count, made_wide);
        store_64(made_wide, kind, step, count, to);
    }
}

static void pointwise_unit(void *context, int64_t unit)
{
    const PointwiseWork *w = context;
    const Instruction *i = w->i;
    const int64_t axes = i->n[2], *lengths = i->n + 3, *steps = lengths + MOST_AXES;
    int64_t runs = 1;
    for (int64_t axis = 0; axis + 1 < axes; axis++)
        runs *= lengths[axis];
    const int64_t end = (unit + 1) * w->of_unit;
    for (int64_t row = unit * w->of_unit; row < end && row < w->rows; row++)
        for (int64_t run = 0; run < runs; run++) {
            char *from[4];
            for (int k = 0; k < 4; k++) {
                int64_t at = row * i->places[k].step;
                for (int64_t axis = axes - 2, left = run; axis >= 0; left /= lengths[axis--])
                    at += left % lengths[axis] * steps[k * MOST_AXES + axis];
                from[k] = w->places[k] ? w->places[k] + at * size_of(i->places[k].kind) : NULL;
            }
            pointwise_run(i, from, steps + axes - 1, lengths[axes - 1]);
        }
}

static int pointwise(const Pass *p, const Instruction *i)
{
    PointwiseWork w = {.i = i, .rows = p->rows};
    int64_t numbers = 1;
    for (int64_t axis = 0; axis < i->n[2]; axis++)
        numbers *= i->n[3 + axis];
    for (int k = 0; k < 4; k++)
        w.places[k] = at(p, &i->places[k]);
    w.of_unit = numbers < WORTH_SHARING ? WORTH_SHARING / numbers : 1;
    share(pointwise_unit, &w, (p->rows + w.of_unit - 1) / w.of_unit, p->rows * numbers);
    return 0;
}

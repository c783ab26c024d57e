/* A tape: the steps of a network as instructions, each for all rows of a call.

     rows of any sequences ─► instruction ─► instruction ─► ... ─► arrays outside
                                  │ ▲
                                  ▼ │ states of the sequences

   A row is one position of one sequence.  Instructions between TURNS and its end go turn by turn:
   a turn holds at most one row of each sequence, and rows lie turn by turn.  All others take all
   rows together.  No row's bits depend on the rows beside it. */

enum Kind { FLOAT32, FLOAT64, INT64, TRUTH, INT32 };
enum Where { NOWHERE, CONSTANT, IN_ARENA, IN_TURN, OUTSIDE };

/* Where the numbers of a value lie: row r's from `first + r * step` on, both in numbers. */
typedef struct {
    const void *constant;
    int64_t where, kind;
    int64_t offset; /* bytes per row of what lies before it; OUTSIDE: which array */
    int64_t first, step;
} Place;

enum Code {
    TURNS,      /* the next `n[0]` instructions go turn by turn */
    PREPARE,    /* rows.h */
    PROJECT,
    ROTATE,
    ATTEND,     /* attend.h, after its keys and values are stored */
    EXPERTS,    /* experts.h */
    MEMBERS,    /* members.h */
    POINTWISE,  /* pointwise.h */
    REDUCE,     /* reduce.h */
    LARGEST,
    READ,       /* recurrent.h */
    WRITE,
    KEEP,
    CONVOLVE,
    SCAN,
    LOW_RANK,   /* low_rank.h */
    GATHER      /* reduce.h */
};

#define PLACES 8
#define NUMBERS 40

/* What each number and place means stands where the instruction is carried out. */
typedef struct {
    int64_t code;
    int64_t free; /* bytes per row of the arena behind which nothing is in use then */
    Place places[PLACES];
    int64_t n[NUMBERS];
    double reals[4];
    const void *pointers[4];
} Instruction;

typedef struct {
    int64_t rows;
    const int64_t *sequences, *positions, *tables; /* as in `Attention` */
    int64_t pages, page_size;
    void *const *states;  /* of the declared states: pages, or [slots][values] */
    const int64_t *slots; /* by sequence */
    const int64_t *sources; /* or NULL: the slots that a SCAN's first rows read instead */
    void *const *outside;
    const int64_t *turns; /* [turn_count + 1]: where each turn's rows start */
    int64_t turn_count, most; /* rows of the largest turn */
    const int64_t *order, *starts; /* rows by sequence, in order; where each one starts */
    int64_t chains;
} Batch;

/* A pass of an instruction over `rows` rows from `first` on. */
typedef struct {
    const Instructions *isa;
    const Batch *batch;
    char *arena, *turn;
    int64_t first, rows;
    int in_turn;
} Pass;

static const int64_t SIZES[] = {4, 8, 8, 1, 4};

static inline int64_t size_of(int64_t kind) { return SIZES[kind]; }

/* The first number of the pass's first row, or NULL for what is nowhere. */
static inline void *at(const Pass *p, const Place *place)
{
    const int64_t size = size_of(place->kind), row = place->first + p->first * place->step;
    if (place->where == IN_ARENA)
        return p->arena + place->offset * p->batch->rows + row * size;
    if (place->where == NOWHERE)
        return NULL;
    if (place->where == OUTSIDE)
        return (char *)p->batch->outside[place->offset] + row * size;
    if (place->where == IN_TURN)
        return p->turn + place->offset * p->batch->most + place->first * size;
    return (char *)place->constant + place->first * size;
}

static inline Vectors vectors(const Pass *p, const Place *place)
{
    return (Vectors){at(p, place), place->step};
}

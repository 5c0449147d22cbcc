/* Expressions: small programs over a row's values, in 64 bits. scan_expressions.py makes them. */

#define MOST_PROGRAMS 192
#define MOST_STACK 64
#define MOST_LOOKUPS 32

/* A step takes what is on top of the stack, and its operand, and leaves the result there. */
enum operation {
    OP_LOAD, OP_ADD, OP_SUBTRACT, OP_MULTIPLY, OP_DIVIDE, OP_REMAINDER, OP_ABSOLUTE, OP_LEAST, OP_LARGEST, OP_FIRST,
    OP_CHOOSE, OP_EQUAL, OP_UNEQUAL, OP_LESS, OP_AT_MOST, OP_MORE, OP_AT_LEAST, OP_AND, OP_OR, OP_NOT, OP_IS_MISSING,
    OP_IS_IN, OP_LOOK_UP, OP_SKIP_AND, OP_SKIP_OR
};
/* Where the operand comes from: a constant, which is the argument; the column of that number; the top of the stack. */
enum source { FROM_CONSTANT, FROM_COLUMN, FROM_STACK };
/* What the result is for: a check that must not be false, a column's value, which rows a reduction counts, or which
   satisfy a condition. */
enum purpose { FOR_CHECK, FOR_COLUMN, FOR_FILTER, FOR_CONDITION };
/* A result, none, that 64 bits do not suffice, or that a text is not known yet. */
enum outcome { VALUE, NO_VALUE, BEYOND, UNKNOWN };

typedef struct {
    int32_t operation, source;
    int64_t argument;
} Step;

typedef struct {
    int32_t purpose, target; /* the column, the reduction or the condition */
    int64_t least, most; /* of a column: the values it can have */
    int64_t count;
    Step *steps;
} Program;

/* A value for each text of a column's dictionary, by its number; 0 is that of no text. */
typedef struct {
    int32_t column;
    int64_t count;
    int64_t *values;
    uint8_t *nones;
} Lookup;

static inline int64_t floor_of(int64_t value, int64_t by) { return value / by - (value % by < 0); }

/* Gives how many numbers a program needs on the stack; 0 if it is none that can run. */
static int stack_of(const Step *steps, int64_t count) {
    int height = 0, highest = 0;
    for (int64_t at = 0; at < count; at++) {
        const Step *step = &steps[at];
        if (step->source == FROM_STACK) height--;
        if (step->operation == OP_LOAD || step->operation == OP_LOOK_UP) height++;
        if (step->operation == OP_LOOK_UP && (step->argument < 0 || step->argument >= MOST_LOOKUPS)) return 0;
        if (step->operation == OP_CHOOSE) height--;
        if (step->operation == OP_IS_IN || step->operation == OP_SKIP_AND || step->operation == OP_SKIP_OR)
            if (step->argument < 0 || step->argument >= count - at) return 0;
        if (step->operation == OP_IS_IN) at += step->argument;
        if (height < 1) return 0;
        if (height > highest) highest = height;
    }
    return height == 1 ? highest : 0;
}

/* Computes a program's value for a row. */
static enum outcome run_program(const Program *program, const Lookup *lookups, const Row *row, int64_t *result) {
    /* The first of them is below the stack. */
    int64_t values[MOST_STACK + 1], *top = values;
    uint8_t nones[MOST_STACK + 1], *none = nones;
    for (const Step *step = program->steps, *end = step + program->count; step < end; step++) {
        int64_t operand = step->argument;
        uint8_t is_none = 0;
        if (step->source == FROM_COLUMN) {
            operand = row->values[step->argument];
            is_none = row->nulls >> step->argument & 1;
        } else if (step->source == FROM_STACK) {
            operand = *top--;
            is_none = *none--;
        }
        switch (step->operation) {
        case OP_LOAD:
            *++top = operand;
            *++none = is_none;
            continue;
        case OP_LOOK_UP: {
            const Lookup *lookup = &lookups[operand];
            int64_t number = row->nulls >> lookup->column & 1 ? 0 : row->values[lookup->column];
            if (number >= lookup->count) return UNKNOWN;
            *++top = lookup->values[number];
            *++none = lookup->nones[number];
            continue;
        }
        case OP_LEAST:
        case OP_LARGEST:
            if (is_none) continue;
            if (*none || (step->operation == OP_LEAST ? operand < *top : operand > *top)) *top = operand;
            *none = 0;
            continue;
        case OP_FIRST:
            if (!*none) continue;
            *top = operand;
            *none = is_none;
            continue;
        case OP_CHOOSE: {
            int is_true = !none[-1] && top[-1];
            top[-1] = is_true ? *top : operand;
            none[-1] = is_true ? *none : is_none;
            top--;
            none--;
            continue;
        }
        case OP_AND:
        case OP_OR: {
            int is_or = step->operation == OP_OR;
            if ((!*none && (*top != 0) == is_or) || (!is_none && (operand != 0) == is_or)) {
                /* One of them decides. */
                *top = is_or;
                *none = 0;
            } else {
                *top = !is_or;
                *none |= is_none;
            }
            continue;
        }
        case OP_SKIP_AND:
            if (!*none && !*top) step += operand;
            continue;
        case OP_SKIP_OR:
            if (!*none && *top) step += operand;
            continue;
        case OP_IS_MISSING:
            *top = *none;
            *none = 0;
            continue;
        case OP_IS_IN: {
            int is_in = 0;
            for (int64_t i = 1; i <= step->argument; i++) is_in |= step[i].argument == *top;
            step += step->argument;
            *top = is_in;
            continue;
        }
        }
        /* The others have no value where one of theirs is missing. */
        *none |= is_none;
        if (*none) continue;
        switch (step->operation) {
        case OP_ADD:
            if (__builtin_add_overflow(*top, operand, top)) return BEYOND;
            break;
        case OP_SUBTRACT:
            if (__builtin_sub_overflow(*top, operand, top)) return BEYOND;
            break;
        case OP_MULTIPLY:
            if (__builtin_mul_overflow(*top, operand, top)) return BEYOND;
            break;
        case OP_DIVIDE:
            *top = floor_of(*top, operand);
            break;
        case OP_REMAINDER:
            *top %= operand;
            if (*top < 0) *top += operand;
            break;
        case OP_ABSOLUTE:
            if (*top == INT64_MIN) return BEYOND;
            if (*top < 0) *top = -*top;
            break;
        case OP_EQUAL:
            *top = *top == operand;
            break;
        case OP_UNEQUAL:
            *top = *top != operand;
            break;
        case OP_LESS:
            *top = *top < operand;
            break;
        case OP_AT_MOST:
            *top = *top <= operand;
            break;
        case OP_MORE:
            *top = *top > operand;
            break;
        case OP_AT_LEAST:
            *top = *top >= operand;
            break;
        case OP_NOT:
            *top = !*top;
            break;
        default:
            return BEYOND;
        }
    }
    *result = *top;
    return *none ? NO_VALUE : VALUE;
}

/* Gives 1 with the row's computed columns, the reductions that count it and, if it is any of `reductions`, the conditions
   that it satisfies; 0 where a check fails or 64 bits do not suffice, so that the row is to be judged; -1 where it has a
   text that is not known yet. Programs for conditions are the last. */
static int run_programs(const Program *programs, int count, const Lookup *lookups, uint64_t reductions, Row *row) {
    row->filters = row->conditions = ~0ULL;
    for (const Program *program = programs; program < programs + count; program++) {
        if (program->purpose == FOR_CONDITION && !(row->filters & reductions)) return 1;
        int64_t value = 0;
        enum outcome outcome = run_program(program, lookups, row, &value);
        if (outcome == BEYOND) return 0;
        if (outcome == UNKNOWN) return -1;
        int is_there = outcome == VALUE;
        switch (program->purpose) {
        case FOR_CHECK:
            if (is_there && !value) return 0;
            break;
        case FOR_COLUMN:
            if (is_there && (value < program->least || value > program->most)) return 0;
            row->values[program->target] = is_there ? value : 0;
            if (!is_there) row->nulls |= 1ULL << program->target;
            break;
        case FOR_FILTER:
            if (!is_there || !value) row->filters &= ~(1ULL << program->target);
            break;
        default:
            if (!is_there || !value) row->conditions &= ~(1ULL << program->target);
        }
    }
    return 1;
}

/* Rows: where and whether one counts, and what is kept of it. */

typedef struct {
    int32_t column, other; /* other: -1 for none */
    int64_t least, most, step;
} Check;

typedef struct {
    int32_t latitude, longitude, slot;
    int64_t per_degree;
} Cell;

/* A bucket of a column's values: as percentiles.py says, 64 of the same width from each power of two to the next. */
typedef struct {
    int32_t column, slot;
} Bucket;

typedef struct {
    int64_t line, offset, length;
} OddLine;

/* How CSV is written, as scanner.py says; `quote` is 0 for none. */
typedef struct {
    uint8_t delimiter, quote, decimal;
    uint8_t comment[LONGEST_MARK], thousands[LONGEST_MARK];
    size_t comment_length, thousands_length;
    int words; /* those that mean "no value" */
    struct {
        uint8_t text[LONGEST_WRITTEN];
        size_t length;
    } word[MOST_MISSING];
    uint64_t numbers; /* the columns whose numbers are not written plainly */
} Dialect;

/* An object of JSON within another; it has a key, with quotes, unless it is the outermost, which is the first. */
typedef struct {
    int parent;
    size_t length;
    uint8_t key[LONGEST_KEY];
} Branch;

typedef struct {
    int format, columns, fields;
    Dialect dialect;
    int read_columns; /* those of the lines, before those that are computed of them */
    int branches;
    Branch branch[MOST_BRANCHES];
    uint8_t branch_of[MOST_COLUMNS]; /* the object that has a column's key */
    uint64_t may_lack; /* columns that an object may lack */
    int is_whole; /* all fields are whole numbers */
    Whole whole[MOST_COLUMNS];
    int16_t column_of[MOST_FIELDS]; /* CSV: a field's column, or -1; JSON: the column of the last line's keys */
    uint64_t missing, fallbacks, day; /* by column: in no line; with a fallback; the one that may lack the day */
    int day_column; /* the one that has the day of its line where it has none, if there are days */
    int64_t days_count;
    const int64_t *days; /* by line; NO_DAY for none */
    int latitude, longitude; /* the place, or -1 */
    int parts;
    int32_t part_columns[MOST_PARTS];
    int64_t part_units[MOST_PARTS]; /* in microseconds */
    Zone *zone; /* of the time that the parts add up to; NULL for UTC */
    int64_t shift; /* to be added to it, in microseconds */
    int64_t earliest, latest, length; /* of a moment, and of intervals, in microseconds */
    int is_given; /* all rows count in one interval */
    int checks, slots, cells, buckets, reductions, programs; /* slots: of cells and buckets */
    uint64_t filtered; /* the reductions that do not count all rows */
    int64_t longest_line;
    Check check[MOST_CHECKS];
    Cell cell[MOST_COLUMNS];
    Bucket bucket[MOST_COLUMNS];
    Column column[MOST_COLUMNS];
    Reduction reduction[MOST_REDUCTIONS];
    Program program[MOST_PROGRAMS];
    Lookup lookup[MOST_LOOKUPS];
    Groups intervals; /* by their number since 1970: the number of records */
    int64_t last_start, last_interval;
    /* The columns that say whether and where a row counts, if they are few, with the values of the last row that did
       and its interval, -1 for none, and moment. */
    int places;
    int32_t place_columns[MOST_PLACES];
    int64_t last_values[MOST_PLACES], last_place, last_moment;
    int64_t lines; /* all that were passed, blank and odd ones as well */
    int lacks_day;
    int is_kept;
    size_t kept, kept_room, most_kept;
    uint32_t *kept_intervals;
    int odd;
    OddLine odd_line[ODD_LINES];
    uint8_t *scratch;
    int rows;
    Row row[ROWS]; /* those that are read and not yet reduced */
} Scanner;

/* ---- where a row counts -------------------------------------------------------------------------------------- */

static inline int64_t interval_of(Scanner *scanner, int64_t moment, int *status) {
    if ((uint64_t)(moment - scanner->last_start) < (uint64_t)scanner->length) return scanner->last_interval;
    int64_t number = scanner->is_given ? 0 : moment / scanner->length;
    int64_t *entry;
    uint32_t interval = group_of(&scanner->intervals, hash_of(0, &number, 1), 0, &number, 1, &entry, status);
    if (interval == NO_GROUP) return -1;
    scanner->last_start = moment / scanner->length * scanner->length;
    return scanner->last_interval = interval;
}

/* Gives the interval's number from 0, and the row its moment; -1 where the row is no record. */
static int64_t place_anew(Scanner *scanner, Row *row, int *status) {
    uint64_t lacks_day = row->nulls & scanner->day;
    if (scanner->lines < scanner->days_count && row->nulls >> scanner->day_column & 1) {
        int64_t day = scanner->days[scanner->lines];
        if (day == NO_DAY) return -1;
        row->values[scanner->day_column] = day;
        row->nulls &= ~(1ULL << scanner->day_column);
    }
    if (row->nulls & scanner->fallbacks)
        for (int i = 0; i < scanner->columns; i++)
            if (row->nulls & scanner->fallbacks & 1ULL << i) {
                row->values[i] = scanner->column[i].fallback;
                row->nulls &= ~(1ULL << i);
            }
    if (scanner->latitude >= 0) {
        uint64_t place = 1ULL << scanner->latitude | 1ULL << scanner->longitude;
        if (!(row->nulls & place) && !row->values[scanner->latitude] && !row->values[scanner->longitude])
            row->nulls |= place;
    }
    int64_t moment = 0;
    for (int i = 0; i < scanner->parts; i++) {
        int64_t part, column = scanner->part_columns[i];
        if (row->nulls >> column & 1) return -1;
        if (__builtin_mul_overflow(row->values[column], scanner->part_units[i], &part)) return -1;
        if (__builtin_add_overflow(moment, part, &moment)) return -1;
    }
    if (scanner->zone && !to_utc(scanner->zone, moment, &moment)) return -1;
    if (__builtin_add_overflow(moment, scanner->shift, &moment)) return -1;
    if (moment < scanner->earliest || moment > scanner->latest) return -1;
    row->moment = moment;
    for (int i = 0; i < scanner->checks; i++) {
        const Check *check = &scanner->check[i];
        int64_t value = row->values[check->column];
        if (row->nulls >> check->column & 1) return -1;
        if (check->other >= 0) {
            if (row->nulls >> check->other & 1) return -1;
            if (__builtin_sub_overflow(value, row->values[check->other], &value)) return -1;
        }
        if (value < check->least || value > check->most || (check->step > 1 && value % check->step)) return -1;
    }
    if (lacks_day) scanner->lacks_day = 1;
    return interval_of(scanner, moment, status);
}

/* The same; mostly of the times of the row that came before. */
static inline int64_t place_row(Scanner *scanner, Row *row, int *status) {
    if (scanner->places <= 0 || row->nulls) return place_anew(scanner, row, status);
    int64_t others = scanner->last_place < 0;
    for (int i = 0; i < scanner->places; i++) others |= row->values[scanner->place_columns[i]] ^ scanner->last_values[i];
    if (!others) {
        row->moment = scanner->last_moment;
        return scanner->last_place;
    }
    scanner->last_place = place_anew(scanner, row, status);
    scanner->last_moment = row->moment;
    for (int i = 0; i < scanner->places; i++) scanner->last_values[i] = row->values[scanner->place_columns[i]];
    return scanner->last_place;
}

/* Adds a column that says whether or where a row counts; with too many of them each row is placed by itself. */
static void add_place(Scanner *scanner, int column) {
    for (int i = 0; i < scanner->places; i++)
        if (scanner->place_columns[i] == column) return;
    for (int i = 0; i < scanner->fields && scanner->is_whole; i++)
        if (scanner->whole[i].column == column) scanner->whole[i].is_repeated = 1;
    if (scanner->places < 0 || scanner->places == MOST_PLACES) {
        scanner->places = -1;
        return;
    }
    scanner->place_columns[scanner->places++] = column;
}

/* ---- what is kept of a row ----------------------------------------------------------------------------------- */

static inline int is_wide(const Column *column) {
    int kind = column->table.kind;
    return kind != TEXT && kind != CHOICE && kind != POSTAL_CODE && kind != ID && kind != BOOLEAN;
}

static int grow_kept(Scanner *scanner) {
    size_t room = scanner->kept_room ? 2 * scanner->kept_room : 1u << 16;
    if (scanner->kept_room >= scanner->most_kept) return TOO_MANY;
    uint32_t *intervals = realloc(scanner->kept_intervals, room * sizeof *intervals);
    if (!intervals) return NO_MEMORY;
    scanner->kept_intervals = intervals;
    for (int i = 0; i < scanner->columns; i++) {
        Column *column = &scanner->column[i];
        if (!(column->table.flags & KEPT)) continue;
        uint8_t *kept = realloc(column->kept, room * (is_wide(column) ? 8 : 4));
        if (!kept) return NO_MEMORY;
        column->kept = kept;
        uint8_t *nulls = realloc(column->kept_nulls, room);
        if (!nulls) return NO_MEMORY;
        column->kept_nulls = nulls;
    }
    scanner->kept_room = room;
    return DONE;
}

static inline int keep_row(Scanner *scanner, const Row *row) {
    if (scanner->kept == scanner->kept_room) {
        int status = grow_kept(scanner);
        if (status) return status;
    }
    size_t at = scanner->kept++;
    scanner->kept_intervals[at] = (uint32_t)row->interval;
    for (int i = 0; i < scanner->columns; i++) {
        Column *column = &scanner->column[i];
        if (!(column->table.flags & KEPT)) continue;
        uint32_t number = (uint32_t)row->values[i];
        if (is_wide(column))
            memcpy(column->kept + 8 * at, &row->values[i], 8);
        else
            memcpy(column->kept + 4 * at, &number, 4);
        column->kept_nulls[at] = row->nulls >> i & 1;
    }
    return DONE;
}

/* Adds those of the rows to a reduction that it counts. */
static __attribute__((noinline)) int reduce_some(Reduction *reduction, int number, const Row *rows, int count) {
    int status = DONE, end;
    for (int first = 0; first < count && !status; first = end) {
        end = first + 1;
        if (!(rows[first].filters >> number & 1)) continue;
        while (end < count && rows[end].filters >> number & 1) end++;
        status = reduce(reduction, rows + first, end - first);
    }
    return status;
}

static inline int64_t bucket_of(int64_t value) {
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    int bits = size ? 64 - __builtin_clzll(size) : 0, shift = bits > BUCKET_BITS + 1 ? bits - BUCKET_BITS - 1 : 0;
    int64_t bucket = ((int64_t)shift << BUCKET_BITS) + (int64_t)(size >> shift);
    return value < 0 ? -bucket : bucket;
}

/* Adds up to ROWS rows to what they are reduced to. */
static int reduce_rows(Scanner *scanner, Row *rows, int count) {
    int status = DONE;
    for (int row = 0; row < count && scanner->cells; row++)
        for (int i = 0; i < scanner->cells; i++) {
            const Cell *cell = &scanner->cell[i];
            int64_t *values = rows[row].values;
            uint64_t place = 1ULL << cell->latitude | 1ULL << cell->longitude;
            int64_t south = floor_of(values[cell->latitude] * cell->per_degree, 1000000);
            int64_t west = floor_of(values[cell->longitude] * cell->per_degree, 1000000);
            values[cell->slot] = rows[row].nulls & place ? INT64_MIN : south * (1LL << 32) + west;
        }
    for (int i = 0; i < scanner->buckets; i++) {
        const Bucket *bucket = &scanner->bucket[i];
        for (int row = 0; row < count; row++)
            rows[row].values[bucket->slot] =
                rows[row].nulls >> bucket->column & 1 ? NO_BUCKET : bucket_of(rows[row].values[bucket->column]);
    }
    for (int i = 0; i < scanner->reductions && !status; i++)
        status = scanner->filtered >> i & 1 ? reduce_some(&scanner->reduction[i], i, rows, count)
                                            : reduce(&scanner->reduction[i], rows, count);
    for (int row = 0; row < count && !status; row++) {
        entry_of(&scanner->intervals, (uint32_t)rows[row].interval)[2]++;
        if (scanner->is_kept) status = keep_row(scanner, &rows[row]);
    }
    return status;
}

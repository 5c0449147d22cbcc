/* What scanner.py calls; the parts are in the headers. */

#include "scanner.h"

#include "scanner_groups.h"
#include "scanner_texts.h"

#include "scanner_fields.h"

#include "scanner_times.h"

#include "scanner_field.h"

#include "scanner_expressions.h"

#include "scanner_rows.h"

#include "scanner_csv.h"

#include "scanner_json.h"

void scanner_free(Scanner *scanner) {
    if (!scanner) return;
    for (int i = 0; i < scanner->reductions; i++) free_reduction(&scanner->reduction[i]);
    for (int i = 0; i < scanner->columns; i++) {
        free_texts(&scanner->column[i].texts);
        free(scanner->column[i].kept);
        free(scanner->column[i].kept_nulls);
        free(scanner->column[i].zone);
        free(scanner->column[i].layout);
        free(scanner->column[i].words);
    }
    for (int i = 0; i < scanner->programs; i++) free(scanner->program[i].steps);
    for (int i = 0; i < MOST_LOOKUPS; i++) {
        free(scanner->lookup[i].values);
        free(scanner->lookup[i].nones);
    }
    free_groups(&scanner->intervals);
    free(scanner->kept_intervals);
    free(scanner->scratch);
    free(scanner->zone);
    free(scanner);
}

/* A scanner for lines of a format with such columns, of which the last `computed` ones are in no line; NULL for want of
   memory or where there are too many. `column_of` has the column of each field of CSV, or -1. No text is longer than `text_bytes`, no line that is taken longer than
   `longest_line`, and `most_kept` rows are kept at most. */
Scanner *scanner_new(int format, int columns, const Table *tables, int computed, int fields, const int32_t *column_of,
                     int64_t text_bytes, int64_t longest_line, int64_t most_kept) {
    if (columns < 1 || columns > MOST_COLUMNS || fields > MOST_FIELDS || computed >= columns) return NULL;
    Scanner *scanner = calloc(1, sizeof *scanner);
    if (!scanner) return NULL;
    scanner->format = format;
    scanner->branches = 1;
    scanner->dialect = (Dialect){.delimiter = ',', .quote = '"', .decimal = '.'};
    scanner->columns = columns;
    scanner->read_columns = columns - computed;
    scanner->fields = fields;
    scanner->longest_line = longest_line;
    scanner->most_kept = (size_t)most_kept;
    scanner->latitude = scanner->longitude = -1;
    scanner->length = 1;
    int status = make_groups(&scanner->intervals, 1, 1);
    for (int i = 0; i < columns && tables; i++) {
        Column *column = &scanner->column[i];
        column->table = tables[i];
        int flags = tables[i].flags;
        if (flags & MISSING) scanner->missing |= 1ULL << i;
        if (flags & KEPT) scanner->is_kept = 1;
        if (!status) status = grow_texts(&column->texts);
        /* The empty text has number 0. */
        if (!status) intern(&column->texts, (const uint8_t *)"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 0, &status);
    }
    scanner->is_whole = fields > 0;
    for (int i = 0; i < fields; i++) {
        int column = scanner->column_of[i] = (int16_t)column_of[i];
        int kind = column < 0 ? -1 : tables[column].kind;
        if (kind != INTEGER && kind != UNIX_TIME) scanner->is_whole = 0;
        if (!scanner->is_whole) continue;
        Whole *whole = &scanner->whole[i];
        int64_t unit = kind == UNIX_TIME ? tables[column].unit : 1, least = tables[column].least;
        *whole = (Whole){.least = least, .most = tables[column].most / unit, .column = column, .length = 8, .unit = unit};
        /* No number there has a sign. */
        if (unit > 1) whole->least = least < 0 ? 0 : (least + unit - 1) / unit;
    }
    if (format == JSON) {
        for (int i = 0; i < columns; i++) scanner->column_of[i] = (int16_t)i;
        scanner->scratch = malloc((size_t)text_bytes + 64);
        if (!scanner->scratch) status = NO_MEMORY;
    }
    if (status) {
        scanner_free(scanner);
        return NULL;
    }
    return scanner;
}

/* Gives a column the value of rows that have none. */
int scanner_fallback(Scanner *scanner, int column, int64_t value) {
    scanner->column[column].fallback = value;
    scanner->fallbacks |= 1ULL << column;
    return DONE;
}

/* Says that a column's times, or with -1 what their columns add up to, are local times of a zone of such changes. */
int scanner_zone(Scanner *scanner, int column, int count, const Change *changes) {
    Zone **zone = column < 0 ? &scanner->zone : &scanner->column[column].zone;
    free(*zone);
    *zone = new_zone(count, changes);
    return *zone ? DONE : NO_MEMORY;
}

/* Gives a column its layout, of so many pieces, each a byte and its argument. */
int scanner_layout(Scanner *scanner, int column, int count, const uint8_t *pieces) {
    if (count > MOST_PIECES) return TOO_MANY;
    free(scanner->column[column].layout);
    scanner->column[column].layout = new_layout(count, pieces);
    return scanner->column[column].layout ? DONE : NO_MEMORY;
}

/* Adds a word that means a text of the column's dictionary, by its number. */
int scanner_word(Scanner *scanner, int column, const uint8_t *word, int length, int number) {
    Words **words = &scanner->column[column].words;
    if (!*words) *words = calloc(1, sizeof **words);
    if (!*words) return NO_MEMORY;
    int count = (*words)->count, start = count ? (*words)->ends[count - 1] : 0;
    if (count == MOST_WORDS || length > LONGEST_WORD) return TOO_MANY;
    memcpy((*words)->bytes + start, word, (size_t)length);
    (*words)->ends[count] = start + length;
    (*words)->numbers[count] = number;
    (*words)->count++;
    return DONE;
}

/* Adds an object of JSON within another, by its key with quotes; its number is the next from 1, 0 the outermost. */
int scanner_branch(Scanner *scanner, int parent, const uint8_t *key, int64_t length) {
    if (scanner->branches == MOST_BRANCHES || length > LONGEST_KEY) return TOO_MANY;
    Branch *branch = &scanner->branch[scanner->branches++];
    branch->parent = parent;
    branch->length = (size_t)length;
    memcpy(branch->key, key, (size_t)length);
    return DONE;
}

/* Says which object has a column's key, and whether it may lack it. */
int scanner_key(Scanner *scanner, int column, int branch, int may_lack) {
    scanner->branch_of[column] = (uint8_t)branch;
    if (may_lack) scanner->may_lack |= 1ULL << column;
    return DONE;
}

/* Says how CSV is written: what lies between fields, round them (0 for nothing), before decimals and between thousands;
   the columns, a bit each, with numbers written so that are not plain; the mark of comments; and the words, a line
   each, that mean "no value". */
int scanner_dialect(Scanner *scanner, int delimiter, int quote, int decimal, const uint8_t *thousands,
                    int64_t thousands_length, uint64_t numbers, const uint8_t *comment, int64_t comment_length,
                    const uint8_t *words, int64_t words_length) {
    Dialect *dialect = &scanner->dialect;
    if (thousands_length > LONGEST_MARK || comment_length > LONGEST_MARK) return TOO_MANY;
    *dialect = (Dialect){.delimiter = (uint8_t)delimiter, .quote = (uint8_t)quote, .decimal = (uint8_t)decimal};
    dialect->numbers = numbers;
    dialect->thousands_length = (size_t)thousands_length;
    memcpy(dialect->thousands, thousands, (size_t)thousands_length);
    dialect->comment_length = (size_t)comment_length;
    memcpy(dialect->comment, comment, (size_t)comment_length);
    for (const uint8_t *end = words + words_length; words < end; dialect->words++) {
        const uint8_t *next = memchr(words, '\n', (size_t)(end - words));
        size_t length = (size_t)(next - words);
        if (dialect->words == MOST_MISSING || length > LONGEST_WRITTEN) return TOO_MANY;
        memcpy(dialect->word[dialect->words].text, words, length);
        dialect->word[dialect->words].length = length;
        words = next + 1;
    }
    if (dialect->words || numbers) scanner->is_whole = 0;
    return DONE;
}

/* Says when a row is: at the sum of columns, each in units of so many microseconds since 1970, and `shift` of them
   later, from `earliest` to `latest`; and in which interval of `length` it counts, or that all count in one. `day` is the column that says when
   and may be without a value, or -1. */
int scanner_time(Scanner *scanner, int parts, const int32_t *columns, const int64_t *units, int64_t shift,
                 int64_t earliest, int64_t latest, int64_t length, int is_given, int day) {
    if (parts > MOST_PARTS) return TOO_MANY;
    scanner->shift = shift;
    scanner->parts = parts;
    memcpy(scanner->part_columns, columns, parts * sizeof *columns);
    memcpy(scanner->part_units, units, parts * sizeof *units);
    scanner->earliest = earliest;
    scanner->latest = latest;
    scanner->length = length;
    /* Of no interval yet. */
    scanner->last_start = INT64_MAX - length;
    scanner->last_place = -1;
    for (int i = 0; i < parts; i++) add_place(scanner, columns[i]);
    scanner->is_given = is_given;
    scanner->day = day < 0 ? 0 : 1ULL << day;
    return DONE;
}

/* Gives the days of the first `count` lines, for those that have none in the column. They stay the caller's. */
int scanner_days(Scanner *scanner, int column, int64_t count, const int64_t *days) {
    scanner->day_column = column;
    scanner->days_count = count;
    scanner->days = days;
    return DONE;
}

/* Adds a check: a column's value, less another's, is within bounds and a multiple of `step`. */
int scanner_check(Scanner *scanner, int column, int other, int64_t least, int64_t most, int64_t step) {
    if (scanner->checks == MOST_CHECKS) return TOO_MANY;
    scanner->check[scanner->checks++] = (Check){column, other, least, most, step};
    add_place(scanner, column);
    if (other >= 0) add_place(scanner, other);
    return DONE;
}

/* Says which columns are without a value where both are 0. */
void scanner_place(Scanner *scanner, int latitude, int longitude) {
    scanner->latitude = latitude;
    scanner->longitude = longitude;
    scanner->places = -1;
}

/* Adds a computed column, the cell of a place: its southern edge in the upper 32 bits, its western edge in the lower,
   both in cells from 0; the least number of all for no place. Its number follows those of the columns. */
int scanner_cell(Scanner *scanner, int latitude, int longitude, int64_t per_degree) {
    int slot = scanner->columns + scanner->slots;
    if (slot == MOST_COLUMNS) return TOO_MANY;
    scanner->slots++;
    scanner->cell[scanner->cells++] = (Cell){latitude, longitude, slot, per_degree};
    return DONE;
}

/* Adds a computed column, the bucket of a column's value; the largest number of all for no value. Its number is the next
   one too. */
int scanner_bucket(Scanner *scanner, int column) {
    int slot = scanner->columns + scanner->slots;
    if (slot == MOST_COLUMNS) return TOO_MANY;
    scanner->slots++;
    scanner->bucket[scanner->buckets++] = (Bucket){column, slot};
    return DONE;
}

/* Adds a program: of a check, of a computed column, whose values are from `least` to `most`, of a reduction's filter, or
   of a condition. They run in the order in which they are added. */
int scanner_program(Scanner *scanner, int purpose, int target, const Step *steps, int64_t count, int64_t least,
                    int64_t most) {
    int stack = stack_of(steps, count);
    if (scanner->programs == MOST_PROGRAMS || !stack || stack > MOST_STACK) return TOO_MANY;
    if (purpose == FOR_CONDITION && target >= MOST_CONDITIONS) return TOO_MANY;
    Step *copy = malloc((size_t)count * sizeof *copy);
    if (!copy) return NO_MEMORY;
    memcpy(copy, steps, (size_t)count * sizeof *copy);
    scanner->program[scanner->programs++] = (Program){purpose, target, least, most, count, copy};
    if (purpose == FOR_FILTER) scanner->filtered |= 1ULL << target;
    return DONE;
}

/* Gives a lookup of a column's texts the values of `count` more of them, and where they have none. */
int scanner_lookup(Scanner *scanner, int index, int column, int64_t count, const int64_t *values,
                   const uint8_t *nones) {
    if (index >= MOST_LOOKUPS) return TOO_MANY;
    Lookup *lookup = &scanner->lookup[index];
    size_t known = (size_t)lookup->count, all = known + (size_t)count;
    int64_t *more_values = realloc(lookup->values, (all + 1) * sizeof *more_values);
    if (!more_values) return NO_MEMORY;
    lookup->values = more_values;
    uint8_t *more_nones = realloc(lookup->nones, all + 1);
    if (!more_nones) return NO_MEMORY;
    lookup->nones = more_nones;
    if (count) memcpy(more_values + known, values, (size_t)count * sizeof *values);
    if (count) memcpy(more_nones + known, nones, (size_t)count);
    lookup->column = column;
    lookup->count = (int64_t)all;
    return DONE;
}

/* Adds a reduction by key columns; DISTINCT keeps `most` pairs. TOTALS has totals, with `width` places for them. */
int scanner_reduce(Scanner *scanner, int kind, int counted, int keys, const int32_t *key_columns, int terms,
                   const int32_t *columns, int totals, const Total *total, int width, int64_t most) {
    static const int WIDTHS[] = {1, 0, 1, 3};
    if (scanner->reductions == MOST_REDUCTIONS || terms > MOST_TERMS || totals > MOST_TOTALS) return TOO_MANY;
    if (keys < 1 || keys > MOST_KEYS) return TOO_MANY;
    Reduction *reduction = &scanner->reduction[scanner->reductions++];
    reduction->kind = kind;
    reduction->counted = counted;
    reduction->terms = terms;
    reduction->totals = totals;
    reduction->width = kind == TOTALS ? width : WIDTHS[kind];
    reduction->most = (size_t)most;
    memcpy(reduction->key_columns, key_columns, keys * sizeof *key_columns);
    memcpy(reduction->columns, columns, terms * sizeof *columns);
    memcpy(reduction->total, total, totals * sizeof *total);
    return make_groups(&reduction->groups, keys, reduction->width + !!counted);
}

/* Gives the number of a text in a column's dictionary; -1 if it cannot be added. 8 bytes behind it can be read. */
int64_t scanner_intern(Scanner *scanner, int column, const uint8_t *text, int64_t length) {
    int status = DONE;
    return intern(&scanner->column[column].texts, text, (size_t)length, &status);
}

static int reduce_read_rows(Scanner *scanner) {
    int count = scanner->rows;
    scanner->rows = 0;
    return reduce_rows(scanner, scanner->row, count);
}

/* Scans a text that ends in a line feed and has PADDING bytes behind it that can be read; `scanned` gives how far it
   came. Goes on after ODD_LINES_FULL, and after NEW_TEXTS once lookups have the new texts. */
int scanner_scan(Scanner *scanner, const uint8_t *text, int64_t length, int64_t *scanned) {
    const uint8_t *at = text + *scanned, *end = text + length;
    int status = DONE, is_json = scanner->format == JSON, is_whole = scanner->is_whole;
    int is_tree = scanner->branches > 1;
    const Dialect *dialect = &scanner->dialect;
    uint8_t delimiter = dialect->delimiter, quote = dialect->quote;
    int is_common = delimiter == ',' && quote == '"' && !dialect->words && !dialect->numbers;
    Marks marks = {at, 0};
    scanner->odd = 0;
    if (!is_json && !is_whole) start_marks(&marks, at, delimiter, quote);
    while (at < end) {
        const uint8_t *next, *line_end = NULL;
        Row *row = &scanner->row[scanner->rows];
        row->nulls = scanner->missing;
        if (is_json) {
            next = is_tree ? read_tree(scanner, at, row, &status) : read_object(scanner, at, row, &status);
        } else if (dialect->comment_length && !memcmp(at, dialect->comment, dialect->comment_length)) {
            next = NULL;
            line_end = memchr(at, '\n', (size_t)(end - at));
            if (!is_whole) start_marks(&marks, line_end + 1, delimiter, quote);
        } else if (!(next = is_whole    ? read_numbers(scanner, at, row)
                            : is_common ? read_common(scanner, &marks, at, row, &status)
                                        : read_any(scanner, &marks, at, row, &status)) &&
                   !status) {
            line_end = memchr(at, '\n', (size_t)(end - at));
            row->nulls = scanner->missing;
            if (read_dressed(scanner, at, line_end, row, &status)) next = line_end + 1;
            if (!is_whole) start_marks(&marks, line_end + 1, delimiter, quote);
        }
        row->interval = -1;
        if (next && next - at <= scanner->longest_line) row->interval = place_row(scanner, row, &status);
        if (scanner->programs && row->interval >= 0) {
            uint64_t reductions = ~(scanner->reductions < 64 ? ~0ULL << scanner->reductions : 0);
            int counts = run_programs(scanner->program, scanner->programs, scanner->lookup, reductions, row);
            if (counts < 0) status = NEW_TEXTS;
            if (!counts) row->interval = -1;
        }
        if (status) break;
        if (row->interval >= 0) {
            if (++scanner->rows == ROWS) status = reduce_read_rows(scanner);
            if (status) break;
        } else {
            if (scanner->odd == ODD_LINES) {
                status = ODD_LINES_FULL;
                break;
            }
            if (!line_end) line_end = next ? next - 1 : memchr(at, '\n', (size_t)(end - at));
            scanner->odd_line[scanner->odd++] = (OddLine){scanner->lines + 1, at - text, line_end - at};
            next = line_end + 1;
        }
        scanner->lines++;
        at = next;
    }
    *scanned = at - text;
    if (!status) status = reduce_read_rows(scanner);
    return status;
}

/* Adds a record that was an odd line, by its columns' values, the reductions that count it, the conditions that it
   satisfies and its moment. */
int scanner_add(Scanner *scanner, const int64_t *values, uint64_t nulls, uint64_t filters, uint64_t conditions,
                int64_t moment) {
    Row row = {.nulls = nulls, .filters = filters, .conditions = conditions, .moment = moment};
    int status = DONE;
    memcpy(row.values, values, scanner->columns * sizeof *values);
    row.interval = interval_of(scanner, moment, &status);
    return status ? status : reduce_rows(scanner, &row, 1);
}

/* Adds records by their moments, the bits of their columns without a value, of the reductions that do not count them
   and of the conditions that they do not satisfy, and the values of columns, NULL for one that nothing needs. */
int scanner_add_rows(Scanner *scanner, int64_t count, const int64_t *moments, const uint64_t *nulls,
                     const uint64_t *uncounted, const uint64_t *unsatisfied, const int64_t *const *columns) {
    int status = DONE;
    for (int64_t i = 0; i < count && !status; i++) {
        Row *row = &scanner->row[scanner->rows];
        row->nulls = nulls[i];
        row->filters = ~uncounted[i];
        row->conditions = ~unsatisfied[i];
        row->moment = moments[i];
        for (int column = 0; column < scanner->columns; column++)
            row->values[column] = columns[column] ? columns[column][i] : 0;
        row->interval = interval_of(scanner, moments[i], &status);
        if (!status && ++scanner->rows == ROWS) status = reduce_read_rows(scanner);
    }
    return status ? status : reduce_read_rows(scanner);
}

/* Adds pairs of a key and a column's values to a reduction that keeps distinct ones, all to interval 0: of the
   `parts` into which the keys fall, those of one part. */
int scanner_add_pairs(Scanner *scanner, int index, const int64_t *keys, const int64_t *values, int64_t count,
                      uint32_t part, uint32_t parts) {
    Reduction *reduction = &scanner->reduction[index];
    int64_t *entry;
    uint32_t group = 0;
    int ours = 0, status = DONE;
    for (int64_t i = 0; i < count; i++) {
        if (!i || keys[i] != keys[i - 1]) {
            ours = (hash_of(0, &keys[i], 1) >> 16) % parts == part;
            if (ours) group = group_of(&reduction->groups, hash_of(0, &keys[i], 1), 0, &keys[i], 1, &entry, &status);
            if (status) return status;
        }
        if (ours) status = add_pair(reduction, group, values[i]);
        if (status) return status;
    }
    return DONE;
}

int64_t scanner_lines(const Scanner *scanner) { return scanner->lines; }
int scanner_lacks_day(const Scanner *scanner) { return scanner->lacks_day; }
int scanner_odd(const Scanner *scanner) { return scanner->odd; }
const OddLine *scanner_odd_lines(const Scanner *scanner) { return scanner->odd_line; }

static const Groups *groups_of(const Scanner *scanner, int index) {
    return index < 0 ? &scanner->intervals : &scanner->reduction[index].groups;
}

/* The number of a reduction's groups; of -1, of the intervals. */
int64_t scanner_groups(const Scanner *scanner, int index) { return groups_of(scanner, index)->count; }

/* The numbers that an entry has. */
int scanner_entry_width(const Scanner *scanner, int index) { return groups_of(scanner, index)->stride; }

/* Their entries: a group's interval, its keys and its totals, in the order in which they first came. An interval has
   its number since 1970 for a key and the number of its records for a total. */
const int64_t *scanner_entries(const Scanner *scanner, int index) { return groups_of(scanner, index)->entries; }

/* Sorts the distinct values by their groups' ranks; `pairs` gives how many there are. */
int scanner_sort(Scanner *scanner, int index, const uint32_t *ranks, int64_t *pairs) {
    int status = sort_pairs(&scanner->reduction[index], ranks);
    *pairs = (int64_t)scanner->reduction[index].count;
    return status;
}

/* The distinct values once they are sorted, and how many each rank has. */
void scanner_pairs(const Scanner *scanner, int index, int64_t *values, int64_t *counts) {
    const Reduction *reduction = &scanner->reduction[index];
    if (reduction->count) memcpy(values, reduction->values, reduction->count * sizeof *values);
    memset(counts, 0, reduction->groups.count * sizeof *counts);
    for (size_t i = 0; i < reduction->count; i++) counts[reduction->rows[i]]++;
}

/* Divides numbers of 128 bits, each in two parts; gives quotients, which must not be larger than 64 bits, and rests. */
int divide(const uint64_t *lower, const uint64_t *upper, int64_t count, uint64_t by, int64_t *quotients,
           int64_t *rests) {
    for (int64_t i = 0; i < count; i++) {
        unsigned __int128 number = (unsigned __int128)upper[i] << 64 | lower[i];
        if (number / by > INT64_MAX) return TOO_LARGE;
        quotients[i] = (int64_t)(number / by);
        rests[i] = (int64_t)(number % by);
    }
    return DONE;
}

/* A column's dictionary: the number of its texts, where each ends, and the texts. */
int64_t scanner_texts(const Scanner *scanner, int column) { return scanner->column[column].texts.count; }
const int64_t *scanner_text_ends(const Scanner *scanner, int column) { return scanner->column[column].texts.ends; }
const uint8_t *scanner_text_bytes(const Scanner *scanner, int column) { return scanner->column[column].texts.bytes; }

/* Writes UUIDs, of sixteen bytes each, as texts of 36 characters each. */
void write_ids(const uint8_t *bytes, int64_t count, uint8_t *to) {
    for (int64_t i = 0; i < count; i++)
        for (int byte = 0; byte < 16; byte++, bytes++) {
            if (byte == 4 || byte == 6 || byte == 8 || byte == 10) *to++ = '-';
            *to++ = (uint8_t) "0123456789abcdef"[*bytes >> 4];
            *to++ = (uint8_t) "0123456789abcdef"[*bytes & 15];
        }
}

/* The rows that are kept: their number, the interval of each, a column's values and where it has none. */
int64_t scanner_kept(const Scanner *scanner) { return (int64_t)scanner->kept; }
const uint32_t *scanner_kept_intervals(const Scanner *scanner) { return scanner->kept_intervals; }
const void *scanner_kept_values(const Scanner *scanner, int column) { return scanner->column[column].kept; }
const uint8_t *scanner_kept_nulls(const Scanner *scanner, int column) { return scanner->column[column].kept_nulls; }

/* Counts the distinct values of several arrays together; room is made for `most_words` at most. */
int count_distinct(int arrays, const int64_t *const *values, const int64_t *lengths, int64_t most_words,
                   int64_t *distinct) {
    int64_t least = INT64_MAX, most = INT64_MIN;
    size_t count = 0;
    *distinct = 0;
    for (int array = 0; array < arrays; array++) {
        for (int64_t i = 0; i < lengths[array]; i++) {
            int64_t value = values[array][i];
            if (value < least) least = value;
            if (value > most) most = value;
        }
        count += (size_t)lengths[array];
    }
    if (!count) return DONE;
    uint64_t range = (uint64_t)most - (uint64_t)least;
    /* A bit for each value there may be, where that takes no more room than sorting the values. */
    if (range / 64 <= 2 * count && range / 64 < (uint64_t)most_words) {
        uint64_t *seen = calloc(range / 64 + 1, sizeof *seen);
        if (!seen) return NO_MEMORY;
        for (int array = 0; array < arrays; array++)
            for (int64_t i = 0; i < lengths[array]; i++) {
                uint64_t bit = (uint64_t)values[array][i] - (uint64_t)least;
                seen[bit / 64] |= 1ULL << bit % 64;
            }
        int64_t found = 0;
        for (uint64_t word = 0; word <= range / 64; word++) found += __builtin_popcountll(seen[word]);
        free(seen);
        *distinct = found;
        return DONE;
    }
    if (count > (uint64_t)most_words / 2 || count > UINT32_MAX) return TOO_MANY;
    uint64_t *words = malloc(count * 2 * sizeof *words);
    if (!words) return NO_MEMORY;
    size_t filled = 0;
    for (int array = 0; array < arrays; array++)
        for (int64_t i = 0; i < lengths[array]; i++) words[filled++] = (uint64_t)values[array][i] - (uint64_t)least;
    const uint64_t *sorted = radix_sort(words, words + count, count, bits_of(range), 11);
    int64_t found = 1;
    for (size_t i = 1; i < count; i++) found += sorted[i] != sorted[i - 1];
    free(words);
    *distinct = found;
    return DONE;
}

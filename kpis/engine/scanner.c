/* The compiled scanner: lines of whole numbers between commas, parsed and reduced in one pass.

   Only what is provably clean is taken here: a line of exactly as many fields as the header has, each of 1 to 18
   digits and within its column's bounds. Every other line is handed out with its number, to be judged one by one by
   the Python code that is the truth; a record that comes of it returns through scanner_add. What scanner.py
   promises of the numbers below is checked there. Little-endian machines only. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the scanner reads eight digits at a time as a little-endian number"
#endif

#define MOST_COLUMNS 64
#define MOST_REDUCTIONS 16
#define MOST_TERMS 4
#define MOST_KEYS 4096
#define ODD_LINES 4096
#define PADDING 32

enum status { DONE = 0, NEW_KEY = 1, ODD_LINES_FULL = 2, TOO_LARGE = 3, TOO_MANY = 4, NO_MEMORY = 5 };
enum kind { SUM = 0, DISTINCT = 1 };

/* Numbers the pairs of an interval and a dimension's value in the order in which they first come. */
typedef struct {
    uint32_t *slots; /* a group's number and one more, or 0 */
    int32_t *intervals;
    int64_t *dimensions;
    uint32_t count, capacity, mask;
} Groups;

typedef struct {
    int kind;
    int dimension;
    int terms;
    int columns[MOST_TERMS];
    Groups groups;
    uint64_t *sums; /* SUM: one a group */
    uint32_t *rows; /* DISTINCT: a row's group... */
    int64_t *values; /* ...and its value */
    size_t count, capacity, most;
} Reduction;

/* The columns that say whether and where a row counts, with the interval of each combination that was met. */
typedef struct {
    uint64_t first, second;
    int32_t interval; /* -1: rows that have it are no records */
} Key;

typedef struct {
    uint64_t low_text, high_text, low_mask, high_mask, value;
    int length;
} Remembered;

typedef struct {
    int64_t line;
    int64_t offset;
    int64_t length;
} OddLine;

typedef struct {
    int columns;
    int key_columns[2];
    uint64_t least[MOST_COLUMNS], most[MOST_COLUMNS];
    int reductions;
    Reduction reduction[MOST_REDUCTIONS];
    int keys;
    Key key[MOST_KEYS];
    int last_key;
    Remembered remembered[2];
    int64_t lines; /* all that were passed, blank and odd ones as well */
    int64_t records[MOST_KEYS]; /* by interval */
    int odd;
    OddLine odd_line[ODD_LINES];
    uint64_t new_key[2];
} Scanner;

static const uint64_t POWER_OF_TEN[19] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
    10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL, 1000000000000000ULL,
    10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL};

static inline uint64_t load(const uint8_t *text) {
    uint64_t word;
    memcpy(&word, text, 8);
    return word;
}

/* A block for free(); a large one in huge pages where there are any, as touching it page by page takes long. */
static void *take(size_t bytes) {
#ifdef MADV_HUGEPAGE
    const size_t page = 2u << 20;
    if (bytes >= page) {
        size_t whole = (bytes + page - 1) / page * page;
        void *block = aligned_alloc(page, whole);
        if (block) madvise(block, whole, MADV_HUGEPAGE);
        return block;
    }
#endif
    return malloc(bytes);
}

/* ---- groups -------------------------------------------------------------------------------------------------- */

static inline uint32_t hash_of(int32_t interval, int64_t dimension) {
    uint64_t mixed = ((uint64_t)dimension + (uint64_t)interval * 0xD6E8FEB86659FD93ULL) * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(mixed >> 32);
}

static int grow_groups(Groups *groups) {
    uint32_t capacity = groups->capacity ? groups->capacity * 2 : 1024;
    uint32_t mask = capacity * 2 - 1;
    uint32_t *slots = calloc((size_t)mask + 1, sizeof *slots);
    int32_t *intervals = realloc(groups->intervals, capacity * sizeof *intervals);
    if (intervals) groups->intervals = intervals;
    int64_t *dimensions = realloc(groups->dimensions, capacity * sizeof *dimensions);
    if (dimensions) groups->dimensions = dimensions;
    if (!slots || !intervals || !dimensions) {
        free(slots);
        return NO_MEMORY;
    }
    for (uint32_t group = 0; group < groups->count; group++) {
        uint32_t slot = hash_of(intervals[group], dimensions[group]) & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = group + 1;
    }
    free(groups->slots);
    groups->slots = slots;
    groups->capacity = capacity;
    groups->mask = mask;
    return DONE;
}

/* The group's number, or groups->count where it is new. */
static inline uint32_t find_group(const Groups *groups, int32_t interval, int64_t dimension, uint32_t *slot) {
    uint32_t at = hash_of(interval, dimension) & groups->mask;
    for (;; at = (at + 1) & groups->mask) {
        uint32_t found = groups->slots[at];
        if (!found) {
            *slot = at;
            return groups->count;
        }
        if (groups->dimensions[found - 1] == dimension && groups->intervals[found - 1] == interval) return found - 1;
    }
}

static int add_group(Reduction *reduction, int32_t interval, int64_t dimension, uint32_t slot) {
    Groups *groups = &reduction->groups;
    if (groups->count == groups->capacity) {
        if (groups->capacity >= 1u << 26) return TOO_MANY;
        int status = grow_groups(groups);
        if (status) return status;
        find_group(groups, interval, dimension, &slot);
        if (reduction->kind == SUM) {
            uint64_t *sums = realloc(reduction->sums, groups->capacity * sizeof *sums);
            if (!sums) return NO_MEMORY;
            reduction->sums = sums;
        }
    }
    if (reduction->kind == SUM) reduction->sums[groups->count] = 0;
    groups->intervals[groups->count] = interval;
    groups->dimensions[groups->count] = dimension;
    groups->slots[slot] = ++groups->count;
    return DONE;
}

/* ---- sorting ------------------------------------------------------------------------------------------------- */

/* Signed numbers in an order that unsigned words have as well. */
#define UNSIGNED(value) ((uint64_t)(value) ^ (1ULL << 63))
#define SIGNED(word) ((int64_t)((word) ^ (1ULL << 63)))

static int bits_of(uint64_t number) { return number ? 64 - __builtin_clzll(number) : 0; }

/* Sorts the words by their lowest so many bits, by way of as many words of room; gives where they are then. */
static uint64_t *radix_sort(uint64_t *words, uint64_t *room, size_t count, int bits, int widest) {
    int passes = (bits + widest - 1) / widest;
    if (!passes || count < 2) return words;
    int width = (bits + passes - 1) / passes;
    uint32_t size = 1u << width, mask = size - 1;
    uint32_t starts[8][2048];
    for (int pass = 0; pass < passes; pass++) memset(starts[pass], 0, size * sizeof starts[0][0]);
    for (size_t i = 0; i < count; i++)
        for (int pass = 0; pass < passes; pass++) starts[pass][(words[i] >> (pass * width)) & mask]++;
    for (int pass = 0; pass < passes; pass++) {
        int shift = pass * width;
        uint32_t total = 0;
        for (uint32_t digit = 0; digit < size; digit++) {
            uint32_t here = starts[pass][digit];
            starts[pass][digit] = total;
            total += here;
        }
        for (size_t i = 0; i < count; i++) room[starts[pass][(words[i] >> shift) & mask]++] = words[i];
        uint64_t *sorted = room;
        room = words;
        words = sorted;
    }
    return words;
}

/* Sorts a group's words, with digits as wide as pays for so many. */
static uint64_t *sort_group(uint64_t *words, uint64_t *room, size_t count) {
    if (count < 64) {
        for (size_t i = 1; i < count; i++) {
            uint64_t word = words[i];
            size_t at = i;
            for (; at && words[at - 1] > word; at--) words[at] = words[at - 1];
            words[at] = word;
        }
        return words;
    }
    uint64_t least = words[0], most = words[0];
    for (size_t i = 1; i < count; i++) {
        least = words[i] < least ? words[i] : least;
        most = words[i] > most ? words[i] : most;
    }
    /* Only the digits in which they differ. */
    int bits = bits_of(least ^ most);
    return count < 4096 ? radix_sort(words, room, count, bits, 8) : radix_sort(words, room, count, bits, 11);
}

/* Keeps each word once, in the order in which they first come; gives how many there are. `table` has room for twice
   as many entries, rounded up to a power of two. */
static size_t keep_once(uint64_t *words, size_t count, uint32_t *table) {
    int bits = bits_of(2 * count);
    size_t mask = ((size_t)1 << bits) - 1, kept = 0;
    memset(table, 0, (mask + 1) * sizeof *table);
    for (size_t i = 0; i < count; i++) {
        uint64_t word = words[i];
        size_t at = (word * 0x9E3779B97F4A7C15ULL) >> (64 - bits);
        while (table[at] && words[table[at] - 1] != word) at = (at + 1) & mask;
        if (table[at]) continue;
        words[kept] = word;
        table[at] = (uint32_t)++kept;
    }
    return kept;
}

/* Puts a reduction's rows in the order of their groups' ranks and their values, each pair once. */
static int sort_pairs(Reduction *reduction, const uint32_t *ranks) {
    size_t count = reduction->count, longest = 0, kept = 0;
    uint32_t groups = reduction->groups.count;
    size_t *starts = calloc((size_t)groups + 1, sizeof *starts);
    uint64_t *words = take((count + 1) * sizeof *words), *room = NULL;
    uint32_t *table = NULL;
    int status = NO_MEMORY;
    if (!starts || !words || count > UINT32_MAX) goto end;
    for (size_t i = 0; i < count; i++) {
        uint32_t rank = ranks ? ranks[reduction->rows[i]] : reduction->rows[i];
        reduction->rows[i] = rank;
        starts[rank]++;
    }
    size_t total = 0;
    for (uint32_t rank = 0; rank < groups; rank++) {
        size_t here = starts[rank];
        if (here > longest) longest = here;
        starts[rank] = total;
        total += here;
    }
    room = malloc((longest + 1) * sizeof *room);
    table = malloc(((size_t)1 << bits_of(2 * longest)) * sizeof *table);
    if (!room || !table) goto end;
    for (size_t i = 0; i < count; i++) words[starts[reduction->rows[i]]++] = UNSIGNED(reduction->values[i]);
    /* Each start is now where the next group's is. */
    for (uint32_t rank = 0; rank < groups; rank++) {
        size_t start = rank ? starts[rank - 1] : 0, here = starts[rank] - start;
        /* Most pairs come many times: sorting what is left of them takes less. */
        if (here > 64) here = keep_once(words + start, here, table);
        const uint64_t *sorted = sort_group(words + start, room, here);
        for (size_t i = 0; i < here; i++) {
            reduction->rows[kept] = rank;
            reduction->values[kept] = SIGNED(sorted[i]);
            kept += i + 1 == here || sorted[i] != sorted[i + 1];
        }
    }
    reduction->count = kept;
    status = DONE;
end:
    free(starts);
    free(words);
    free(room);
    free(table);
    return status;
}

/* Makes room for more rows, first by dropping those that come again. */
static int make_room(Reduction *reduction) {
    if (reduction->capacity) {
        int status = sort_pairs(reduction, NULL);
        if (status) return status;
        if (reduction->count <= reduction->capacity / 2) return DONE;
        if (reduction->capacity >= reduction->most) return TOO_MANY;
    }
    size_t capacity = reduction->capacity ? reduction->capacity * 2 : 1u << 19;
    uint32_t *rows = take(capacity * sizeof *rows);
    int64_t *values = take(capacity * sizeof *values);
    if (!rows || !values) {
        free(rows);
        free(values);
        return NO_MEMORY;
    }
    if (reduction->count) {
        memcpy(rows, reduction->rows, reduction->count * sizeof *rows);
        memcpy(values, reduction->values, reduction->count * sizeof *values);
    }
    free(reduction->rows);
    free(reduction->values);
    reduction->rows = rows;
    reduction->values = values;
    reduction->capacity = capacity;
    return DONE;
}

static inline int add_pair(Reduction *reduction, uint32_t group, int64_t value) {
    if (reduction->count == reduction->capacity) {
        int status = make_room(reduction);
        if (status) return status;
    }
    reduction->rows[reduction->count] = group;
    reduction->values[reduction->count++] = value;
    return DONE;
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

static inline int reduce_row(Scanner *scanner, const int64_t *values, int32_t interval) {
    for (int i = 0; i < scanner->reductions; i++) {
        Reduction *reduction = &scanner->reduction[i];
        uint32_t slot = 0;
        int64_t dimension = values[reduction->dimension];
        uint32_t group = find_group(&reduction->groups, interval, dimension, &slot);
        if (group == reduction->groups.count) {
            int status = add_group(reduction, interval, dimension, slot);
            if (status) return status;
        }
        if (reduction->kind == SUM) {
            uint64_t sum = reduction->sums[group];
            for (int term = 0; term < reduction->terms; term++) {
                sum += (uint64_t)values[reduction->columns[term]];
                if (sum > INT64_MAX) return TOO_LARGE;
            }
            reduction->sums[group] = sum;
        } else {
            int status = add_pair(reduction, group, values[reduction->columns[0]]);
            if (status) return status;
        }
    }
    scanner->records[interval]++;
    return DONE;
}

/* The number that eight bytes are, each of them a digit's value; the first is the highest. */
static inline uint64_t eight_digits(uint64_t word) {
    word = word * 10 + (word >> 8);
    return (((word & 0x000000FF000000FFULL) * 0x000F424000000064ULL) +
            (((word >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL)) >> 32;
}

/* How many of the eight bytes, which had '0' taken off each, are digits before the first that is none. */
static inline int digits_in(uint64_t word) {
    uint64_t others = ((word + 0x7676767676767676ULL) | word) & 0x8080808080808080ULL;
    return others ? __builtin_ctzll(others) >> 3 : 8;
}

#define ZEROS 0x3030303030303030ULL

/* Reads 1 to 18 digits; gives the place after them, or NULL. */
static inline const uint8_t *read_number(const uint8_t *text, uint64_t *number) {
    uint64_t word = load(text) ^ ZEROS;
    int digits = digits_in(word);
    if (digits < 8) {
        if (!digits) return NULL;
        *number = eight_digits(word << (64 - 8 * digits));
        return text + digits;
    }
    uint64_t high = eight_digits(word);
    word = load(text + 8) ^ ZEROS;
    digits = digits_in(word);
    if (digits < 8) {
        *number = digits ? high * POWER_OF_TEN[digits] + eight_digits(word << (64 - 8 * digits)) : high;
        return text + 8 + digits;
    }
    high = high * 100000000ULL + eight_digits(word);
    text += 16;
    for (digits = 0; (uint8_t)(*text - '0') < 10; text++) {
        if (++digits > 2) return NULL;
        high = high * 10 + (*text - '0');
    }
    *number = high;
    return text;
}

/* Reads a number that mostly is, to the letter, what it was in the line before. */
static inline const uint8_t *read_again(Remembered *remembered, const uint8_t *text, uint64_t *number) {
    uint64_t low = load(text), high = load(text + 8);
    if (remembered->length && !(((low ^ remembered->low_text) & remembered->low_mask) |
                                ((high ^ remembered->high_text) & remembered->high_mask))) {
        *number = remembered->value;
        return text + remembered->length;
    }
    const uint8_t *end = read_number(text, number);
    /* With the byte after it, which tells that the number ends there. */
    if (end && end - text < 16) {
        int length = (int)(end - text);
        remembered->length = length;
        remembered->value = *number;
        remembered->low_text = low;
        remembered->high_text = high;
        remembered->low_mask = length + 1 >= 8 ? UINT64_MAX : (1ULL << (8 * (length + 1))) - 1;
        remembered->high_mask =
            length + 1 >= 16 ? UINT64_MAX : length + 1 <= 8 ? 0 : (1ULL << (8 * (length + 1 - 8))) - 1;
    }
    return end;
}

/* Reads a clean line's fields; gives the next line's place, or NULL where it is not clean. */
static inline const uint8_t *read_line(Scanner *scanner, const uint8_t *text, uint64_t *values) {
    int columns = scanner->columns;
    for (int column = 0; column < columns; column++) {
        uint64_t value;
        if (column == scanner->key_columns[0])
            text = read_again(&scanner->remembered[0], text, &value);
        else if (column == scanner->key_columns[1])
            text = read_again(&scanner->remembered[1], text, &value);
        else
            text = read_number(text, &value);
        if (!text || value < scanner->least[column] || value > scanner->most[column]) return NULL;
        if (column + 1 < columns && *text++ != ',') return NULL;
        values[column] = value;
    }
    if (*text == '\r') text++;
    return *text == '\n' ? text + 1 : NULL;
}

static inline int find_key(Scanner *scanner, uint64_t first, uint64_t second) {
    const Key *key = &scanner->key[scanner->last_key];
    if (scanner->keys && key->first == first && key->second == second) return scanner->last_key;
    for (int i = 0; i < scanner->keys; i++)
        if (scanner->key[i].first == first && scanner->key[i].second == second) return scanner->last_key = i;
    return -1;
}

/* ---- what scanner.py calls ----------------------------------------------------------------------------------- */

void scanner_free(Scanner *scanner) {
    if (!scanner) return;
    for (int i = 0; i < scanner->reductions; i++) {
        Reduction *reduction = &scanner->reduction[i];
        free(reduction->groups.slots);
        free(reduction->groups.intervals);
        free(reduction->groups.dimensions);
        free(reduction->sums);
        free(reduction->rows);
        free(reduction->values);
    }
    free(scanner);
}

/* A scanner for lines of so many columns, each with its bounds; NULL for want of memory or where there are too many.
   The two key columns tell a row's interval; they may be the same. */
Scanner *scanner_new(int columns, const uint64_t *least, const uint64_t *most, int first_key, int second_key) {
    if (columns < 1 || columns > MOST_COLUMNS) return NULL;
    Scanner *scanner = calloc(1, sizeof *scanner);
    if (!scanner) return NULL;
    scanner->columns = columns;
    memcpy(scanner->least, least, columns * sizeof *least);
    memcpy(scanner->most, most, columns * sizeof *most);
    scanner->key_columns[0] = first_key;
    scanner->key_columns[1] = second_key;
    return scanner;
}

/* Adds a reduction by a dimension: the sum of columns, or the distinct values of one, of which `most` are kept. */
int scanner_reduce(Scanner *scanner, int kind, int dimension, int terms, const int *columns, int64_t most) {
    if (scanner->reductions == MOST_REDUCTIONS || terms < 1 || terms > MOST_TERMS) return TOO_MANY;
    Reduction *reduction = &scanner->reduction[scanner->reductions++];
    reduction->kind = kind;
    reduction->dimension = dimension;
    reduction->terms = terms;
    reduction->most = (size_t)most;
    memcpy(reduction->columns, columns, terms * sizeof *columns);
    int status = grow_groups(&reduction->groups);
    if (!status && kind == SUM) {
        reduction->sums = malloc(reduction->groups.capacity * sizeof *reduction->sums);
        if (!reduction->sums) status = NO_MEMORY;
    }
    return status;
}

/* Says which interval the rows with a key belong to, by a number from 0; -1 for none. */
int scanner_add_key(Scanner *scanner, uint64_t first, uint64_t second, int interval) {
    if (scanner->keys == MOST_KEYS || interval >= MOST_KEYS) return TOO_MANY;
    scanner->key[scanner->keys++] = (Key){first, second, interval};
    return DONE;
}

/* Scans a text that ends in a line feed and has PADDING bytes of room behind it; `scanned` gives how far it came.
   Goes on after NEW_KEY once the key was added, and after ODD_LINES_FULL. */
int scanner_scan(Scanner *scanner, const uint8_t *text, int64_t length, int64_t *scanned) {
    const uint8_t *at = text + *scanned, *end = text + length;
    int status = DONE;
    uint64_t values[MOST_COLUMNS];
    scanner->odd = 0;
    while (at < end) {
        const uint8_t *next = read_line(scanner, at, values);
        int32_t interval = -1;
        if (next) {
            uint64_t first = values[scanner->key_columns[0]], second = values[scanner->key_columns[1]];
            int key = find_key(scanner, first, second);
            if (key < 0) {
                scanner->new_key[0] = first;
                scanner->new_key[1] = second;
                status = NEW_KEY;
                break;
            }
            interval = scanner->key[key].interval;
        }
        if (interval >= 0) {
            status = reduce_row(scanner, (const int64_t *)values, interval);
            if (status) break;
        } else {
            if (scanner->odd == ODD_LINES) {
                status = ODD_LINES_FULL;
                break;
            }
            const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
            scanner->odd_line[scanner->odd++] = (OddLine){scanner->lines + 1, at - text, line_end - at};
            next = line_end + 1;
        }
        scanner->lines++;
        at = next;
    }
    *scanned = at - text;
    return status;
}

/* Adds a record that was an odd line. */
int scanner_add(Scanner *scanner, const int64_t *values, int interval) {
    return reduce_row(scanner, values, interval);
}

/* Adds pairs of a dimension's and a column's values to a reduction that keeps distinct ones, all to interval 0: of the
   `parts` into which the dimensions fall, those of one part. */
int scanner_add_pairs(Scanner *scanner, int index, const int64_t *dimensions, const int64_t *values, int64_t count,
                      uint32_t part, uint32_t parts) {
    Reduction *reduction = &scanner->reduction[index];
    int64_t dimension = 0;
    uint32_t group = 0;
    int known = 0, ours = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!known || dimensions[i] != dimension) {
            known = 1;
            dimension = dimensions[i];
            uint32_t slot = 0, hash = hash_of(0, dimension);
            ours = (hash >> 16) % parts == part;
            if (ours) {
                group = find_group(&reduction->groups, 0, dimension, &slot);
                if (group == reduction->groups.count) {
                    int status = add_group(reduction, 0, dimension, slot);
                    if (status) return status;
                }
            }
        }
        if (ours) {
            int status = add_pair(reduction, group, values[i]);
            if (status) return status;
        }
    }
    return DONE;
}

int64_t scanner_lines(const Scanner *scanner) { return scanner->lines; }
int64_t scanner_records(const Scanner *scanner, int interval) { return scanner->records[interval]; }
int scanner_odd(const Scanner *scanner) { return scanner->odd; }
const OddLine *scanner_odd_lines(const Scanner *scanner) { return scanner->odd_line; }
const uint64_t *scanner_new_key(const Scanner *scanner) { return scanner->new_key; }
int64_t scanner_groups(const Scanner *scanner, int index) { return scanner->reduction[index].groups.count; }

/* A reduction's groups in the order in which they first came, with the sums where it is one. */
void scanner_group_keys(const Scanner *scanner, int index, int32_t *intervals, int64_t *dimensions, int64_t *sums) {
    const Reduction *reduction = &scanner->reduction[index];
    size_t count = reduction->groups.count;
    memcpy(intervals, reduction->groups.intervals, count * sizeof *intervals);
    memcpy(dimensions, reduction->groups.dimensions, count * sizeof *dimensions);
    if (reduction->kind == SUM) memcpy(sums, reduction->sums, count * sizeof *sums);
}

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

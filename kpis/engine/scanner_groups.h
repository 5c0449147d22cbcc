/* Groups of rows and what is kept of each: open-addressing tables by interval and up to MOST_KEYS numbers. */

/* The entries of the groups, in the order in which they first came: a group's interval, its keys, its totals. */
typedef struct {
    uint32_t *slots; /* a group's number and one more, or 0 */
    int64_t *entries;
    uint32_t count, capacity, mask;
    int keys, stride;
} Groups;

/* A total of the rows that satisfy a condition, or with -1 of all, at its place among those of a group. LEAST and LARGEST
   take two places, the second for 1 once there is a value; SQUARED two for 128 bits, the lower ones first; NEWEST three:
   the value, 1 once there is one, its moment. */
typedef struct {
    int32_t kind, column, condition, place;
} Total;

/* A reduction of rows to totals by group: SUM has the sum of columns, COUNT the number of rows, MEAN the sum of a
   column's values, their number and that of rows without one; TOTALS has any; those that are `counted` have the number
   of rows besides. DISTINCT has pairs of a group and a value instead. */
typedef struct {
    int kind, counted, terms, totals, width; /* width: the places of totals, without that of `counted` */
    int key_columns[MOST_KEYS], columns[MOST_TERMS];
    Total total[MOST_TOTALS];
    Groups groups;
    uint32_t *rows;  /* DISTINCT: a row's group... */
    int64_t *values; /* ...and its value */
    size_t count, capacity, most;
} Reduction;

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

static inline uint32_t hash_of(int64_t interval, const int64_t *keys, int count) {
    uint64_t mixed = (uint64_t)keys[0] + (uint64_t)interval * 0xD6E8FEB86659FD93ULL;
    for (int i = 1; i < count; i++)
        mixed = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9ULL + (uint64_t)keys[i] * 0xD6E8FEB86659FD93ULL;
    return (uint32_t)(mixed * 0x9E3779B97F4A7C15ULL >> 32);
}

static int grow_groups(Groups *groups) {
    uint32_t capacity = groups->capacity ? groups->capacity * 2 : 1024;
    uint32_t mask = capacity * 2 - 1;
    if (groups->capacity >= 1u << 26) return TOO_MANY;
    uint32_t *slots = calloc((size_t)mask + 1, sizeof *slots);
    int64_t *entries = realloc(groups->entries, (size_t)capacity * groups->stride * sizeof *entries);
    if (entries) groups->entries = entries;
    if (!slots || !entries) {
        free(slots);
        return NO_MEMORY;
    }
    for (uint32_t group = 0; group < groups->count; group++) {
        const int64_t *entry = entries + (size_t)group * groups->stride;
        uint32_t slot = hash_of(entry[0], entry + 1, groups->keys) & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = group + 1;
    }
    free(groups->slots);
    groups->slots = slots;
    groups->capacity = capacity;
    groups->mask = mask;
    return DONE;
}

/* A table of groups with so many keys and totals each. */
static int make_groups(Groups *groups, int keys, int totals) {
    groups->keys = keys;
    groups->stride = 1 + keys + totals;
    return grow_groups(groups);
}

static void free_groups(Groups *groups) {
    free(groups->slots);
    free(groups->entries);
}

static inline int is_group(const int64_t *entry, int64_t interval, const int64_t *keys, int count) {
    if (entry[0] != interval || entry[1] != keys[0]) return 0;
    for (int i = 1; i < count; i++)
        if (entry[1 + i] != keys[i]) return 0;
    return 1;
}

#define NO_GROUP UINT32_MAX

static inline int64_t *entry_of(const Groups *groups, uint32_t group) {
    return groups->entries + (size_t)group * groups->stride;
}

/* Gives the group's number, a new one with totals of 0 where it first comes; NO_GROUP if it cannot be added. `count`
   is the number of the table's keys, `hash` their hash; `found` gives the group's entry. */
static inline uint32_t group_of(Groups *groups, uint32_t hash, int64_t interval, const int64_t *keys, int count,
                                int64_t **found, int *status) {
    uint32_t slot = hash & groups->mask;
    for (; groups->slots[slot]; slot = (slot + 1) & groups->mask) {
        uint32_t group = groups->slots[slot] - 1;
        *found = entry_of(groups, group);
        if (is_group(*found, interval, keys, count)) return group;
    }
    if (groups->count == groups->capacity) {
        *status = grow_groups(groups);
        if (*status) return NO_GROUP;
        slot = hash & groups->mask;
        while (groups->slots[slot]) slot = (slot + 1) & groups->mask;
    }
    int64_t *entry = entry_of(groups, groups->count);
    memset(entry, 0, groups->stride * sizeof *entry);
    entry[0] = interval;
    memcpy(entry + 1, keys, count * sizeof *keys);
    groups->slots[slot] = ++groups->count;
    *found = entry;
    return groups->count - 1;
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

/* A row's values, each a column's or one that is computed of columns; a bit of `nulls` is set for each without one, one
   of `filters` for each reduction that counts the row, and one of `conditions` for each that it satisfies. */
typedef struct {
    int64_t values[MOST_COLUMNS];
    uint64_t nulls, filters, conditions;
    int64_t interval, moment; /* moment: in microseconds since 1970 */
} Row;

/* Adds a square to a sum of 128 bits. */
static inline int add_square(int64_t *sum, int64_t value) {
    unsigned __int128 before = (unsigned __int128)(uint64_t)sum[1] << 64 | (uint64_t)sum[0];
    unsigned __int128 after = before + (unsigned __int128)((__int128)value * value);
    if (after < before) return TOO_LARGE;
    sum[0] = (int64_t)(uint64_t)after;
    sum[1] = (int64_t)(uint64_t)(after >> 64);
    return DONE;
}

/* Adds a row to the totals of TOTALS. */
static inline int add_totals(const Reduction *reduction, int64_t *totals, const Row *row) {
    for (const Total *total = reduction->total, *end = total + reduction->totals; total < end; total++) {
        int64_t *at = totals + total->place;
        if (total->condition >= 0 && !(row->conditions >> total->condition & 1)) continue;
        if (total->kind == OF_ROWS) {
            ++*at;
            continue;
        }
        if (row->nulls >> total->column & 1) continue;
        int64_t value = row->values[total->column];
        switch (total->kind) {
        case OF_VALUES:
            ++*at;
            break;
        case ADDED:
            if (__builtin_add_overflow(*at, value, at)) return TOO_LARGE;
            break;
        case LEAST:
            if (!at[1] || value < at[0]) at[0] = value;
            at[1] = 1;
            break;
        case LARGEST:
            if (!at[1] || value > at[0]) at[0] = value;
            at[1] = 1;
            break;
        case NEWEST:
            if (at[1] && (row->moment < at[2] || (row->moment == at[2] && value <= at[0]))) break;
            at[0] = value;
            at[1] = 1;
            at[2] = row->moment;
            break;
        case SQUARED:
            if (add_square(at, value)) return TOO_LARGE;
            break;
        }
    }
    return DONE;
}

/* Adds a row's values to the totals of its group, zeros where that is new. */
static inline int add_to(Reduction *reduction, uint32_t group, int64_t *totals, const Row *row) {
    int status = DONE;
    const int64_t *values = row->values;
    switch (reduction->kind) {
    case SUM:
        for (int term = 0; term < reduction->terms; term++)
            if (__builtin_add_overflow(totals[0], values[reduction->columns[term]], totals)) return TOO_LARGE;
        totals++;
        break;
    case COUNT:
        (*totals++)++;
        break;
    case MEAN:
        if (row->nulls >> reduction->columns[0] & 1) {
            totals[2]++;
        } else {
            if (__builtin_add_overflow(totals[0], values[reduction->columns[0]], totals)) return TOO_LARGE;
            totals[1]++;
        }
        totals += 3;
        break;
    case TOTALS:
        status = add_totals(reduction, totals, row);
        totals += reduction->width;
        break;
    default:
        status = add_pair(reduction, group, values[reduction->columns[0]]);
    }
    if (reduction->counted) (*totals)++;
    return status;
}

/* Adds up to ROWS rows to a reduction: what they need of a large table is fetched for all of them at once. */
static inline int reduce(Reduction *reduction, const Row *rows, int count) {
    Groups *groups = &reduction->groups;
    int64_t keys[ROWS][MOST_KEYS], *entry;
    uint32_t hashes[ROWS];
    int width = groups->keys, status = DONE;
    if (width == 1 && groups->capacity <= SMALL_TABLE) {
        for (int i = 0; i < count && !status; i++) {
            const int64_t *key = &rows[i].values[reduction->key_columns[0]];
            uint32_t hash = hash_of(rows[i].interval, key, 1);
            uint32_t group = group_of(groups, hash, rows[i].interval, key, 1, &entry, &status);
            if (!status) status = add_to(reduction, group, entry + 2, &rows[i]);
        }
        return status;
    }
    for (int i = 0; i < count; i++) {
        keys[i][0] = rows[i].values[reduction->key_columns[0]];
        for (int key = 1; key < width; key++) keys[i][key] = rows[i].values[reduction->key_columns[key]];
        hashes[i] = hash_of(rows[i].interval, keys[i], width);
        __builtin_prefetch(&groups->slots[hashes[i] & groups->mask]);
    }
    for (int i = 0; i < count; i++) {
        uint32_t number = groups->slots[hashes[i] & groups->mask];
        if (number) __builtin_prefetch(entry_of(groups, number - 1));
    }
    for (int i = 0; i < count && !status; i++) {
        uint32_t group;
        if (width == 1)
            group = group_of(groups, hashes[i], rows[i].interval, keys[i], 1, &entry, &status);
        else
            group = group_of(groups, hashes[i], rows[i].interval, keys[i], width, &entry, &status);
        if (!status) status = add_to(reduction, group, entry + 1 + width, &rows[i]);
    }
    return status;
}

static void free_reduction(Reduction *reduction) {
    free_groups(&reduction->groups);
    free(reduction->rows);
    free(reduction->values);
}

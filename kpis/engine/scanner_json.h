/* Lines of JSON: an object each. */

#define MOST_OTHER_KEYS 32
#define DEEPEST 32
#define LONGEST_NUMBER 1000

typedef struct {
    const uint8_t *start;
    size_t length;
} Key;

static inline const uint8_t *skip_space(const uint8_t *text) {
    while (*text == ' ' || *text == '\t' || *text == '\r') text++;
    return text;
}

/* Gives the place of the first byte that is a quote, a backslash or a control character. */
static inline const uint8_t *string_end(const uint8_t *text, int *is_ascii) {
#ifdef __SSE2__
    for (;; text += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)text);
        __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(31)), bytes);
        unsigned stops = (unsigned)_mm_movemask_epi8(_mm_or_si128(controls, _mm_or_si128(quotes, slashes)));
        __m128i deletes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(127));
        unsigned others = (unsigned)_mm_movemask_epi8(_mm_or_si128(bytes, deletes));
        if (stops) {
            int at = __builtin_ctz(stops);
            if (others & ((1u << at) - 1)) *is_ascii = 0;
            return text + at;
        }
        if (others) *is_ascii = 0;
    }
#else
    for (; *text != '"' && *text != '\\' && *text > 31; text++)
        if (*text > 126) *is_ascii = 0;
    return text;
#endif
}

static int read_unit(const uint8_t *text, uint32_t *unit) {
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t digit = (uint8_t)(text[i] - '0'), letter = (uint8_t)((text[i] | 0x20) - 'a');
        if (digit > 9 && letter > 5) return 0;
        *unit = *unit * 16 + (digit > 9 ? letter + 10u : digit);
    }
    return 1;
}

/* Copies a string without its escapes; gives the place after its quote, or NULL where it is not one. `to` has room for
   the line. */
static const uint8_t *unescape(const uint8_t *text, uint8_t *to, size_t *length, int *is_ascii) {
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    uint8_t *start = to;
    for (;;) {
        const uint8_t *end = string_end(text, is_ascii);
        memcpy(to, text, (size_t)(end - text));
        to += end - text;
        if (*end == '"') {
            *length = (size_t)(to - start);
            memset(to, 0, 32);
            return end + 1;
        }
        if (*end != '\\') return NULL;
        const char *name = end[1] ? strchr(NAMES, end[1]) : NULL;
        if (name) {
            *to = (uint8_t)MEANT[name - NAMES];
            if (*to++ < ' ') *is_ascii = 0;
            text = end + 2;
            continue;
        }
        uint32_t unit, low;
        if (end[1] != 'u' || !read_unit(end + 2, &unit)) return NULL;
        text = end + 6;
        if (unit >= 0xD800 && unit < 0xE000) {
            if (unit >= 0xDC00 || text[0] != '\\' || text[1] != 'u' || !read_unit(text + 2, &low)) return NULL;
            if (low < 0xDC00 || low > 0xDFFF) return NULL;
            unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            text += 6;
        }
        if (unit < ' ' || unit > 126) *is_ascii = 0;
        if (unit < 0x80) {
            *to++ = (uint8_t)unit;
        } else if (unit < 0x800) {
            *to++ = (uint8_t)(0xC0 | unit >> 6);
            *to++ = (uint8_t)(0x80 | (unit & 0x3F));
        } else if (unit < 0x10000) {
            *to++ = (uint8_t)(0xE0 | unit >> 12);
            *to++ = (uint8_t)(0x80 | (unit >> 6 & 0x3F));
            *to++ = (uint8_t)(0x80 | (unit & 0x3F));
        } else {
            *to++ = (uint8_t)(0xF0 | unit >> 18);
            *to++ = (uint8_t)(0x80 | (unit >> 12 & 0x3F));
            *to++ = (uint8_t)(0x80 | (unit >> 6 & 0x3F));
            *to++ = (uint8_t)(0x80 | (unit & 0x3F));
        }
    }
}

/* Skips a string, whose first quote was passed. */
static const uint8_t *skip_string(const uint8_t *text) {
    const uint8_t *start = text;
    int is_ascii = 1;
    uint32_t unit;
    for (;;) {
        text = string_end(text, &is_ascii);
        if (*text == '"') break;
        if (*text != '\\' || !text[1]) return NULL;
        if (text[1] == 'u') {
            if (!read_unit(text + 2, &unit)) return NULL;
            text += 6;
        } else if (strchr("\"\\/bfnrt", text[1])) {
            text += 2;
        } else {
            return NULL;
        }
    }
    return is_ascii || is_utf_8(start, text) ? text + 1 : NULL;
}

/* Skips a key's string without escapes, and adds it to those that the object has; NULL if it comes again. */
static const uint8_t *skip_key(const uint8_t *text, Key *keys, int *count) {
    int is_ascii = 1;
    const uint8_t *end = string_end(text, &is_ascii);
    size_t length = (size_t)(end - text);
    if (*end != '"' || !is_ascii || *count == MOST_OTHER_KEYS) return NULL;
    for (int i = 0; i < *count; i++)
        if (keys[i].length == length && !memcmp(keys[i].start, text, length)) return NULL;
    keys[(*count)++] = (Key){text, length};
    return end + 1;
}

static const uint8_t *skip_number(const uint8_t *text) {
    const uint8_t *start = text;
    if (*text == '-') text++;
    if (!is_digit(*text)) return NULL;
    if (*text == '0') text++;
    else while (is_digit(*text)) text++;
    if (*text == '.') {
        if (!is_digit(*++text)) return NULL;
        while (is_digit(*text)) text++;
    }
    if ((*text | 0x20) == 'e') {
        text++;
        if (*text == '-' || *text == '+') text++;
        if (!is_digit(*text)) return NULL;
        while (is_digit(*text)) text++;
    }
    return text - start > LONGEST_NUMBER ? NULL : text;
}

/* Skips a value; NULL where it is none, or is nested too deeply to tell. */
static const uint8_t *skip_value(const uint8_t *text, int depth) {
    if (*text == '"') return skip_string(text + 1);
    if (*text == '{' || *text == '[') {
        int is_object = *text == '{', keys = 0;
        Key key[MOST_OTHER_KEYS];
        if (depth == DEEPEST) return NULL;
        text = skip_space(text + 1);
        if (*text == (is_object ? '}' : ']')) return text + 1;
        for (;;) {
            if (is_object) {
                if (*text != '"' || !(text = skip_key(text + 1, key, &keys))) return NULL;
                text = skip_space(text);
                if (*text != ':') return NULL;
                text = skip_space(text + 1);
            }
            if (!(text = skip_value(text, depth + 1))) return NULL;
            text = skip_space(text);
            if (*text == (is_object ? '}' : ']')) return text + 1;
            if (*text != ',') return NULL;
            text = skip_space(text + 1);
        }
    }
    if (!strncmp((const char *)text, "true", 4) || !strncmp((const char *)text, "null", 4)) return text + 4;
    if (!strncmp((const char *)text, "false", 5)) return text + 5;
    return skip_number(text);
}

/* Reads a value without quotes that is no plain whole number. */
static const uint8_t *read_bare(Scanner *scanner, int index, const uint8_t *text, Row *row, int *status) {
    Column *column = &scanner->column[index];
    const uint8_t *start = text;
    if (!strncmp((const char *)text, "null", 4)) {
        if (!(column->table.flags & OPTIONAL)) return NULL;
        return read_field(column, index, text, 0, 1, row, status) ? text + 4 : NULL;
    }
    if (!(column->table.flags & BARE)) return NULL;
    if (column->table.kind != BOOLEAN) {
        text = skip_number(text);
    } else if (!strncmp((const char *)text, "true", 4) || !strncmp((const char *)text, "false", 5)) {
        text += *text == 't' ? 4 : 5;
    } else {
        if (*text == '0' && is_digit(text[1])) return NULL;
        while (is_digit(*text)) text++;
    }
    if (!text || text == start) return NULL;
    return read_field(column, index, start, (size_t)(text - start), 1, row, status) ? text : NULL;
}

static const uint8_t *read_value(Scanner *scanner, int index, const uint8_t *text, Row *row, int *status) {
    Column *column = &scanner->column[index];
    if (column->table.kind == INTEGER) {
        const uint8_t *start = text;
        if (*text == '-') text++;
        if (*text == '0' && is_digit(text[1])) return NULL;
        while (is_digit(*text)) text++;
        if (text == start) return read_bare(scanner, index, text, row, status);
        return read_field(column, index, start, (size_t)(text - start), 1, row, status) ? text : NULL;
    }
    if (*text != '"') return read_bare(scanner, index, text, row, status);
    if (column->table.kind == WHOLE) return NULL;
    text++;
    int is_ascii = 1;
    const uint8_t *start = text, *end = string_end(text, &is_ascii), *after = end + 1;
    if (*end != '"') {
        size_t length;
        start = scanner->scratch;
        after = unescape(text, scanner->scratch, &length, &is_ascii);
        if (!after) return NULL;
        end = start + length;
    }
    while (start < end && is_blank(*start)) start++;
    while (end > start && is_blank(end[-1])) end--;
    return read_field(column, index, start, (size_t)(end - start), is_ascii, row, status) ? after : NULL;
}

/* Says if an object had all keys that it needs; there is no value for the others. */
static inline int has_all(const Scanner *scanner, uint64_t seen, Row *row) {
    uint64_t lacking = ~seen & (scanner->read_columns == MOST_COLUMNS ? ~0ULL : (1ULL << scanner->read_columns) - 1);
    if (lacking & ~scanner->may_lack) return 0;
    row->nulls |= lacking;
    for (; lacking; lacking &= lacking - 1) row->values[__builtin_ctzll(lacking)] = 0;
    return 1;
}

/* Reads a line; gives the next line's place, or NULL where it is not clean. */
static inline const uint8_t *read_object(Scanner *scanner, const uint8_t *text, Row *row, int *status) {
    Key others[MOST_OTHER_KEYS];
    uint64_t seen = 0;
    int keys = 0, place = 0;
    text = skip_space(text);
    if (*text++ != '{') return NULL;
    for (;; place++) {
        text = skip_space(text);
        if (*text != '"') return NULL;
        /* Mostly the same key as in the line before. */
        int column = place < MOST_COLUMNS ? scanner->column_of[place] : 0;
        const Table *table = &scanner->column[column].table;
        if (memcmp(text, table->name, (size_t)table->name_length)) {
            for (column = 0; column < scanner->read_columns; column++) {
                table = &scanner->column[column].table;
                if (!memcmp(text, table->name, (size_t)table->name_length)) break;
            }
        }
        if (column < scanner->read_columns) {
            if (seen >> column & 1) return NULL;
            seen |= 1ULL << column;
            if (place < MOST_COLUMNS) scanner->column_of[place] = (int16_t)column;
            text += table->name_length;
        } else if (!(text = skip_key(text + 1, others, &keys))) {
            return NULL;
        }
        text = skip_space(text);
        if (*text != ':') return NULL;
        text = skip_space(text + 1);
        text = column < scanner->read_columns ? read_value(scanner, column, text, row, status) : skip_value(text, 0);
        if (!text) return NULL;
        text = skip_space(text);
        if (*text == '}') break;
        if (*text++ != ',') return NULL;
    }
    if (!has_all(scanner, seen, row)) return NULL;
    text = skip_space(text + 1);
    return *text == '\n' ? text + 1 : NULL;
}

/* Gives the column or, less MOST_COLUMNS, the object within, whose key is the text's in an object; -1 for neither. */
static int find_key(const Scanner *scanner, int branch, const uint8_t *text, int expected) {
    for (int i = -1; i < scanner->read_columns; i++) {
        int column = i < 0 ? expected : i;
        const Table *table = &scanner->column[column].table;
        if (scanner->branch_of[column] == branch && !memcmp(text, table->name, (size_t)table->name_length)) return column;
    }
    for (int i = 1; i < scanner->branches; i++) {
        const Branch *inner = &scanner->branch[i];
        if (inner->parent == branch && !memcmp(text, inner->key, inner->length)) return MOST_COLUMNS + i;
    }
    return -1;
}

/* Reads an object of which some values are within others; gives the place after it, or NULL where it is not clean. */
static const uint8_t *read_branch(Scanner *scanner, const uint8_t *text, int branch, Row *row, uint64_t *seen,
                                  int *status) {
    Key others[MOST_OTHER_KEYS];
    int16_t *expected = scanner->column_of + branch * MOST_COLUMNS;
    int keys = 0;
    uint32_t entered = 0;
    if (*text != '{') return NULL;
    text = skip_space(text + 1);
    if (*text == '}') return text + 1;
    for (int place = 0;; place++) {
        if (*text != '"') return NULL;
        int found = find_key(scanner, branch, text, place < MOST_COLUMNS ? expected[place] : 0), inner = 0;
        if (found >= MOST_COLUMNS) {
            inner = found - MOST_COLUMNS;
            if (entered >> inner & 1) return NULL;
            entered |= 1u << inner;
            text += scanner->branch[inner].length;
        } else if (found >= 0) {
            if (*seen >> found & 1) return NULL;
            *seen |= 1ULL << found;
            if (place < MOST_COLUMNS) expected[place] = (int16_t)found;
            text += scanner->column[found].table.name_length;
        } else {
            const uint8_t *key = text + 1;
            if (!(text = skip_key(key, others, &keys))) return NULL;
            /* It may be the whole of a path. */
            if (!branch && memchr(key, '.', (size_t)(text - key))) return NULL;
        }
        text = skip_space(text);
        if (*text != ':') return NULL;
        text = skip_space(text + 1);
        if (found >= 0 && !inner) text = read_value(scanner, found, text, row, status);
        else if (inner && *text == '{') text = read_branch(scanner, text, inner, row, seen, status);
        else text = skip_value(text, 0);
        if (!text) return NULL;
        text = skip_space(text);
        if (*text == '}') return text + 1;
        if (*text != ',') return NULL;
        text = skip_space(text + 1);
    }
}

/* Reads a line, as read_object does, of which some values are within objects. */
static const uint8_t *read_tree(Scanner *scanner, const uint8_t *text, Row *row, int *status) {
    uint64_t seen = 0;
    text = read_branch(scanner, skip_space(text), 0, row, &seen, status);
    if (!text || !has_all(scanner, seen, row)) return NULL;
    text = skip_space(text);
    return *text == '\n' ? text + 1 : NULL;
}

/* Lines of CSV. */

/* The places of the bytes that end a field, or that no plain one has: delimiters, quotes, control characters and all that
   is not ASCII. Reads 64 bytes at a time. */
typedef struct {
    const uint8_t *block;
    uint64_t bits;
} Marks;

#ifdef __SSE2__
static inline uint64_t marks_in_16(const uint8_t *text, __m128i delimiter, __m128i quote) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)text);
    /* One more than a control character, or than DEL and what follows it, is less than one more than a space. */
    __m128i others = _mm_cmplt_epi8(_mm_add_epi8(bytes, _mm_set1_epi8(1)), _mm_set1_epi8(' ' + 1));
    __m128i delimiters = _mm_cmpeq_epi8(bytes, delimiter), quotes = _mm_cmpeq_epi8(bytes, quote);
    return (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_or_si128(others, _mm_or_si128(delimiters, quotes)));
}

static inline uint64_t marks_in(const uint8_t *text, uint8_t delimiter, uint8_t quote) {
    __m128i ends = _mm_set1_epi8((char)delimiter), quotes = _mm_set1_epi8((char)quote);
    return marks_in_16(text, ends, quotes) | marks_in_16(text + 16, ends, quotes) << 16 |
           marks_in_16(text + 32, ends, quotes) << 32 | marks_in_16(text + 48, ends, quotes) << 48;
}
#else
static inline uint64_t marks_in(const uint8_t *text, uint8_t delimiter, uint8_t quote) {
    const uint64_t ones = 0x0101010101010101ULL;
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 8) {
        uint64_t word = load(text + i), low = word & ~TOPS;
        uint64_t delimiters = low ^ ones * delimiter, quotes = low ^ ones * quote;
        /* The top bit of a byte is set where it has a mark: no sum below carries into the next byte. */
        uint64_t found = word | ~(delimiters + ~TOPS) | ~(quotes + ~TOPS) | ~(low + ones * (128 - ' ')) | (low + ones);
        bits |= ((found & TOPS) >> 7) * 0x0102040810204080ULL >> 56 << i;
    }
    return bits;
}
#endif

static inline void start_marks(Marks *marks, const uint8_t *text, uint8_t delimiter, uint8_t quote) {
    marks->block = text;
    marks->bits = marks_in(text, delimiter, quote);
}

static inline const uint8_t *next_mark(Marks *marks, uint8_t delimiter, uint8_t quote) {
    while (!marks->bits) {
        marks->block += 64;
        marks->bits = marks_in(marks->block, delimiter, quote);
    }
    const uint8_t *place = marks->block + __builtin_ctzll(marks->bits);
    marks->bits &= marks->bits - 1;
    return place;
}

static int is_missing(const Dialect *dialect, const uint8_t *text, size_t length) {
    for (int i = 0; i < dialect->words; i++)
        if (is_word(text, length, dialect->word[i].text, dialect->word[i].length)) return 1;
    return 0;
}

/* Writes a number with a point and without separators of thousands, and 32 zeros; gives its length, 0 where a separator
   or a point is misplaced, or there are too many characters. */
static size_t write_plain(const Dialect *dialect, const uint8_t *text, size_t length, uint8_t *to) {
    const uint8_t *start = to, *end = text + length, *separator = dialect->thousands;
    size_t width = dialect->thousands_length, digits = 0;
    int is_grouped = 0;
    if (length > LONGEST_WRITTEN) return 0;
    if (text < end && *text == '-') *to++ = *text++;
    for (;; is_grouped = 1, digits = 0, text += width) {
        for (; text < end && (uint8_t)(*text - '0') < 10; digits++) *to++ = *text++;
        if (is_grouped && digits != 3) return 0;
        if (!width || (size_t)(end - text) < width || memcmp(text, separator, width)) break;
        if (!digits || digits > 3) return 0;
    }
    for (; text < end; text++) {
        uint8_t byte = *text == dialect->decimal ? '.' : *text;
        if ((*text == '.' && dialect->decimal != '.') || (width && *text == separator[0])) return 0;
        if (is_grouped && byte != '.' && (uint8_t)(byte - '0') > 9) return 0;
        *to++ = byte;
    }
    memset(to, 0, 32);
    return (size_t)(to - start);
}

/* Reads a field as read_field does, of a dialect in which it may be written otherwise. */
static int read_written(Scanner *scanner, int index, const uint8_t *text, size_t length, int is_ascii, Row *row,
                        int *status) {
    const Dialect *dialect = &scanner->dialect;
    uint8_t plain[LONGEST_WRITTEN + 32];
    if (is_missing(dialect, text, length)) {
        length = 0;
    } else if (length && dialect->numbers >> index & 1) {
        if (!(length = write_plain(dialect, text, length, plain))) return 0;
        text = plain;
    }
    return read_field(&scanner->column[index], index, text, length, is_ascii, row, status);
}

/* Reads a line without quotes, spaces round fields and characters other than ASCII; gives the next line's place, or
   NULL where it is not one. */
static inline __attribute__((always_inline)) const uint8_t *
read_plain(Scanner *scanner, Marks *marks, const uint8_t *text, uint8_t delimiter, uint8_t quote, int is_written,
           Row *row, int *status) {
    int last = scanner->fields - 1;
    for (int field = 0;; field++) {
        const uint8_t *end = next_mark(marks, delimiter, quote);
        if (field < last) {
            if (*end != delimiter) return NULL;
        } else if (*end == '\r') {
            const uint8_t *next = next_mark(marks, delimiter, quote);
            if (next != end + 1 || *next != '\n') return NULL;
        } else if (*end != '\n') {
            return NULL;
        }
        int column = scanner->column_of[field];
        if (column >= 0) {
            size_t length = (size_t)(end - text);
            if (length && (*text == ' ' || end[-1] == ' ')) return NULL;
            if (is_written) {
                if (!read_written(scanner, column, text, length, 1, row, status)) return NULL;
            } else if (!read_field(&scanner->column[column], column, text, length, 1, row, status)) {
                return NULL;
            }
        }
        if (field == last) return *end == '\r' ? end + 2 : end + 1;
        text = end + 1;
    }
}

/* The same for the most frequent dialect, whose marks are known to the compiler, and for any. */
static const uint8_t *read_common(Scanner *scanner, Marks *marks, const uint8_t *text, Row *row, int *status) {
    return read_plain(scanner, marks, text, ',', '"', 0, row, status);
}

static const uint8_t *read_any(Scanner *scanner, Marks *marks, const uint8_t *text, Row *row, int *status) {
    return read_plain(scanner, marks, text, scanner->dialect.delimiter, scanner->dialect.quote, 1, row, status);
}

/* Reads a line of nothing but whole numbers without a sign, up to 16 digits long, as read_plain does; some may be Unix
   time. */
static inline const uint8_t *read_numbers(Scanner *scanner, const uint8_t *text, Row *row) {
    Whole *field = scanner->whole, *last = field + scanner->fields - 1;
    uint8_t delimiter = scanner->dialect.delimiter;
    for (;; field++) {
        int64_t number;
        text = field->is_repeated ? read_again(field, text, &number) : read_number(text, &number);
        if (!text || number < field->least || number > field->most) return NULL;
        row->values[field->column] = number * field->unit;
        if (field == last) break;
        if (*text++ != delimiter) return NULL;
    }
    if (*text == '\r') text++;
    return *text == '\n' ? text + 1 : NULL;
}

static int is_utf_8(const uint8_t *text, const uint8_t *end) {
    while (text < end) {
        uint8_t first = *text++;
        if (first < 0x80) continue;
        int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        if (first < 0xC2 || first > 0xF4 || end - text < more) return 0;
        if (first == 0xE0 && *text < 0xA0) return 0;
        if (first == 0xED && *text > 0x9F) return 0;
        if (first == 0xF0 && *text < 0x90) return 0;
        if (first == 0xF4 && *text > 0x8F) return 0;
        for (; more; more--)
            if ((*text++ & 0xC0) != 0x80) return 0;
    }
    return 1;
}

static inline int is_blank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

static inline int is_round(const Dialect *dialect, uint8_t byte) { return is_blank(byte) && byte != dialect->delimiter; }

/* Gives the place after the field that begins at `text`, with the text within its quotes and spaces from `start` to
   `end`; NULL where a quote is badly placed, or one within the text. */
static const uint8_t *next_field(const Dialect *dialect, const uint8_t *text, const uint8_t *line_end,
                                 const uint8_t **start, const uint8_t **end) {
    const uint8_t *from = text, *after;
    while (from < line_end && is_round(dialect, *from)) from++;
    if (dialect->quote && from < line_end && *from == dialect->quote) {
        from++;
        const uint8_t *quote = memchr(from, dialect->quote, (size_t)(line_end - from));
        if (!quote) return NULL;
        *end = quote;
        for (after = quote + 1; after < line_end && is_round(dialect, *after);) after++;
        if (after < line_end && *after != dialect->delimiter) return NULL;
    } else {
        after = memchr(from, dialect->delimiter, (size_t)(line_end - from));
        if (!after) after = line_end;
        if (dialect->quote && memchr(from, dialect->quote, (size_t)(after - from))) return NULL;
        *end = after;
    }
    while (from < *end && is_blank(*from)) from++;
    while (*end > from && is_blank((*end)[-1])) (*end)--;
    *start = from;
    return after;
}

/* Reads a line that may have quotes and spaces round its fields, and known texts that are not ASCII. */
static int read_dressed(Scanner *scanner, const uint8_t *text, const uint8_t *line_end, Row *row, int *status) {
    const Dialect *dialect = &scanner->dialect;
    while (line_end > text && line_end[-1] == '\r') line_end--;
    for (const uint8_t *at = text; at < line_end; at++)
        if (((*at < ' ' && *at != '\t') || *at == 127) && *at != dialect->delimiter) return 0;
    for (int field = 0; field < scanner->fields; field++) {
        const uint8_t *start, *end, *after = next_field(dialect, text, line_end, &start, &end);
        if (!after || (after == line_end) != (field == scanner->fields - 1)) return 0;
        int column = scanner->column_of[field], is_ascii = 1;
        for (const uint8_t *at = start; at < end; at++) is_ascii &= *at >= ' ' && *at < 127;
        if (column < 0) {
            if (!is_ascii && !is_utf_8(start, end)) return 0;
        } else if (!read_written(scanner, column, start, (size_t)(end - start), is_ascii, row, status)) {
            return 0;
        }
        text = after + 1;
    }
    return 1;
}

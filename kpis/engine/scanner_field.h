/* The field of a line: its column's value. */

/* Reads a whole number that may have a point or an exponent. */
static int read_scientific(const uint8_t *text, size_t length, int64_t *value) {
    const uint8_t *end = text + length;
    int is_negative = length && *text == '-', digits = 0, zeros = 0;
    int64_t number = 0;
    text += is_negative;
    const uint8_t *start = text;
    for (; text < end && is_digit(*text); text++, digits++) number = digits < 18 ? number * 10 + (*text - '0') : 0;
    if (text == start) return 0;
    if (text < end && *text == '.')
        for (text++; text < end && is_digit(*text); text++, digits++, zeros--)
            number = digits < 18 ? number * 10 + (*text - '0') : 0;
    if (digits > 18) return 0;
    if (text < end && (*text | 0x20) == 'e') {
        int exponent = 0, places = 0;
        text++;
        if (text < end && *text == '+') text++;
        for (; text < end && is_digit(*text) && places < 3; text++, places++) exponent = exponent * 10 + (*text - '0');
        if (!places) return 0;
        zeros += exponent;
    }
    if (text != end) return 0;
    for (; zeros < 0; zeros++, number /= 10)
        if (number % 10) return 0;
    for (; zeros > 0 && number; zeros--)
        if (__builtin_mul_overflow(number, 10, &number)) return 0;
    *value = is_negative ? -number : number;
    return 1;
}

/* Reads a field of a kind that is none of the most frequent ones. */
static __attribute__((noinline)) int read_other(Column *column, int index, const uint8_t *text, size_t length, Row *row) {
    const Table *table = &column->table;
    int64_t *value = &row->values[index];
    switch (table->kind) {
    case WHOLE:
        if (!read_integer(text, length, value) &&
            !(table->flags & SCIENTIFIC && read_scientific(text, length, value)))
            return 0;
        if (is_unknown(table, *value)) {
            row->nulls |= 1ULL << index;
            *value = 0;
            return 1;
        }
        return *value >= table->least && *value <= table->most;
    case BOOLEAN:
        for (int word = 0, start = 0; word < column->words->count; start = column->words->ends[word++])
            if (is_word(text, length, column->words->bytes + start, (size_t)(column->words->ends[word] - start))) {
                *value = column->words->numbers[word];
                return 1;
            }
        return 0;
    case ISO_TIME:
        return read_iso_time(column, text, length, value);
    case WRITTEN_TIME:
        return read_written_time(column, text, length, value);
    case UNIX_TIME:
        return read_unix_time(table, text, length, value);
    }
    return 0;
}

/* Gives 1 with the column's value in the row, 0 where the field is not clean. `is_ascii` says that all its characters
   are printable ASCII. Reads up to 24 bytes from its start, and up to 8 beyond its end. Calling it takes an eighth of a
   scan, so it is inlined although it is large. */
static inline __attribute__((always_inline)) int read_field(Column *column, int index, const uint8_t *text,
                                                            size_t length, int is_ascii, Row *row, int *status) {
    const Table *table = &column->table;
    int64_t *value = &row->values[index];
    if (!length) {
        if (!(table->flags & OPTIONAL)) return 0;
        row->nulls |= 1ULL << index;
        *value = 0;
        return 1;
    }
    switch (table->kind) {
    case INTEGER:
        return read_integer(text, length, value) && *value >= table->least && *value <= table->most;
    case DECIMAL:
        if (!read_decimal(text, length, value)) return 0;
        if (is_unknown(table, *value)) {
            row->nulls |= 1ULL << index;
            return 1;
        }
        return *value >= table->least && *value <= table->most;
    case POSTAL_CODE: {
        uint64_t number;
        if (length > 2 && text[length - 1] == '0' && text[length - 2] == '.') {
            length -= 2;
            if (!read_digits(text, length, &number)) return 0;
        } else if (memchr(text, '.', length)) {
            return 0;
        }
    } /* fall through */
    case TEXT:
        if (!is_ascii) {
            /* Known ones were judged before. */
            const TextSlot *slot = find_text(&column->texts, words_of(text, length), text);
            *value = (int64_t)slot->number - 1;
            return slot->number != 0;
        }
        if ((int64_t)length > table->most) return 0;
        *value = table->flags & NEEDED ? intern(&column->texts, text, length, status) : 0;
        return *value >= 0;
    case CHOICE:
        for (uint32_t word = 1; word < column->texts.count; word++) {
            const uint8_t *start = text_at(&column->texts, word);
            *value = word;
            if (is_word(text, length, start, (size_t)column->texts.ends[word] - (start - column->texts.bytes))) return 1;
        }
        return 0;
    case ID: {
        uint8_t bytes[24];
        if (length != 36 || !read_id(text, bytes)) return 0;
        *value = table->flags & NEEDED ? intern(&column->texts, bytes, 16, status) : 0;
        return *value >= 0;
    }
    case DATE:
        return length == 10 && read_date(text, value);
    case CLOCK:
        return length == 8 && read_clock(text, value);
    case MONTH_FIRST:
        return length == 20 && read_month_first(column, text, value);
    }
    return read_other(column, index, text, length, row);
}

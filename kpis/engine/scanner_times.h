/* Times: ISO 8601, layouts of strptime's directives, Unix time, and the UTC time of a zone's local time. A value is the
   microseconds since 1970, in UTC; what is below one is cut off. */

#define SECOND 1000000LL
#define MOST_PIECES 64

/* A change of a zone's offset: local times before `until` have the offset before it, those from `since` on its own. */
typedef struct {
    int64_t until, since, offset;
} Change;

/* The changes in their order, the first of them at 0, and one more at the end of what is known; `at` is the last one
   that was used. */
struct Zone {
    int count, at;
    Change changes[];
};

/* Pieces of a layout: what each reads, and its argument. A PART has one digit or two, a FIXED_PART two. */
enum piece { LITERAL = 0, YEAR = 1, SHORT_YEAR = 2, PART = 3, FIXED_PART = 4, MONTH_NAME = 5, LONG_MONTH_NAME = 6,
             HALF = 7, FRACTION = 8, OFFSET = 9 };
enum part { MONTH = 0, DAY = 1, HOUR = 2, MINUTE = 3, SECONDS = 4 };

/* The parts of a time; `half` is 1 before noon and 2 after it, where hours go to 12. */
typedef struct {
    int high, low, half, has_offset; /* the year's digits */
    int part[5];
    int64_t micro, offset;
} Parts;

typedef struct {
    uint8_t what, argument;
} Piece;

/* A layout, and where all its parts mostly have all their digits, its texts' length and the places of the parts: bytes
   that are digits, and those that are literals, as masks over the text with '0' for digits. */
struct Layout {
    int count, length;
    Piece piece[MOST_PIECES];
    int8_t at[6]; /* the year, then the parts; -1 for none */
    uint64_t expected[3], literals[3], digits[3];
};

static Zone *new_zone(int count, const Change *changes) {
    Zone *zone = malloc(sizeof *zone + (size_t)count * sizeof *changes);
    if (!zone) return NULL;
    zone->count = count - 1;
    zone->at = 0;
    memcpy(zone->changes, changes, (size_t)count * sizeof *changes);
    return zone;
}

/* Gives the UTC time of a local one; 0 where there is none, or where it is not known. */
static inline int to_utc(Zone *zone, int64_t local, int64_t *utc) {
    const Change *change = &zone->changes[zone->at];
    if (local < change->since || local >= change[1].until) {
        if (local < 0 || local >= zone->changes[zone->count].until) return 0;
        int low = 0, high = zone->count;
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (local < zone->changes[middle].until)
                high = middle;
            else
                low = middle;
        }
        change = &zone->changes[low];
        if (local < change->since) return 0;
        zone->at = low;
    }
    *utc = local - change->offset;
    return 1;
}

static Layout *new_layout(int count, const uint8_t *program) {
    if (count > MOST_PIECES) return NULL;
    Layout *layout = calloc(1, sizeof *layout);
    if (!layout) return NULL;
    layout->count = count;
    memset(layout->at, -1, sizeof layout->at);
    int length = 0;
    uint8_t expected[24] = {0}, literals[24] = {0}, digits[24] = {0};
    for (int i = 0; i < count; i++) {
        Piece piece = layout->piece[i] = (Piece){program[2 * i], program[2 * i + 1]};
        int width = piece.what == LITERAL ? 1 : piece.what == YEAR ? 4 : piece.what == PART || piece.what == FIXED_PART ? 2 : 24;
        if (length < 0 || length + width > 24) {
            length = -1;
            continue;
        }
        if (piece.what == YEAR) layout->at[0] = (int8_t)length;
        if (width == 2) layout->at[1 + piece.argument] = (int8_t)length;
        memset(expected + length, width == 1 ? piece.argument : '0', (size_t)width);
        memset((width == 1 ? literals : digits) + length, 0xFF, (size_t)width);
        length += width;
    }
    layout->length = length > 0 && layout->at[0] >= 0 && layout->at[1] >= 0 && layout->at[2] >= 0 ? length : -1;
    memcpy(layout->expected, expected, 24);
    memcpy(layout->literals, literals, 24);
    memcpy(layout->digits, digits, 24);
    return layout;
}

static inline int digits_at(const uint8_t *text) { return (text[0] - '0') * 10 + text[1] - '0'; }

/* Gives the time of its parts; mostly of the day that came before. */
static inline int time_of(Column *column, const Parts *parts, int64_t *value) {
    int hour = parts->part[HOUR], month = parts->part[MONTH], day = parts->part[DAY];
    if (parts->half) {
        if (hour < 1 || hour > 12) return 0;
        hour = hour % 12 + 12 * (parts->half - 1);
    }
    if ((unsigned)hour > 23 || (unsigned)parts->part[MINUTE] > 59 || (unsigned)parts->part[SECONDS] > 59) return 0;
    /* Never 0, as before the first day. */
    uint64_t key = 1ULL << 32 | (uint64_t)(parts->high * 100 + parts->low) << 16 | (uint64_t)(month & 0xFF) << 8 | (day & 0xFF);
    if (key != column->day_low) {
        int64_t days;
        if (!days_of(parts->high, parts->low, month, day, &days)) return 0;
        column->day_low = key;
        column->day = days * 86400;
    }
    int64_t seconds = column->day + hour * 3600 + parts->part[MINUTE] * 60 + parts->part[SECONDS];
    int64_t local = seconds * SECOND + parts->micro;
    if (parts->has_offset)
        *value = local - parts->offset;
    else if (!column->zone)
        *value = local;
    else if (!to_utc(column->zone, local, value))
        return 0;
    return *value >= column->table.least && *value <= column->table.most;
}

/* Reads one to nine digits, of which six count; gives the place after them, or NULL. */
static const uint8_t *read_fraction(const uint8_t *text, const uint8_t *end, int64_t *micro) {
    int count = 0;
    *micro = 0;
    for (; text < end && is_digit(*text); text++, count++)
        if (count < 6) *micro = *micro * 10 + (*text - '0');
    if (!count || count > 9) return NULL;
    if (count < 6) *micro *= POWER_OF_TEN[6 - count];
    return text;
}

/* Reads Z, +hh, +hhmm or +hh:mm; gives the place after it, or NULL. */
static const uint8_t *read_offset(const uint8_t *text, const uint8_t *end, Parts *parts) {
    if (text == end) return NULL;
    parts->has_offset = 1;
    parts->offset = 0;
    if (*text == 'Z') return text + 1;
    int is_negative = *text == '-', hours, minutes = 0;
    if ((!is_negative && *text != '+') || end - text < 3 || (hours = two_digits(text + 1)) < 0) return NULL;
    text += 3;
    int has_colon = text < end && *text == ':';
    if (end - text >= 2 + has_colon && (minutes = two_digits(text + has_colon)) >= 0)
        text += 2 + has_colon;
    else
        minutes = 0;
    if (hours > 23 || minutes > 59) return NULL;
    parts->offset = (hours * 60 + minutes) * 60 * SECOND;
    if (is_negative) parts->offset = -parts->offset;
    return text;
}

static inline int read_iso_time(Column *column, const uint8_t *text, size_t length, int64_t *value) {
    Parts parts = {0};
    const uint8_t *end = text + length, *at = text + 16;
    /* yyyy-mm-ddThh:mm */
    uint64_t date = load(text) ^ 0x2D30302D30303030ULL, clock = load(text + 8) ^ 0x30303A3030003030ULL;
    if ((date & 0xFF0000FF00000000ULL) || not_digits(date & 0x00FFFF00FFFFFFFFULL)) return 0;
    parts.high = digits_at(text);
    parts.low = digits_at(text + 2);
    parts.part[MONTH] = digits_at(text + 5);
    parts.part[DAY] = two_digits(text + 8);
    if (length == 10) return column->table.flags & DAYS ? time_of(column, &parts, value) : 0;
    if (length < 16 || (text[10] != 'T' && text[10] != ' ')) return 0;
    if ((clock & 0x0000FF0000000000ULL) || not_digits(clock & 0xFFFF00FFFF00FFFFULL)) return 0;
    parts.part[HOUR] = digits_at(text + 11);
    parts.part[MINUTE] = digits_at(text + 14);
    if (at < end && *at == ':') {
        if (end - at < 3 || (parts.part[SECONDS] = two_digits(at + 1)) < 0) return 0;
        at += 3;
        if (at < end && (*at == '.' || *at == ',')) {
            at = read_fraction(at + 1, end, &parts.micro);
            if (!at) return 0;
        }
    }
    if (at < end && read_offset(at, end, &parts) != end) return 0;
    return time_of(column, &parts, value);
}

/* Gives the number of a month's name in any case, with its length, from 1; 0 for none. */
static int read_month_name(const uint8_t *text, size_t room, int is_long, size_t *length) {
    static const char *const NAMES[] = {"January", "February", "March", "April", "May", "June", "July", "August",
                                        "September", "October", "November", "December"};
    for (int month = 0; month < 12; month++) {
        *length = is_long ? strlen(NAMES[month]) : 3;
        if (*length > room) continue;
        size_t same = 0;
        while (same < *length && (text[same] | 0x20) == (NAMES[month][same] | 0x20)) same++;
        if (same == *length) return month + 1;
    }
    return 0;
}

/* Reads a time piece by piece. */
static int read_pieces(Column *column, const uint8_t *text, size_t length, int64_t *value) {
    const Layout *layout = column->layout;
    const uint8_t *end = text + length;
    Parts parts = {0};
    for (int i = 0; i < layout->count; i++) {
        int argument = layout->piece[i].argument, number;
        size_t room = (size_t)(end - text), width;
        switch (layout->piece[i].what) {
        case LITERAL:
            if (!room || *text++ != argument) return 0;
            break;
        case YEAR:
            if (room < 4 || (parts.high = two_digits(text)) < 0 || (parts.low = two_digits(text + 2)) < 0) return 0;
            text += 4;
            break;
        case SHORT_YEAR:
            if (room < 2 || (parts.low = two_digits(text)) < 0) return 0;
            parts.high = parts.low >= 69 ? 19 : 20;
            text += 2;
            break;
        case PART:
        case FIXED_PART:
            number = room >= 2 ? two_digits(text) : -1;
            width = 2;
            if (number < 0) {
                if (layout->piece[i].what == FIXED_PART || !room || !is_digit(*text)) return 0;
                number = *text - '0';
                width = 1;
            }
            parts.part[argument] = number;
            text += width;
            break;
        case MONTH_NAME:
        case LONG_MONTH_NAME:
            parts.part[MONTH] = read_month_name(text, room, layout->piece[i].what == LONG_MONTH_NAME, &width);
            if (!parts.part[MONTH]) return 0;
            text += width;
            break;
        case HALF:
            if (room < 2 || (text[1] != 'M' && text[1] != 'm')) return 0;
            parts.half = *text == 'A' || *text == 'a' ? 1 : *text == 'P' || *text == 'p' ? 2 : 0;
            if (!parts.half) return 0;
            text += 2;
            break;
        case FRACTION:
            if (!(text = read_fraction(text, end, &parts.micro))) return 0;
            break;
        case OFFSET:
            if (!(text = read_offset(text, end, &parts))) return 0;
            break;
        }
    }
    return text == end && time_of(column, &parts, value);
}

static inline int read_written_time(Column *column, const uint8_t *text, size_t length, int64_t *value) {
    const Layout *layout = column->layout;
    if ((int)length != layout->length) return read_pieces(column, text, length, value);
    for (int i = 0; i < 3; i++) {
        uint64_t word = load(text + 8 * i) ^ layout->expected[i];
        if ((word & layout->literals[i]) || not_digits(word & layout->digits[i]))
            return read_pieces(column, text, length, value);
    }
    Parts parts = {0};
    parts.high = digits_at(text + layout->at[0]);
    parts.low = digits_at(text + layout->at[0] + 2);
    for (int part = 0; part < 5; part++)
        if (layout->at[part + 1] >= 0) parts.part[part] = digits_at(text + layout->at[part + 1]);
    return time_of(column, &parts, value);
}

/* Reads Unix time, in units of so many microseconds; of whole seconds also with a fraction. */
static inline int read_unix_time(const Table *table, const uint8_t *text, size_t length, int64_t *value) {
    const uint8_t *point = table->unit == SECOND ? memchr(text, '.', length) : NULL;
    uint64_t number;
    int64_t micro = 0;
    if (point && read_fraction(point + 1, text + length, &micro) != text + length) return 0;
    if (!read_digits(text, point ? (size_t)(point - text) : length, &number)) return 0;
    if (__builtin_mul_overflow((int64_t)number, table->unit, value) || *value > table->most - micro) return 0;
    *value += micro;
    return *value >= table->least;
}

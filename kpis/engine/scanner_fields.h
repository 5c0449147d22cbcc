/* Fields: the value of a text by its column's kind, as 64 bits. */

/* A column as scanner.py describes it. Values are whole numbers: decimals in millionths, texts and UUIDs by their
   number in the column's dictionary, where 0 is the empty text, days and seconds since 1970, seconds of a day,
   microseconds since 1970. */
typedef struct {
    int32_t kind, flags;
    int64_t least, most; /* bounds of the value; of a text, its most characters */
    int64_t unit; /* of UNIX_TIME, in microseconds */
    int64_t unknown[MOST_UNKNOWN]; /* the numbers that mean "no value" */
    int32_t unknowns, name_length;
    char name[128]; /* with quotes, as a key in JSON */
} Table;

typedef struct Zone Zone;
typedef struct Layout Layout;

/* BOOLEAN: words that mean a text of the dictionary, by their ends in `bytes` and that text's number. */
typedef struct {
    int count;
    int32_t ends[MOST_WORDS], numbers[MOST_WORDS];
    uint8_t bytes[MOST_WORDS * LONGEST_WORD];
} Words;

typedef struct {
    Table table;
    int64_t fallback; /* the value where there is none */
    Texts texts;
    uint64_t day_low; /* of times with a day: the one that was read last, as text or by its numbers, and its seconds */
    uint32_t day_high;
    int64_t day;
    Zone *zone; /* of local times; NULL for UTC */
    Layout *layout; /* WRITTEN_TIME */
    Words *words; /* BOOLEAN */
    uint8_t *kept; /* KEPT: four or eight bytes a row... */
    uint8_t *kept_nulls; /* ...and 1 where there is no value */
} Column;

/* A field of a line of whole numbers: its column, the column's bounds and unit, and where it mostly has the digits of
   the line before, their number from 8 to 16, the first and the last eight of them, and what they are. */
typedef struct {
    int64_t least, most, unit;
    int32_t column, is_repeated;
    size_t length;
    uint64_t low, high;
    int64_t number;
} Whole;

static const int64_t POWER_OF_TEN[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
#define ZEROS 0x3030303030303030ULL
#define TOPS 0x8080808080808080ULL

/* The number that eight bytes are, each of them a digit's value; the first is the highest. */
static inline uint64_t eight_digits(uint64_t word) {
    word = word * 10 + (word >> 8);
    return (((word & 0x000000FF000000FFULL) * 0x000F424000000064ULL) +
            (((word >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL)) >> 32;
}

/* The bytes of eight, which had '0' taken off each, that are no digits: the first of them is right. */
static inline uint64_t not_digits(uint64_t word) { return ((word + 0x7676767676767676ULL) | word) & TOPS; }

/* Reads a number of 1 to 18 digits. */
static inline int read_digits(const uint8_t *text, size_t length, uint64_t *number) {
    if (length <= 8) {
        if (!length) return 0;
        uint64_t word = (load(text) ^ ZEROS) << (64 - 8 * length);
        if (not_digits(word)) return 0;
        *number = eight_digits(word);
        return 1;
    }
    uint64_t high = load(text) ^ ZEROS;
    if (not_digits(high) || length > 18) return 0;
    high = eight_digits(high);
    if (length <= 16) {
        uint64_t word = (load(text + 8) ^ ZEROS) << (128 - 8 * length);
        if (not_digits(word)) return 0;
        *number = high * (uint64_t)POWER_OF_TEN[length - 8] + eight_digits(word);
        return 1;
    }
    uint64_t middle = load(text + 8) ^ ZEROS, low = (load(text + 16) ^ ZEROS) << (192 - 8 * length);
    if (not_digits(middle) || not_digits(low)) return 0;
    *number = (high * 100000000 + eight_digits(middle)) * (uint64_t)POWER_OF_TEN[length - 16] + eight_digits(low);
    return 1;
}

static inline int read_integer(const uint8_t *text, size_t length, int64_t *value) {
    uint64_t number;
    int is_negative = length && *text == '-';
    if (!read_digits(text + is_negative, length - is_negative, &number)) return 0;
    *value = is_negative ? -(int64_t)number : (int64_t)number;
    return 1;
}

/* Reads up to eleven digits, and up to six after a point, in millionths. */
static inline int read_decimal(const uint8_t *text, size_t length, int64_t *value) {
    int is_negative = length && *text == '-';
    text += is_negative;
    length -= is_negative;
    uint64_t others = not_digits(load(text) ^ ZEROS), whole, part = 0;
    size_t digits = others ? (size_t)__builtin_ctzll(others) >> 3 : 8;
    if (digits == 8)
        while (digits < 12 && (uint8_t)(text[digits] - '0') < 10) digits++;
    if (digits > length) digits = length;
    if (digits > 11 || !read_digits(text, digits, &whole)) return 0;
    if (digits < length) {
        size_t places = length - digits - 1;
        if (text[digits] != '.' || places > 6 || !read_digits(text + digits + 1, places, &part)) return 0;
        part *= (uint64_t)POWER_OF_TEN[6 - places];
    }
    int64_t micro = (int64_t)(whole * 1000000 + part);
    *value = is_negative ? -micro : micro;
    return 1;
}

static inline int is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }

static inline int is_unknown(const Table *table, int64_t number) {
    for (int i = 0; i < table->unknowns; i++)
        if (number == table->unknown[i]) return 1;
    return 0;
}

static inline int two_digits(const uint8_t *text) {
    int high = text[0] - '0', low = text[1] - '0';
    return (unsigned)high < 10 && (unsigned)low < 10 ? high * 10 + low : -1;
}

/* Reads hh:mm:ss. */
static inline int read_clock(const uint8_t *text, int64_t *seconds) {
    int hour = two_digits(text), minute = two_digits(text + 3), second = two_digits(text + 6);
    if (text[2] != ':' || text[5] != ':') return 0;
    if ((unsigned)hour > 23 || (unsigned)minute > 59 || (unsigned)second > 59) return 0;
    *seconds = hour * 3600 + minute * 60 + second;
    return 1;
}

/* Gives the days since 1970 of a day from the year 1000 to 9999. */
static int days_of(int high, int low, int month, int day, int64_t *days) {
    static const int LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const int BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    if (high < 10 || low < 0 || month < 1 || month > 12 || day < 1) return 0;
    int year = high * 100 + low, is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > LENGTHS[month - 1] + (month == 2 && is_leap)) return 0;
    int years = year - 1;
    *days = years * 365LL + years / 4 - years / 100 + years / 400 - 719162;
    *days += BEFORE[month - 1] + (month > 2 && is_leap) + day - 1;
    return 1;
}

/* Reads yyyy-mm-dd. */
static inline int read_date(const uint8_t *text, int64_t *days) {
    if (text[4] != '-' || text[7] != '-') return 0;
    return days_of(two_digits(text), two_digits(text + 2), two_digits(text + 5), two_digits(text + 8), days);
}

/* Reads Mon dd yyyy hh:mm:ss; mostly of the day that came before. */
static inline int read_month_first(Column *column, const uint8_t *text, int64_t *seconds) {
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t low = load(text);
    uint32_t high = load4(text + 8);
    if (low != column->day_low || high != column->day_high) {
        int64_t days;
        int month = 0;
        while (month < 12 && memcmp(MONTHS + 3 * month, text, 3)) month++;
        if (text[3] != ' ' || text[6] != ' ' || text[11] != ' ') return 0;
        if (!days_of(two_digits(text + 7), two_digits(text + 9), month + 1, two_digits(text + 4), &days)) return 0;
        column->day_low = low;
        column->day_high = high;
        column->day = days * 86400;
    }
    int64_t clock;
    if (!read_clock(text + 12, &clock)) return 0;
    *seconds = column->day + clock;
    return 1;
}

#ifdef __SSE2__
/* The eight bytes that sixteen hexadecimal digits of any case are. */
static inline int read_hex(const uint8_t *text, uint64_t *bytes) {
    __m128i chars = _mm_loadu_si128((const __m128i *)text);
    __m128i digits = _mm_sub_epi8(chars, _mm_set1_epi8('0'));
    __m128i letters = _mm_sub_epi8(_mm_or_si128(chars, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
    __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letters, _mm_set1_epi8(5)), letters);
    if (_mm_movemask_epi8(_mm_or_si128(is_digit, is_letter)) != 0xFFFF) return 0;
    __m128i tens = _mm_add_epi8(letters, _mm_set1_epi8(10));
    __m128i halves = _mm_or_si128(_mm_and_si128(is_digit, digits), _mm_andnot_si128(is_digit, tens));
    __m128i even = _mm_slli_epi16(_mm_and_si128(halves, _mm_set1_epi16(0xFF)), 4);
    __m128i whole = _mm_or_si128(even, _mm_srli_epi16(halves, 8));
    *bytes = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(whole, whole));
    return 1;
}
#else
static inline int read_hex(const uint8_t *text, uint64_t *bytes) {
    uint8_t found[8];
    for (int i = 0; i < 16; i++) {
        uint8_t digit = (uint8_t)(text[i] - '0'), letter = (uint8_t)((text[i] | 0x20) - 'a');
        if (digit > 9 && letter > 5) return 0;
        uint8_t half = digit > 9 ? letter + 10 : digit;
        found[i / 2] = i % 2 ? (uint8_t)(found[i / 2] | half) : (uint8_t)(half << 4);
    }
    memcpy(bytes, found, 8);
    return 1;
}
#endif

/* Reads a UUID's 36 characters, of any case, as its sixteen bytes, which are followed by eight zeros. */
static inline int read_id(const uint8_t *text, uint8_t *bytes) {
    uint8_t digits[32];
    uint64_t halves[3] = {0, 0, 0};
    if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') return 0;
    memcpy(digits, text, 8);
    memcpy(digits + 8, text + 9, 4);
    memcpy(digits + 12, text + 14, 4);
    memcpy(digits + 16, text + 19, 4);
    memcpy(digits + 20, text + 24, 12);
    if (!read_hex(digits, &halves[0]) || !read_hex(digits + 16, &halves[1])) return 0;
    memcpy(bytes, halves, 24);
    return 1;
}

static int is_word(const uint8_t *text, size_t length, const uint8_t *word, size_t word_length) {
    if (length != word_length) return 0;
    for (size_t i = 0; i < length; i++) {
        uint8_t letter = text[i], other = word[i];
        if (letter == other) continue;
        uint8_t lower = letter | 0x20;
        if (lower != (other | 0x20) || lower < 'a' || lower > 'z') return 0;
    }
    return 1;
}

/* Reads 1 to 16 digits; gives the place after them, or NULL where there are none or more. */
static inline const uint8_t *read_number(const uint8_t *text, int64_t *number) {
    uint64_t word = load(text) ^ ZEROS, others = not_digits(word);
    if (others) {
        int digits = __builtin_ctzll(others) >> 3;
        *number = digits ? (int64_t)eight_digits(word << (64 - 8 * digits)) : 0;
        return digits ? text + digits : NULL;
    }
    uint64_t high = eight_digits(word);
    word = load(text + 8) ^ ZEROS;
    others = not_digits(word);
    if (!others) {
        *number = (int64_t)(high * 100000000 + eight_digits(word));
        return (uint8_t)(text[16] - '0') < 10 ? NULL : text + 16;
    }
    int digits = __builtin_ctzll(others) >> 3;
    *number = (int64_t)high;
    if (digits) *number = *number * POWER_OF_TEN[digits] + (int64_t)eight_digits(word << (64 - 8 * digits));
    return text + 8 + digits;
}

/* Reads a number that mostly is, to the letter, what it was in the line before. */
static inline const uint8_t *read_again(Whole *field, const uint8_t *text, int64_t *number) {
    size_t length = field->length;
    uint64_t low = load(text);
    if (low == field->low && load(text + length - 8) == field->high && (uint8_t)(text[length] - '0') > 9) {
        *number = field->number;
        return text + length;
    }
    const uint8_t *end = read_number(text, number);
    if (end && end - text >= 8) {
        field->length = (size_t)(end - text);
        field->low = low;
        field->high = load(end - 8);
        field->number = *number;
    }
    return end;
}

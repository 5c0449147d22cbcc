/* The compiled scanner: lines of CSV or JSON, parsed and reduced in one pass, by tables of a feed's columns.

   Only what is provably clean is taken here: a line of exactly the fields that its format needs, each of a form that
   its column's kind has, within its bounds. Every other line is handed out with its number, to be judged one by one by
   the Python code that is the truth; a record that comes of it returns through scanner_add. What scanner.py promises
   of the numbers in the tables is checked there. Little-endian machines only. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the scanner reads eight digits at a time as a little-endian number"
#endif

/* With the slots of what is computed of columns, such as cells of a grid: each has a bit in a word. */
#define MOST_COLUMNS 64
#define MOST_FIELDS 1000
#define MOST_REDUCTIONS 64
#define MOST_CONDITIONS 64
#define MOST_TERMS 4
#define MOST_TOTALS 64
#define MOST_KEYS 5
#define MOST_PARTS 4
#define MOST_PLACES 2
#define MOST_CHECKS 16
#define MOST_UNKNOWN 8
#define MOST_WORDS 32
#define LONGEST_WORD 32
#define MOST_MISSING 16
#define LONGEST_MARK 8
#define MOST_BRANCHES 12
#define LONGEST_KEY 128
#define LONGEST_WRITTEN 64
#define ODD_LINES 4096
#define NO_DAY INT64_MIN
#define NO_BUCKET INT64_MAX
#define BUCKET_BITS 6
#define ROWS 16
#define SMALL_TABLE 16384 /* groups whose table is mostly in the cache */

enum status { DONE = 0, ODD_LINES_FULL = 1, TOO_LARGE = 2, TOO_MANY = 3, NO_MEMORY = 4, NEW_TEXTS = 5 };
enum format { CSV = 0, JSON = 1 };
enum reduction_kind { SUM = 0, DISTINCT = 1, COUNT = 2, MEAN = 3, TOTALS = 4 };
/* What a total is of: the number of rows, or of a column's values: their number, sum, least, largest, the sum of their
   squares, or the newest, of several at one moment the largest. */
enum total_kind { OF_ROWS = 0, OF_VALUES = 1, ADDED = 2, LEAST = 3, LARGEST = 4, SQUARED = 5, NEWEST = 6 };
enum kind {
    INTEGER = 0, DECIMAL = 1, TEXT = 2, CHOICE = 3, POSTAL_CODE = 4, ID = 5, DATE = 6, CLOCK = 7, MONTH_FIRST = 8,
    WHOLE = 9, BOOLEAN = 10, ISO_TIME = 11, WRITTEN_TIME = 12, UNIX_TIME = 13
};
/* NEEDED: the value counts for something, so that texts get numbers. KEPT: the column is handed out, row by row.
   SCIENTIFIC: of WHOLE, also with a point or an exponent. DAYS: of ISO_TIME, also a day alone. BARE: in JSON a value may
   be a number, or of BOOLEAN true or false. */
enum flag { OPTIONAL = 1, NEEDED = 2, KEPT = 4, MISSING = 8, SCIENTIFIC = 16, DAYS = 32, BARE = 64 };

static inline uint64_t load(const uint8_t *text) {
    uint64_t word;
    memcpy(&word, text, 8);
    return word;
}

static inline uint32_t load4(const uint8_t *text) {
    uint32_t word;
    memcpy(&word, text, 4);
    return word;
}

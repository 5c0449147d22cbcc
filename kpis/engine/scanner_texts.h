/* Dictionaries: the distinct texts of a column, numbered in the order in which they first come. */

typedef struct {
    uint64_t low, high; /* the text where it has 16 bytes at most, with zeros behind it; else its start and a hash */
    uint32_t length, number; /* the number and one more, or 0 */
} TextSlot;

typedef struct {
    TextSlot *slots;
    uint32_t count, capacity, mask;
    int64_t *ends; /* of each text in `bytes`, where they follow each other */
    uint8_t *bytes;
    size_t room;
} Texts;

/* The first so many bytes of a word, 8 at most. */
static inline uint64_t first_bytes(uint64_t word, size_t count) {
    return count >= 8 ? word : word & ((1ULL << (8 * count)) - 1);
}

static inline TextSlot words_of(const uint8_t *text, size_t length) {
    TextSlot words = {first_bytes(load(text), length), 0, (uint32_t)length, 0};
    if (length > 16) {
        for (size_t at = 8; at < length; at += 8) {
            uint64_t word = first_bytes(load(text + at), length - at);
            words.high = (words.high ^ words.high >> 31 ^ word) * 0xD6E8FEB86659FD93ULL;
        }
    } else if (length > 8) {
        words.high = first_bytes(load(text + 8), length - 8);
    }
    return words;
}

static inline uint32_t hash_words(TextSlot words) {
    uint64_t mixed = (words.low ^ words.low >> 32) * 0xBF58476D1CE4E5B9ULL + words.high + words.length;
    mixed = (mixed ^ mixed >> 29) * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(mixed >> 32);
}

static inline const uint8_t *text_at(const Texts *texts, uint32_t number) {
    return texts->bytes + (number ? texts->ends[number - 1] : 0);
}

/* Gives the slot that has the text, or the empty one where it belongs. */
static inline TextSlot *find_text(const Texts *texts, TextSlot words, const uint8_t *text) {
    for (uint32_t at = hash_words(words) & texts->mask;; at = (at + 1) & texts->mask) {
        TextSlot *slot = &texts->slots[at];
        if (!slot->number) return slot;
        if (slot->low != words.low || slot->high != words.high || slot->length != words.length) continue;
        if (words.length <= 16 || !memcmp(text_at(texts, slot->number - 1), text, words.length)) return slot;
    }
}

static int grow_texts(Texts *texts) {
    uint32_t capacity = texts->capacity ? texts->capacity * 2 : 64, mask = capacity * 2 - 1;
    if (texts->capacity >= 1u << 25) return TOO_MANY;
    TextSlot *slots = calloc((size_t)mask + 1, sizeof *slots);
    int64_t *ends = realloc(texts->ends, capacity * sizeof *ends);
    if (ends) texts->ends = ends;
    if (!slots || !ends) {
        free(slots);
        return NO_MEMORY;
    }
    for (uint32_t at = 0; texts->slots && at <= texts->mask; at++) {
        if (!texts->slots[at].number) continue;
        uint32_t to = hash_words(texts->slots[at]) & mask;
        while (slots[to].number) to = (to + 1) & mask;
        slots[to] = texts->slots[at];
    }
    free(texts->slots);
    texts->slots = slots;
    texts->capacity = capacity;
    texts->mask = mask;
    return DONE;
}

/* Gives the text's number; -1 with a status if it cannot be added. Reads up to 8 bytes beyond the text. */
static inline int64_t intern(Texts *texts, const uint8_t *text, size_t length, int *status) {
    TextSlot words = words_of(text, length), *slot = find_text(texts, words, text);
    if (slot->number) return slot->number - 1;
    if (texts->count == texts->capacity) {
        *status = grow_texts(texts);
        if (*status) return -1;
        slot = find_text(texts, words, text);
    }
    size_t start = texts->count ? (size_t)texts->ends[texts->count - 1] : 0;
    if (start + length >= texts->room) {
        size_t room = 2 * texts->room + length + 4096;
        uint8_t *bytes = realloc(texts->bytes, room);
        if (!bytes) {
            *status = NO_MEMORY;
            return -1;
        }
        texts->bytes = bytes;
        texts->room = room;
    }
    memcpy(texts->bytes + start, text, length);
    texts->ends[texts->count] = (int64_t)(start + length);
    *slot = words;
    slot->number = ++texts->count;
    return slot->number - 1;
}

static void free_texts(Texts *texts) {
    free(texts->slots);
    free(texts->ends);
    free(texts->bytes);
}

// What the readers of both of Firefox's formats share: columns of numbers, and who ran. Private to
// them.
//
//     firefox.c        as Firefox Profiler saves it ("processed")
//     gecko.c          as Firefox itself and others write it for Firefox Profiler to process
//     gecko_tables.c   gecko's tables, by rows
//     gecko_frames.c   what the text of one of gecko's frames means
#ifndef HONE_CONVERT_FIREFOX_PARTS_H
#define HONE_CONVERT_FIREFOX_PARTS_H

#include "convert/build.h"
#include "convert/json.h"

enum { HONE_FIREFOX_THREADS_MAX = 1 << 16 };

// A column of a table: what is null or not there is INT64_MIN.
struct hone_column {
    int64_t *at;
    uint32_t count;
    uint32_t room;
};

// False: memory is out.
bool hone_column_add(struct hone_column *column, int64_t value);
void hone_column_done(struct hone_column *column);

static inline int64_t hone_column_at(const struct hone_column *column, int64_t place)
{
    return place >= 0 && place < column->count ? column->at[place] : INT64_MIN;
}

// The entries of an array: numbers, or for strings the numbers of theirs in the profile.
int hone_column_read(struct hone_json *json, struct hone_profile *profile,
                     struct hone_column *column);

// A string, which gets its number in the profile; others are skipped, and *ret stays.
int hone_firefox_read_text(struct hone_json *json, struct hone_profile *profile, uint32_t *ret);

// A number, or a text that is one; others are 0.
int hone_firefox_read_id(struct hone_json *json, struct hone_profile *profile, int64_t *ret);

// Whose samples they are. The texts are strings of the profile; 0 unknown.
struct hone_firefox_who {
    uint32_t process;
    uint32_t thread;
    int64_t pid;
    int64_t tid;
};
uint32_t hone_firefox_labels(struct hone_profile *profile, const struct hone_firefox_who *who);

static inline int64_t hone_firefox_line(int64_t value)
{
    return value > 0 && value < INT32_MAX ? value : 0;
}

// gecko_tables.c: where the parts of a table are; NULL: not there.
struct hone_gecko_table {
    const char *schema;
    const char *data;
};
int hone_gecko_find_table(struct hone_json *json, struct hone_gecko_table *ret);

// A column that is wanted, and where it goes.
struct hone_gecko_wanted {
    const char *name;
    struct hone_column *to;
    uint32_t column; // is found out
};

// An entry for each row in each column that is wanted: numbers only.
int hone_gecko_read_table(struct hone_json *json, const struct hone_gecko_table *table,
                          struct hone_gecko_wanted *wanted, size_t count);

// gecko_frames.c: libraries of a process, by address.
struct hone_gecko_library {
    uint64_t start;
    uint64_t end;
    uint32_t mapping;
};
struct hone_gecko_libraries {
    struct hone_gecko_library *at;
    uint32_t count;
    uint32_t room;
};

// An array of them. Adds mappings.
int hone_gecko_read_libraries(struct hone_json *json, struct hone_profile *profile,
                              struct hone_gecko_libraries *ret);
void hone_gecko_libraries_done(struct hone_gecko_libraries *libraries);

// The location of a frame with that text, and a line where it has one of its own (else 0).
uint32_t hone_gecko_locate(struct hone_profile *profile,
                           const struct hone_gecko_libraries *libraries, struct hone_str text,
                           int64_t line);

#endif

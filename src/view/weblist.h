// The page of sources and machine code: what is shown on each line. Private to weblist*.c.
#ifndef HONE_VIEW_WEBLIST_H
#define HONE_VIEW_WEBLIST_H

#include "symbol/source.h"
#include "view/code.h"

// A place in a source file where the shown instruction was inlined from.
struct hone_weblist_call {
    struct hone_str file;
    uint32_t line;
};

// One instruction at the line that shows it, or a place of the profile without machine code.
struct hone_weblist_spot {
    struct hone_str file; // shortest path; empty when unknown
    struct hone_str function;
    uint32_t line; // 0 unknown
    uint32_t number;
    int64_t flat;
    int64_t cum;
    struct hone_str text; // the instruction; at is NULL where there is none
    uint64_t vaddr;
    uint32_t size;
    struct hone_weblist_call own;    // where the instruction itself comes from
    struct hone_weblist_call *calls; // from the line that shows it inwards
    uint32_t call_count;
};

struct hone_weblist {
    struct hone_code code;
    struct hone_source *source;
    struct hone_arena arena;
    struct hone_weblist_spot *spots; // by file, line and number
    uint32_t spot_count;
    uint32_t spot_room;
    uint32_t left_out; // routines, because there are too many
};

// Fills spots. Returns 0 or a negative errno with err filled.
int hone_weblist_collect(struct hone_weblist *list, struct hone_error *err);

#endif

// The parts of a comparison, for each other: runs, their rows and who meets whom. Not for others:
// compare.h is.
#ifndef HONE_ANALYSE_COMPARE_PARTS_H
#define HONE_ANALYSE_COMPARE_PARTS_H

#include "analyse/compare.h"
#include "analyse/nodes.h"
#include "analyse/weights.h"
#include "base/table.h"

struct hone_profile;

// What a run's samples weigh in one row.
struct hone_compare_sum {
    struct hone_judge_sum flat;
    struct hone_judge_sum cum;
    double flat_inlined;
    double cum_inlined;
};

struct hone_compare_run {
    const struct hone_profile *profile;
    uint32_t type;
    uint32_t side;
    struct hone_nodes nodes; // whose numbers are rows once hone_compare_rows() is done
    struct hone_weights weights;
    struct hone_compare_sum *sums; // by row
};

// A row while it is being found.
struct hone_compare_found {
    struct hone_str name;
    struct hone_str file[2]; // by side
    int64_t start_line[2];
    uint32_t seen;   // bit of each side that has it
    uint32_t joined; // the row that it became a part of; its own number if none
    enum hone_compare_match match;
    uint32_t caller; // of a row that is gone: who called it most, or HONE_COMPARE_NO_ROW
};

#define HONE_COMPARE_NO_ROW UINT32_MAX

struct hone_compare_build {
    const struct hone_compare_options *options;
    struct hone_arena *text;
    struct hone_compare_run *runs; // base's first
    uint32_t run_count;
    struct hone_compare_found *found;
    uint32_t found_count;
    uint32_t found_room;
    struct hone_table names;
};

// Finds the rows of all runs by name, and adds up what each run's samples weigh in them
// (compare_rows.c). Returns 0 or -ENOMEM.
int hone_compare_rows(struct hone_compare_build *build);

// Joins functions that only the base has with functions that only the new side has where the
// evidence allows (compare_match.c). Returns 0 or -ENOMEM.
int hone_compare_join(struct hone_compare_build *build);

// What a name is without what a compiler appends (".cold", ".isra.0", a Rust hash) and without its
// parameters.
struct hone_str hone_compare_stem(struct hone_str name);

#endif

// Whether two sides differ: the statistics of a comparison, on plain numbers.
//
// A side is one or several runs. Of each run and each row (a function, a line, …) it wants what the
// row's samples weigh and their number: samples come and go by chance as a Poisson variable does.
// From that
//
//   - a row is judged by the exact test for two Poisson rates, so that rows of three samples are
//     not called different more often than rows of three thousand;
//   - with several runs on a side, what the runs of a side differ by is held against what chance
//     in sampling explains. Where it is more, counts are worth that much less. How much more is
//     estimated for each row and drawn towards what all rows show together, as far as they agree
//     (Smyth 2004, "moderated t"): two runs alone say little, two runs of a hundred rows say more.
//     The number of runs enters by Student's t;
//   - how much runs differ as a whole (a slower machine) is taken apart from how they are made up,
//     for it moves all rows at once and so is known from the few runs only;
//   - verdicts are corrected for the many rows by Holm's method: at most in `error` of all
//     comparisons without a difference is any row called different. A list of functions that is
//     read one by one, or breaks a build, must not name wrong ones; a method that lets one in
//     twenty of those named be wrong (Benjamini and Hochberg) would. What makes many rows cheap
//     is that those whose samples are too few to ever tell, however they were divided, are not
//     counted (Tarone 1990).
//
// The error is shared out: two fifths to the whole, three fifths to all rows together, so that in
// 95 of 100 comparisons without a difference nothing at all is called one.
//
// Intervals are Bonferroni's and hold for all rows together; that of a row which Holm's method
// calls different ends at 0 where Bonferroni's would cross it, so the two never contradict.
#ifndef HONE_ANALYSE_JUDGE_H
#define HONE_ANALYSE_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

enum hone_verdict {
    HONE_VERDICT_UNKNOWN, // cannot tell
    HONE_VERDICT_MORE,
    HONE_VERDICT_LESS,
};

// Samples of weight w: their sum and the sum of their squares, which is its variance.
struct hone_judge_sum {
    double value;
    double squares;
};

struct hone_judge_sides {
    uint32_t runs[2]; // of base and new, each at least 1
    uint32_t row_count;
    const struct hone_judge_sum *whole;    // by run, base's first
    const struct hone_judge_sum *rows;     // by row and run: rows[row * runs + run]
    const struct hone_judge_sum *disjoint; // the same, of rows that share no sample; may be rows
    const double *exposure; // by run: what values are divided by, such as seconds; NULL: by the run
    bool share;             // compare shares of the whole instead
    double error;
    bool verdicts_only; // no limits of rows, which cost most
};

struct hone_judge_row {
    double value[2]; // a run's, a second's or the share
    double change;   // relative to the base: 0.1 is 10 % more; INFINITY from nothing
    double low;      // of the change
    double high;
    double chance; // that chance alone makes such a difference, of this row alone
    enum hone_verdict verdict;
    bool tested; // had samples enough to ever tell
};

struct hone_judge {
    struct hone_judge_row whole; // of shares it says nothing
    struct hone_judge_row *rows;
    uint32_t tested;   // rows that could be told
    double df;         // runs beyond one a side: 0, and nothing is known of how runs differ
    double run_spread; // how much runs differ as a whole, relative (standard deviation); 0 if df is
    double row_spread; // the same of a row's share, beyond sampling
    // Relative variance of the sides' difference in the whole, and the part that more samples in
    // each run would take away.
    double whole_variance;
    double whole_sampling;
    double whole_point; // how many standard deviations the interval reaches
};

// Fills judge, whose rows are the caller's to free. Returns 0 or -ENOMEM.
int hone_judge(const struct hone_judge_sides *sides, struct hone_judge *ret);

#endif

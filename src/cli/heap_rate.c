#include "cli/commands.h"

#include "capture/steer.h"
#include "cli/values.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct hone_option options[] = {{0}};

static const struct hone_example examples[] = {
    {"hone heap-rate 64KiB 1234", "sample more of a program that is being recorded"},
    {"hone heap-rate 0 1234", "sample no allocations for now"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    (void)parsed;
    int64_t bytes;
    if (operands->count != 2)
        return hone_misused(err, "'hone heap-rate' takes a SIZE and a PID; see 'hone heap-rate "
                                 "--help'");
    if (!hone_value_size(operands->at[0], &bytes))
        return hone_misused(err, "heap-rate: '%s' is no size such as 64KiB or 0", operands->at[0]);
    char *end;
    long pid = strtol(operands->at[1], &end, 10);
    if (end == operands->at[1] || *end || pid <= 0 || pid > INT_MAX)
        return hone_misused(err, "heap-rate: '%s' is no process number", operands->at[1]);
    return hone_steer_heap_rate((pid_t)pid, (uint64_t)bytes, err);
}

const struct hone_command hone_command_heap_rate = {
    .name = "heap-rate",
    .summary = "change how often allocations are sampled while a recording runs",
    .operands = "SIZE PID",
    .manual =
        "Sets the mean number of bytes between two sampled allocations of a recording of the heap "
        "(hone record --types heap), for all of its processes; PID is any of them. 0 samples "
        "nothing until another rate is set, 1 counts every block from then on. What is sampled "
        "already is followed to its end in any case. A thread takes note within its next MiB of "
        "allocations.",
    .examples = examples,
    .options = options,
    .operands_minimum = 2,
    .run = run,
};

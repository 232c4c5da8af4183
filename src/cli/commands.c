#include "cli/commands.h"

#include <string.h>

// One a line, however many they are.
// clang-format off
const struct hone_command *const hone_commands[] = {
    &hone_command_record,
    &hone_command_mark,
    &hone_command_heap,
    &hone_command_heap_rate,
    &hone_command_top,
    &hone_command_tree,
    &hone_command_call_tree,
    &hone_command_hot_path,
    &hone_command_peek,
    &hone_command_list,
    &hone_command_disasm,
    &hone_command_weblist,
    &hone_command_traces,
    &hone_command_tags,
    &hone_command_raw,
    &hone_command_flame,
    &hone_command_svg,
    &hone_command_dot,
    &hone_command_diff,
    &hone_command_leaks,
    &hone_command_locks,
    &hone_command_threads,
    &hone_command_deadlocks,
    &hone_command_collapsed,
    &hone_command_info,
    &hone_command_convert,
    &hone_command_merge,
    &hone_command_pprof,
    &hone_command_doctor,
    NULL,
};
// clang-format on

const struct hone_command *hone_command_find(const char *name)
{
    for (const struct hone_command *const *at = hone_commands; *at; at++) {
        if (strcmp((*at)->name, name) == 0)
            return *at;
    }
    return NULL;
}

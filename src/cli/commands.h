// cli commands: the rows of the command list, each defined in the file of its name, those
// that print a profile as text in views.c, those
// that draw its calls in drawings.c.
#ifndef HONE_CLI_COMMANDS_H
#define HONE_CLI_COMMANDS_H

#include "cli/options.h"

extern const struct hone_command hone_command_record;
extern const struct hone_command hone_command_heap;
extern const struct hone_command hone_command_mark;
extern const struct hone_command hone_command_top;
extern const struct hone_command hone_command_tree;
extern const struct hone_command hone_command_peek;
extern const struct hone_command hone_command_list;
extern const struct hone_command hone_command_disasm;
extern const struct hone_command hone_command_traces;
extern const struct hone_command hone_command_flame;
extern const struct hone_command hone_command_svg;
extern const struct hone_command hone_command_weblist;
extern const struct hone_command hone_command_dot;
extern const struct hone_command hone_command_diff;
extern const struct hone_command hone_command_call_tree;
extern const struct hone_command hone_command_hot_path;
extern const struct hone_command hone_command_collapsed;
extern const struct hone_command hone_command_info;
extern const struct hone_command hone_command_convert;
extern const struct hone_command hone_command_tags;
extern const struct hone_command hone_command_raw;
extern const struct hone_command hone_command_leaks;
extern const struct hone_command hone_command_locks;
extern const struct hone_command hone_command_threads;
extern const struct hone_command hone_command_deadlocks;
extern const struct hone_command hone_command_merge;
extern const struct hone_command hone_command_pprof;
extern const struct hone_command hone_command_doctor;
extern const struct hone_command hone_command_heap_rate;

#endif

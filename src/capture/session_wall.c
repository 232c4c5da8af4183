// session.json: what was waited for.
#include "base/cleanup.h"
#include "capture/block.h"
#include "capture/session_json.h"

const char *const hone_session_end_names[HONE_STACK_ENDS] = {
    "complete", "too_deep",       "no_rule",    "unreadable",       "bad_frame",
    "bad_rule", "unknown_module", "copy_short", "unknown_register",
};

// null: it was not recorded.
json_t *hone_session_wall(const struct hone_recording *recording)
{
    const struct hone_wall_facts *facts = &recording->collected->wall_facts;
    if (!(recording->options->types & 1u << HONE_CAPTURE_WALL))
        return json_null();
    uint64_t length_ns = facts->ended_ns - facts->started_ns;
    json_t *states = json_object(), *stacks = json_object();
    for (int wait = 0; states && wait < HONE_WAITS; wait++)
        if (facts->state_ns[wait])
            (void)json_object_set_new(states, hone_wait_name((enum hone_wait)wait),
                                      hone_session_number(facts->state_ns[wait]));
    for (int end = 0; stacks && end < HONE_STACK_ENDS; end++)
        (void)json_object_set_new(stacks, hone_session_end_names[end],
                                  hone_session_number(facts->ends[end]));
    return json_pack(
        "{s:s, s:b, s:s, s:o, s:I, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}}", //
        "file", "wall.prof", "taken", (int)facts->taken, "engine",
        hone_wall_engine_name(facts->engine), "reason",
        facts->reason[0] ? hone_session_text(facts->reason) : json_null(), "rate_hz",
        (json_int_t)facts->hz, "rate_reached_hz",
        length_ns ? (double)facts->ticks * 1e9 / (double)length_ns : 0.0, "threads",
        hone_session_number(facts->threads), "lifetime_ns", hone_session_number(facts->lifetime_ns),
        "states_ns", states, "stacks", stacks, "stacks_read", hone_session_number(facts->reads),
        "stacks_drawn", hone_session_number(facts->draws), "draws_one_in",
        hone_session_number(facts->one_in), "stacks_with_found_frame_pointer",
        hone_session_number(facts->bases), "stacks_with_callers_searched_for",
        hone_session_number(facts->searched), "blocked_seen_ns",
        hone_session_number(facts->seen_ns), "blocked_truncated_ns",
        hone_session_number(facts->truncated_ns), //
        "losses", "draws_lost", hone_session_number(facts->draws_lost), "draws_unread",
        hone_session_number(facts->draws_unread), "reads_too_late",
        hone_session_number(facts->gone), "reads_torn", hone_session_number(facts->torn),
        "reads_postponed", hone_session_number(facts->postponed), "switch_records_lost",
        hone_session_number(facts->lost), "threads_refused", hone_session_number(facts->refused),
        "threads_not_watched", hone_session_number(facts->unmatched), "gained_rights",
        hone_session_number(facts->gained), "gained_rights_gone",
        hone_session_number(facts->gained_gone), "gained_rights_refused",
        hone_session_number(facts->gained_refused));
}

// By what was waited for, as the system calls tell: what the functions on a stack tell besides is
// in block.prof.
static json_t *kinds_json(const struct hone_block *block)
{
    double delays[HONE_WAIT_KINDS] = {0};
    for (uint32_t i = 0; i < block->count; i++)
        delays[block->rows[i].kind] += block->rows[i].delay_ns;
    json_t *kinds = json_object();
    for (int kind = 0; kinds && kind < HONE_WAIT_KINDS; kind++)
        if (delays[kind] > 0)
            (void)json_object_set_new(kinds, hone_wait_kind_name((enum hone_wait_kind)kind),
                                      hone_session_number((uint64_t)delays[kind]));
    return kinds;
}

// null: it was not recorded.
json_t *hone_session_block(const struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    const struct hone_wall_facts *facts = &collected->wall_facts;
    HONE_CLEANUP(hone_block_done) struct hone_block block = {0};
    if (!(recording->options->types & 1u << HONE_CAPTURE_BLOCK) ||
        hone_block_init(&block, collected))
        return json_null();
    uint64_t lost = collected->waits.refused;
    for (uint32_t i = 0; i < collected->process_count; i++)
        lost += collected->processes[i].facts.lock_lost;
    return json_pack(
        "{s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", //
        "file", "block.prof", "taken", (int)facts->taken, "engine",
        hone_wall_engine_name(facts->engine), "reason",
        facts->reason[0] ? hone_session_text(facts->reason) : json_null(), "waits",
        hone_session_number((uint64_t)block.totals.waits), "delay_ns",
        hone_session_number((uint64_t)block.totals.delay_ns), "kinds_ns", kinds_json(&block),
        "threads", hone_session_number(facts->threads), "lifetime_ns",
        hone_session_number(facts->lifetime_ns), "on_cpu_ns",
        hone_session_number(facts->state_ns[HONE_WAIT_NONE]), "runnable_ns",
        hone_session_number(facts->state_ns[HONE_WAIT_RUNNABLE]), "unseen_ns",
        hone_session_number((uint64_t)block.totals.unknown_ns), "told_by_lock_functions_ns",
        hone_session_number((uint64_t)block.totals.told_ns), "with_lock_ns",
        hone_session_number((uint64_t)block.totals.labelled_ns), "lock_records_lost",
        hone_session_number(lost));
}

// What the files of the collector share. Private to them.
//
//   collect.c          processes, modules and threads; the events of a session
//   collect_numbers.c  what numbers mean that processes chose
//   collect_names.c    names of threads
//   collect_places.c   modules, places and stacks
//   collect_samples.c  CPU samples and wall-clock times
//   collect_end.c      what they must add up to
//   collect_blocks.c   the heap's events
//   collect_heap.c     its tables            heap_series.c   its changes over time
//   collect_leaks.c    what was found at a process's end
//   collect_locks.c    locks, who held them and who waited
//   collect_waits.c    waits that lock functions told of
//   collect_lock_order.c   what was held when another lock was taken
#ifndef HONE_CAPTURE_COLLECT_PARTS_H
#define HONE_CAPTURE_COLLECT_PARTS_H

#include "capture/collect.h"

// What numbers mean that processes chose: a table of those that came, for one that was overwritten
// may name any.
struct hone_numbers {
    struct hone_table table;
    struct hone_number {
        uint32_t number, at;
    } * items;
    uint32_t count, room;
    uint32_t next; // the item behind the one that hone_numbers_find_next() found last
};

// What is known of a process only while it lives.
struct hone_live {
    bool used;
    uint32_t process; // in collected->processes
    struct hone_live_module {
        uint32_t module;
        uint32_t index; // the process's number for it
        uint64_t start, end, bias;
        uint64_t turn; // the last one told
        bool gone;
    } * modules;
    uint32_t module_count, module_room;
    struct hone_numbers threads; // the process's index: in collected->threads
    struct hone_numbers stacks;  // the process's id: in collected->stacks
    uint32_t last_module;        // a hint: neighbouring frames are of one module
    struct hone_heap_blocks blocks;
    struct hone_numbers looks; // the session's number of a site: in look[]
    struct hone_heap_look *look;
    uint32_t look_count, look_room;
};

struct hone_collect_state {
    int status;
    struct hone_live *live; // by the reader's number
    uint32_t live_room;
    struct hone_table modules, places, stacks, samples, wall;
    struct hone_numbers pids; // the last process that had it, in collected->processes
    // At moments that short threads drew: what they stand for is known at the end.
    struct hone_collected_sample *drawn;
    uint32_t drawn_count, drawn_room;
    uint64_t seed; // of hashes of what processes chose
    uint32_t module_room, place_room, frame_room, stack_room, thread_room, process_room,
        sample_room, wall_room, leak_room;
    uint32_t *scratch; // places of one stack
    struct hone_last_stack {
        uint32_t number; // the reader's, of the process
        uint32_t count;
        uint64_t addresses[HONE_STACK_MAX]; // outermost first
        uint32_t places[HONE_STACK_MAX];
    } * last;        // that was told
    uint32_t *named; // threads whose names are read again
    uint32_t named_count, named_room;
    uint64_t name_due_ns; // when the first of them is, or earlier
};

// Room for `need` items in an array, doubling. What is new is zero, or, of the second, anything.
bool hone_collect_reserve(struct hone_collect_state *state, void *array, uint32_t *room,
                          uint64_t need, size_t size);
bool hone_collect_grow(struct hone_collect_state *state, void *array, uint32_t *room, uint64_t need,
                       size_t size);

// collect_numbers.c: what a number means; NULL: it was never told.
struct hone_number *hone_numbers_find(const struct hone_collect_state *state,
                                      const struct hone_numbers *numbers, uint32_t number);
// The same, fast for who asks for one after the other in the order that they were told in.
struct hone_number *hone_numbers_find_next(const struct hone_collect_state *state,
                                           struct hone_numbers *numbers, uint32_t number);
// From now on the number means that.
bool hone_numbers_set(struct hone_collect_state *state, struct hone_numbers *numbers,
                      uint32_t number, uint32_t meaning);
void hone_numbers_done(struct hone_numbers *numbers);

// NULL: no such process lives.
struct hone_live *hone_live_of(struct hone_collected *collected, uint32_t process);
// What a process's numbers for its thread and stack mean here. False, and counted, when it never
// told.
bool hone_collect_find_stack(struct hone_collected *collected, const struct hone_live *live,
                             uint32_t index, uint64_t id, uint32_t *ret_thread,
                             uint32_t *ret_stack);

// collect_names.c: reads the name of a thread that is met.
void hone_collect_name(struct hone_collected *collected, uint32_t at);

// collect_places.c: the place of an address in a process.
uint32_t hone_collect_intern(struct hone_collected *collected, struct hone_live *live,
                             uint64_t address);
void hone_collect_on_module(void *context, uint32_t number,
                            const struct hone_record_module *record);
void hone_collect_on_module_gone(void *context, uint32_t number,
                                 const struct hone_record_module_gone *record);
void hone_collect_on_stack(void *context, uint32_t number, const struct hone_record_stack *record);

// collect_samples.c: adds to what a thread has at that stack; time_ns is 0 where it says nothing.
void hone_collect_add_sample(struct hone_collected *collected, uint32_t thread, uint32_t stack,
                             uint64_t samples, uint64_t cpu_ns, uint64_t time_ns);
void hone_collect_on_cpu(void *context, uint32_t number, const struct hone_record_cpu *record);
void hone_collect_on_cpu_drawn(void *context, uint32_t number,
                               const struct hone_record_cpu *record);

// collect_blocks.c
void hone_collect_on_heap_alloc(void *context, uint32_t number,
                                const struct hone_record_heap_alloc *record);
void hone_collect_on_heap_free(void *context, uint32_t number,
                               const struct hone_record_heap_free *record);
void hone_collect_on_heap_kept(void *context, uint32_t number,
                               const struct hone_record_heap_kept *record);
void hone_collect_on_heap_site(void *context, uint32_t number,
                               const struct hone_process_facts *facts, uint32_t at,
                               const struct hone_heap_site *site, bool last);

// collect_leaks.c: what the scanner found of a process that has ended.
void hone_collect_leaks(struct hone_collected *collected, const struct hone_live *live,
                        struct hone_collected_process *process,
                        const struct hone_process_facts *facts);

// collect_places.c: whose data an address of a process is, and its address in that file.
// HONE_NO_MODULE: no file's.
void hone_collect_data(const struct hone_collected *collected, struct hone_live *live,
                       uint64_t address, uint32_t *ret_module, uint64_t *ret_vaddr);

// collect_locks.c
void hone_collect_on_lock_held(void *context, uint32_t number,
                               const struct hone_record_lock_held *record);
// The same wait, of the lock's account.
void hone_collect_lock_wait(struct hone_collected *collected, uint32_t number,
                            const struct hone_record_wait *record);
void hone_collect_on_lock_use(void *context, uint32_t number,
                              const struct hone_record_lock_use *record);
void hone_collect_on_lock_known(void *context, uint32_t number,
                                const struct hone_record_lock_known *record);
void hone_collect_on_lock_block(void *context, uint32_t number,
                                const struct hone_record_lock_block *record);
// collect_waits.c
void hone_collect_on_wait(void *context, uint32_t number, const struct hone_record_wait *record);

// collect_lock_order.c
void hone_collect_on_lock_order(void *context, uint32_t number,
                                const struct hone_record_lock_order *record);

void hone_collect_on_mark(void *context, uint32_t number, const struct hone_reader_mark *mark);

#endif

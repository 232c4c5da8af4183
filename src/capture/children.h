// What a process has started and that lives, by the kernel's own list: for who comes after it did.
#ifndef HONE_CAPTURE_CHILDREN_H
#define HONE_CAPTURE_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

// Told of a child. True: of those that it has started itself, too.
typedef bool hone_child_met(void *context, uint32_t pid, uint32_t parent);

// The children of one thread.
void hone_children_of_thread(uint32_t pid, uint32_t tid, hone_child_met *met, void *context);

// Those of all threads of a process.
void hone_children_of(uint32_t pid, hone_child_met *met, void *context);

#endif

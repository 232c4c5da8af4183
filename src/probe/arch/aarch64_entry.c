// Functions are not changed on this machine.
#include "probe/entries.h"

bool hone_arch_entry_plan(const uint8_t *code, uint64_t address, uint64_t size, uint8_t *copy,
                          uint64_t copy_at, struct hone_entry_plan *ret)
{
    (void)code;
    (void)address;
    (void)size;
    (void)copy;
    (void)copy_at;
    (void)ret;
    return false;
}

bool hone_arch_entry_is_entered(const uint8_t *code, uint64_t address, uint64_t size,
                                uint64_t function, const struct hone_entry_plan *plan,
                                enum hone_entry_code what)
{
    (void)code;
    (void)address;
    (void)size;
    (void)function;
    (void)plan;
    (void)what;
    return true;
}

void hone_arch_code_find_entered(const uint8_t *code, uint64_t address, uint64_t size,
                                 uint64_t from, struct hone_entry_target *targets, size_t count)
{
    (void)code;
    (void)address;
    (void)size;
    (void)from;
    for (size_t i = 0; i < count; i++)
        targets[i].entered = true;
}

bool hone_arch_entry_calls(const uint8_t *code, uint64_t address, uint64_t size, uint64_t function)
{
    (void)code;
    (void)address;
    (void)size;
    (void)function;
    return true;
}

void hone_arch_entry_lead(uint8_t *island, uint64_t to)
{
    (void)island;
    (void)to;
}

void hone_arch_entry_island(uint8_t *island, uint64_t gate, uint64_t hook)
{
    (void)island;
    (void)gate;
    (void)hook;
}

bool hone_arch_entry_jump(uint8_t *code, uint64_t at, uint64_t to)
{
    (void)code;
    (void)at;
    (void)to;
    return false;
}

// A frame that counts from rbp, seen from below, where only rsp is known:
//
//     rsp → pushed or stored by the function: locals, rbx, r12, …
//     rbp → the caller's rbp
//           return address             just behind a call of this function
//
// Two ways to find rbp. The function's beginning tells by how much it lowered rsp: the registers
// that its rules say it saved, and `sub $n, %rsp`. Or one looks for a return address behind a call
// of this very function. A place is taken when both agree, or when there is but one and it is
// behind a call; a call of another function is taken last, for jumps to a function look like that.
#include "capture/frame_base.h"

#include "unwind/arch/arch.h"

#include <string.h>
#include <sys/uio.h>

enum {
    PROLOGUE_BYTES = 128,    // within which rsp is lowered
    LOWERINGS_MAX = 4,       // subtractions that are looked at
    SEARCH_BYTES = 16 << 10, // of the stack
    R8 = 8,
    R9 = 9,
    R10 = 10, // by DWARF's numbers, as below
    RDX = 1,
    RSI = 4,
    RDI = 5,
};

uint64_t hone_blocked_registers(const struct hone_blocked *blocked, struct hone_registers *ret)
{
    *ret = (struct hone_registers){0};
    ret->r[HONE_REGISTER_IP] = blocked->ip;
    ret->r[HONE_REGISTER_SP] = blocked->sp;
    uint64_t known = 1ull << HONE_REGISTER_IP | 1ull << HONE_REGISTER_SP;
    static const uint8_t places[6] = {RDI, RSI, RDX, R10, R8, R9};
    for (int i = 0; blocked->call >= 0 && i < 6; i++) {
        ret->r[places[i]] = blocked->arguments[i];
        known |= 1ull << places[i];
    }
    return known;
}

// Code and tables of the process, through the interface that the unwinder knows.
struct reader {
    struct hone_memory memory;
    pid_t pid;
};

static bool read_process(pid_t pid, uint64_t from, void *to, size_t size)
{
    struct iovec local = {to, size};
    struct iovec remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static bool read_code(struct hone_memory *memory, void *to, uint64_t from, size_t size)
{
    return read_process(((struct reader *)memory)->pid, from, to, size);
}

static bool no_word(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    (void)memory;
    (void)address;
    (void)ret;
    return false;
}

struct function {
    struct hone_remote *remote;
    const struct hone_frame_stack *stack;
    struct reader reader;
    uint64_t start;   // in the process
    uint64_t address; // where it is now
    uint64_t sp;
    uint64_t to_caller; // from rbp to the caller's rsp
    uint64_t saved;     // bytes between the caller's rsp and the lowest register it saved
};

static bool describe(struct function *function)
{
    int number = hone_remote_module_of(function->remote, function->address);
    const struct hone_module *module =
        number < 0 ? NULL : hone_modules_at(hone_remote_modules(function->remote), (size_t)number);
    struct hone_fde entry;
    struct hone_rules rules;
    uint64_t until, pc = module ? function->address - module->bias : 0;
    if (!module || hone_cfi_find(&module->cfi, pc, &entry) ||
        hone_cfi_rules(&module->cfi, &entry, pc, &rules, &until) || rules.cfa_is_expression ||
        rules.cfa_register != HONE_REGISTER_FP || rules.cfa_offset <= 0)
        return false;
    function->start = entry.start + module->bias;
    function->to_caller = (uint64_t)rules.cfa_offset;
    for (int i = 0; i < HONE_REGISTER_IP; i++) {
        int64_t at = hone_rule_value(rules.registers[i]);
        if (hone_rule_kind(rules.registers[i]) == HONE_RULE_OFFSET && at < 0 &&
            (uint64_t)-at > function->saved)
            function->saved = (uint64_t)-at;
    }
    return true;
}

static bool word_at(const struct function *function, uint64_t address, uint64_t *ret)
{
    const struct hone_frame_stack *stack = function->stack;
    if (address < stack->low || address - stack->low + sizeof *ret > stack->size)
        return false;
    memcpy(ret, stack->copy + (address - stack->low), sizeof *ret);
    return true;
}

// endbr64, and jmp *slot(%rip): how one file calls another one's functions.
static uint64_t through_table(const struct function *function, uint64_t target)
{
    uint8_t code[16];
    if (!read_process(function->reader.pid, target, code, sizeof code))
        return 0;
    size_t at = memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0;
    at += code[at] == 0xf2; // bnd
    if (code[at] != 0xff || code[at + 1] != 0x25)
        return 0;
    int32_t distance;
    memcpy(&distance, code + at + 2, sizeof distance);
    uint64_t slot = target + at + 6 + (uint64_t)(int64_t)distance, goes = 0;
    return read_process(function->reader.pid, slot, &goes, sizeof goes) ? goes : 0;
}

enum evidence {
    NO_CALL,    // no call stands before the address
    OTHER_CALL, // it calls another function, which may have jumped here
    ANY_CALL,   // through a register: it may call this one
    THIS_CALL,
};

static enum evidence judge(struct function *function, uint64_t return_address)
{
    struct hone_memory *memory = &function->reader.memory;
    if (hone_remote_module_of(function->remote, return_address - 1) < 0 ||
        !hone_arch_follows_call(memory, return_address))
        return NO_CALL;
    uint64_t target = hone_arch_call_target(memory, return_address);
    if (!target)
        return ANY_CALL;
    if (target == function->start || through_table(function, target) == function->start)
        return THIS_CALL;
    return OTHER_CALL;
}

// By the function's beginning. The lowered rsp is that of its body if no argument lies on the
// stack.
static enum evidence by_prologue(struct function *function, uint64_t *ret_fp)
{
    uint8_t code[PROLOGUE_BYTES + 8] = {0};
    uint64_t size = function->address - function->start;
    if (size > PROLOGUE_BYTES)
        size = PROLOGUE_BYTES;
    if (!read_process(function->reader.pid, function->start, code, size))
        return NO_CALL;
    uint64_t lowered[LOWERINGS_MAX + 1] = {0};
    int count = 1; // not at all
    for (uint64_t i = 0; i + 4 <= size && count <= LOWERINGS_MAX; i++) {
        if (code[i] != 0x48 || code[i + 2] != 0xec) // sub $n, %rsp
            continue;
        uint32_t wide;
        memcpy(&wide, code + i + 3, sizeof wide);
        if (code[i + 1] == 0x83)
            lowered[count++] = code[i + 3];
        else if (code[i + 1] == 0x81)
            lowered[count++] = wide;
    }
    enum evidence best = NO_CALL;
    for (int i = count - 1; i >= 0; i--) {
        uint64_t caller_sp = function->sp + lowered[i] + function->saved, return_address;
        if (!word_at(function, caller_sp - sizeof return_address, &return_address))
            continue;
        enum evidence found = judge(function, return_address);
        if (found <= best)
            continue;
        best = found;
        *ret_fp = caller_sp - function->to_caller;
    }
    return best;
}

static bool by_search(struct function *function, uint64_t *ret_fp)
{
    for (uint64_t at = function->sp; at < function->sp + SEARCH_BYTES; at += 8) {
        uint64_t return_address;
        if (!word_at(function, at, &return_address))
            return false;
        if (judge(function, return_address) != THIS_CALL)
            continue;
        *ret_fp = at + sizeof return_address - function->to_caller;
        return true;
    }
    return false;
}

bool hone_frame_base_find(struct hone_remote *remote, const struct hone_frame_stack *stack,
                          uint64_t address, uint64_t sp, uint64_t *ret_fp)
{
    struct function function = {
        .remote = remote,
        .stack = stack,
        .reader = {.memory = {.outside = no_word, .code = read_code}, .pid = stack->pid},
        .address = address,
        .sp = sp,
    };
    if (!describe(&function))
        return false;
    uint64_t fp;
    enum evidence found = by_prologue(&function, &fp);
    if (found != THIS_CALL && by_search(&function, ret_fp))
        return true;
    if (found == NO_CALL)
        return false;
    *ret_fp = fp;
    return true;
}

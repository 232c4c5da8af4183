#include "unwind/expression.h"

#include "unwind/cursor.h"

enum {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST1S,
    OP_CONST2U,
    OP_CONST2S,
    OP_CONST4U,
    OP_CONST4S,
    OP_CONST8U,
    OP_CONST8S,
    OP_CONSTU,
    OP_CONSTS,
    OP_DUP,
    OP_DROP,
    OP_OVER,
    OP_PICK,
    OP_SWAP,
    OP_ROT,
    OP_ABS = 0x19,
    OP_AND,
    OP_DIV,
    OP_MINUS,
    OP_MOD,
    OP_MUL,
    OP_NEG,
    OP_NOT,
    OP_OR,
    OP_PLUS,
    OP_PLUS_UCONST,
    OP_SHL,
    OP_SHR,
    OP_SHRA,
    OP_XOR,
    OP_BRA,
    OP_EQ,
    OP_GE,
    OP_GT,
    OP_LE,
    OP_LT,
    OP_NE,
    OP_SKIP,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96,

    DEPTH_MAX = 16, // the deepest that compilers write is 3
    OPS_MAX = 256,  // expressions may loop
};

struct stack {
    uint64_t at[DEPTH_MAX];
    unsigned depth;
    enum hone_step failed; // HONE_STEP_ON: not yet
};

static void push(struct stack *stack, uint64_t value)
{
    if (stack->depth == DEPTH_MAX)
        stack->failed = HONE_STEP_BAD_RULE;
    else
        stack->at[stack->depth++] = value;
}

static uint64_t pop(struct stack *stack)
{
    if (stack->depth == 0) {
        stack->failed = HONE_STEP_BAD_RULE;
        return 0;
    }
    return stack->at[--stack->depth];
}

static uint64_t pick(struct stack *stack, unsigned index)
{
    if (index >= stack->depth) {
        stack->failed = HONE_STEP_BAD_RULE;
        return 0;
    }
    return stack->at[stack->depth - 1 - index];
}

static void push_register(struct stack *stack, const struct hone_frame *frame, uint64_t column,
                          int64_t offset)
{
    if (column >= HONE_REGISTER_COUNT) {
        stack->failed = HONE_STEP_BAD_RULE;
        return;
    }
    if (!(frame->known & 1ull << column))
        stack->failed = HONE_STEP_UNKNOWN;
    push(stack, frame->r[column] + (uint64_t)offset);
}

static void push_loaded(struct stack *stack, struct hone_memory *memory, unsigned size)
{
    uint64_t value = 0;
    if (!hone_memory_load(memory, pop(stack), &value) && stack->failed == HONE_STEP_ON)
        stack->failed = HONE_STEP_UNREADABLE;
    if (size < 8)
        value &= (1ull << (8 * size)) - 1;
    push(stack, value);
}

static void push_constant(struct stack *stack, struct hone_cursor *cursor, uint8_t op)
{
    switch (op) {
    case OP_CONST1S:
        push(stack, (uint64_t)(int8_t)hone_cursor_fixed(cursor, 1));
        break;
    case OP_CONST2S:
        push(stack, (uint64_t)(int16_t)hone_cursor_fixed(cursor, 2));
        break;
    case OP_CONST4S:
        push(stack, (uint64_t)(int32_t)hone_cursor_fixed(cursor, 4));
        break;
    case OP_CONSTU:
        push(stack, hone_cursor_uleb(cursor));
        break;
    case OP_CONSTS:
        push(stack, (uint64_t)hone_cursor_sleb(cursor));
        break;
    default: // 1u 2u 4u 8u 8s
        push(stack, hone_cursor_fixed(cursor, 1u << ((op - OP_CONST1U) / 2)));
    }
}

static void calculate(struct stack *stack, uint8_t op)
{
    uint64_t b = pop(stack);
    uint64_t a = pop(stack);
    int64_t signed_a = (int64_t)a, signed_b = (int64_t)b;
    switch (op) {
    case OP_AND:
        push(stack, a & b);
        break;
    case OP_DIV:
        if (signed_b == 0 || (signed_b == -1 && signed_a == INT64_MIN))
            stack->failed = HONE_STEP_BAD_RULE;
        else
            push(stack, (uint64_t)(signed_a / signed_b));
        break;
    case OP_MOD:
        if (b == 0)
            stack->failed = HONE_STEP_BAD_RULE;
        else
            push(stack, a % b);
        break;
    case OP_MINUS:
        push(stack, a - b);
        break;
    case OP_MUL:
        push(stack, a * b);
        break;
    case OP_OR:
        push(stack, a | b);
        break;
    case OP_PLUS:
        push(stack, a + b);
        break;
    case OP_SHL:
        push(stack, b < 64 ? a << b : 0);
        break;
    case OP_SHR:
        push(stack, b < 64 ? a >> b : 0);
        break;
    case OP_SHRA:
        push(stack, (uint64_t)(signed_a >> (b < 64 ? b : 63)));
        break;
    case OP_XOR:
        push(stack, a ^ b);
        break;
    case OP_EQ:
        push(stack, a == b);
        break;
    case OP_GE:
        push(stack, signed_a >= signed_b);
        break;
    case OP_GT:
        push(stack, signed_a > signed_b);
        break;
    case OP_LE:
        push(stack, signed_a <= signed_b);
        break;
    case OP_LT:
        push(stack, signed_a < signed_b);
        break;
    case OP_NE:
        push(stack, a != b);
        break;
    default:
        stack->failed = HONE_STEP_BAD_RULE;
    }
}

static void jump(struct hone_cursor *cursor, const uint8_t *begin, int16_t distance)
{
    if (distance < begin - cursor->at || distance > cursor->end - cursor->at)
        cursor->broken = true;
    else
        cursor->at += distance;
}

enum hone_step hone_expression(const uint8_t *at, const uint8_t *end,
                               const struct hone_frame *frame, const uint64_t *first,
                               struct hone_memory *memory, uint64_t *ret)
{
    struct hone_cursor cursor = {at, end, false};
    uint64_t length = hone_cursor_uleb(&cursor);
    if (cursor.broken || length > hone_cursor_left(&cursor))
        return HONE_STEP_BAD_RULE;
    const uint8_t *begin = cursor.at;
    cursor.end = begin + length;

    struct stack stack;
    stack.depth = 0;
    stack.failed = HONE_STEP_ON;
    if (first)
        push(&stack, *first);
    for (unsigned ops = 0; cursor.at < cursor.end; ops++) {
        if (ops == OPS_MAX)
            return HONE_STEP_BAD_RULE;
        uint64_t a, b, c;
        uint8_t op = hone_cursor_u8(&cursor);
        switch (op) {
        case OP_ADDR: // absolute: compilers do not write it here, and it would need relocation
            return HONE_STEP_BAD_RULE;
        case OP_DEREF:
            push_loaded(&stack, memory, 8);
            break;
        case OP_DEREF_SIZE: {
            uint8_t size = hone_cursor_u8(&cursor);
            if (size == 0 || size > 8)
                return HONE_STEP_BAD_RULE;
            push_loaded(&stack, memory, size);
            break;
        }
        case OP_DUP:
            push(&stack, pick(&stack, 0));
            break;
        case OP_DROP:
            (void)pop(&stack);
            break;
        case OP_OVER:
            push(&stack, pick(&stack, 1));
            break;
        case OP_PICK:
            push(&stack, pick(&stack, hone_cursor_u8(&cursor)));
            break;
        case OP_SWAP:
            b = pop(&stack);
            a = pop(&stack);
            push(&stack, b);
            push(&stack, a);
            break;
        case OP_ROT: // the top goes third
            c = pop(&stack);
            b = pop(&stack);
            a = pop(&stack);
            push(&stack, c);
            push(&stack, a);
            push(&stack, b);
            break;
        case OP_ABS:
            a = pop(&stack);
            push(&stack, (int64_t)a < 0 ? 0 - a : a);
            break;
        case OP_NEG:
            push(&stack, 0 - pop(&stack));
            break;
        case OP_NOT:
            push(&stack, ~pop(&stack));
            break;
        case OP_PLUS_UCONST:
            a = pop(&stack);
            push(&stack, a + hone_cursor_uleb(&cursor));
            break;
        case OP_BRA:
        case OP_SKIP: {
            int16_t distance = (int16_t)hone_cursor_fixed(&cursor, 2);
            if (op == OP_SKIP || pop(&stack))
                jump(&cursor, begin, distance);
            break;
        }
        case OP_BREGX: {
            uint64_t column = hone_cursor_uleb(&cursor);
            push_register(&stack, frame, column, hone_cursor_sleb(&cursor));
            break;
        }
        case OP_NOP:
            break;
        default:
            if (op >= OP_CONST1U && op <= OP_CONSTS)
                push_constant(&stack, &cursor, op);
            else if (op >= OP_LIT0 && op <= OP_LIT31)
                push(&stack, op - OP_LIT0);
            else if (op >= OP_BREG0 && op <= OP_BREG31)
                push_register(&stack, frame, op - OP_BREG0, hone_cursor_sleb(&cursor));
            else
                calculate(&stack, op);
        }
        if (cursor.broken)
            return HONE_STEP_BAD_RULE;
        if (stack.failed != HONE_STEP_ON)
            return stack.failed;
    }
    uint64_t value = pop(&stack);
    if (stack.failed != HONE_STEP_ON)
        return stack.failed;
    *ret = value;
    return HONE_STEP_ON;
}

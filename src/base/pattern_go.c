// The grammar of Go's regexp/syntax with its Perl flags, read only to be refused where Go refuses:
// one pass from left to right, groups counted on a small stack.
#include "base/pattern_go.h"

#include "base/str.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    DEPTH_MAX = 1000,  // nested groups
    REPEAT_MAX = 1000, // of one atom, with all repetitions around it
    RUNE_MAX = 0x10ffff,
};

static const char missing_paren[] = "missing closing )";
static const char unexpected_paren[] = "unexpected )";
static const char missing_bracket[] = "missing closing ]";
static const char bad_range[] = "invalid character class range";
static const char bad_escape[] = "invalid escape sequence";
static const char bad_name[] = "invalid named capture";
static const char bad_perl[] = "invalid or unsupported Perl syntax";
static const char bad_nesting[] = "invalid nested repetition operator";
static const char bad_count[] = "invalid repeat count";
static const char bad_utf8[] = "invalid UTF-8";
static const char no_argument[] = "missing argument to repetition operator";
static const char trailing_backslash[] = "trailing backslash at end of expression";
static const char too_deep[] = "expression nests too deeply";

struct parser {
    const char *text;
    const char *at;
    const char *fault; // NULL while all is well
    struct hone_str where;
    bool atom;              // the last thing read can be repeated
    uint32_t repeats;       // of it and of what is inside it
    const char *repetition; // where the last operator began, if nothing was read since
    uint32_t depth;
    uint16_t largest[DEPTH_MAX + 1]; // of the repeats within each open group
};

static bool fail(struct parser *p, const char *fault, const char *from, const char *to)
{
    p->fault = fault;
    p->where = (struct hone_str){from, (size_t)(to - from)};
    return false;
}

static const char *end_of(const char *text)
{
    return text + strlen(text);
}

// The character at p->at, which moves behind it.
static bool next_rune(struct parser *p, int32_t *ret)
{
    const unsigned char *at = (const unsigned char *)p->at;
    unsigned len = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    int32_t rune = len == 1 ? at[0] : at[0] & (0xff >> (len + 1));
    bool good = at[0] < 0x80 || (at[0] >= 0xc2 && at[0] <= 0xf4);
    for (unsigned i = 1; good && i < len; i++) {
        good = (at[i] & 0xc0) == 0x80;
        rune = rune << 6 | (at[i] & 0x3f);
    }
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    good = good && rune >= least[len] && rune <= RUNE_MAX && (rune < 0xd800 || rune > 0xdfff);
    if (!good)
        return fail(p, bad_utf8, p->at, end_of(p->at));
    *ret = rune;
    p->at += len;
    return true;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_alphanumeric(int32_t rune)
{
    return (rune >= '0' && rune <= '9') || (rune >= 'a' && rune <= 'z') ||
           (rune >= 'A' && rune <= 'Z');
}

// --- escapes -------------------------------------------------------------------------------------

// "{10FFFF}" or two digits behind "\x". Returns false where they end to be that; at is behind what
// was looked at.
static bool parse_hex(struct parser *p, int32_t *ret)
{
    int32_t rune = 0;
    if (*p->at != '{') {
        for (int i = 0; i < 2; i++) {
            int digit = *p->at ? hex_of(*p->at) : -1;
            p->at += *p->at != '\0';
            if (digit < 0)
                return false;
            rune = rune * 16 + digit;
        }
        *ret = rune;
        return true;
    }
    int digits = 0;
    for (p->at++; *p->at; digits++) {
        char c = *p->at++;
        if (c == '}') {
            *ret = rune;
            return digits > 0;
        }
        if (hex_of(c) < 0)
            return false;
        rune = rune * 16 + hex_of(c);
        if (rune > RUNE_MAX)
            return false;
    }
    return false;
}

// A backslash that stands for one character.
static bool parse_escape(struct parser *p, int32_t *ret)
{
    static const char control[] = "a\af\fn\nr\rt\tv\v";
    const char *start = p->at++;
    if (!*p->at)
        return fail(p, trailing_backslash, p->at, p->at);
    int32_t rune;
    if (!next_rune(p, &rune))
        return false;
    *ret = rune;
    bool good = rune < 0x80 && !is_alphanumeric(rune);
    for (const char *at = control; !good && *at; at += 2)
        if (rune == (unsigned char)at[0]) {
            *ret = (unsigned char)at[1];
            good = true;
        }
    if (!good && (rune == '0' || (rune >= '1' && rune <= '7' && is_octal(*p->at)))) {
        *ret = rune - '0';
        for (int i = 0; i < 2 && is_octal(*p->at); i++)
            *ret = *ret * 8 + (*p->at++ - '0');
        good = true;
    }
    if (!good && rune == 'x')
        good = parse_hex(p, ret);
    return good ? true : fail(p, bad_escape, start, p->at);
}

// Outcomes of what may stand there.
enum found { NOTHING, FOUND, FAULT };

// "\pN" and "\p{Greek}"; which names there are is left to others.
static enum found parse_property(struct parser *p)
{
    const char *start = p->at;
    if (start[0] != '\\' || (start[1] != 'p' && start[1] != 'P'))
        return NOTHING;
    p->at += 2;
    int32_t rune;
    if (!*p->at)
        return fail(p, bad_range, start, p->at) ? FOUND : FAULT;
    if (*p->at != '{')
        return next_rune(p, &rune) ? FOUND : FAULT;
    const char *end = strchr(p->at, '}');
    if (!end)
        return fail(p, bad_range, start, end_of(start)) ? FOUND : FAULT;
    p->at = end + 1;
    return FOUND;
}

// "\d" and the like.
static bool skip_class_escape(struct parser *p)
{
    if (p->at[0] != '\\' || !p->at[1] || !strchr("dDsSwW", p->at[1]))
        return false;
    p->at += 2;
    return true;
}

// --- classes -------------------------------------------------------------------------------------

static bool is_posix_name(struct hone_str name)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    if (name.len && name.at[0] == '^')
        name = (struct hone_str){name.at + 1, name.len - 1};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (hone_str_equal(name, hone_str_of(names[i])))
            return true;
    return false;
}

// "[:alpha:]" within a class.
static enum found parse_posix(struct parser *p)
{
    if (p->at[0] != '[' || p->at[1] != ':' || !p->at[2])
        return NOTHING;
    const char *end = strstr(p->at + 2, ":]");
    if (!end)
        return NOTHING;
    const char *start = p->at;
    if (!is_posix_name((struct hone_str){start + 2, (size_t)(end - start) - 2}))
        return fail(p, bad_range, start, end + 2) ? FOUND : FAULT;
    p->at = end + 2;
    return FOUND;
}

static bool parse_class_character(struct parser *p, const char *class, int32_t *ret)
{
    if (!*p->at)
        return fail(p, missing_bracket, class, end_of(class));
    return *p->at == '\\' ? parse_escape(p, ret) : next_rune(p, ret);
}

static bool parse_class_range(struct parser *p, const char *class)
{
    const char *start = p->at;
    int32_t low;
    int32_t high;
    if (!parse_class_character(p, class, &low))
        return false;
    if (p->at[0] != '-' || !p->at[1] || p->at[1] == ']')
        return true;
    p->at++;
    if (!parse_class_character(p, class, &high))
        return false;
    return high < low ? fail(p, bad_range, start, p->at) : true;
}

static bool parse_class(struct parser *p)
{
    const char *class = p->at++;
    p->at += *p->at == '^';
    for (bool first = true; first || *p->at != ']'; first = false) {
        enum found found = parse_posix(p);
        if (found == NOTHING)
            found = parse_property(p);
        if (found == FAULT)
            return false;
        if (found == FOUND || skip_class_escape(p))
            continue;
        if (!parse_class_range(p, class))
            return false;
    }
    p->at++;
    return true;
}

// --- groups --------------------------------------------------------------------------------------

static bool open_group(struct parser *p)
{
    if (p->depth == DEPTH_MAX)
        return fail(p, too_deep, p->text, end_of(p->text));
    p->largest[++p->depth] = 1;
    p->atom = false;
    return true;
}

static bool parse_name(struct parser *p)
{
    const char *start = p->at;
    const char *end = strchr(start, '>');
    if (!end)
        return fail(p, bad_name, start, end_of(start));
    bool good = end > start + 4;
    for (const char *at = start + 4; at < end; at++)
        good &= is_alphanumeric(*at) || *at == '_';
    if (!good)
        return fail(p, bad_name, start, end + 1);
    p->at = end + 1;
    return open_group(p);
}

// What follows "(?": a name or switches.
static bool parse_switches(struct parser *p)
{
    const char *start = p->at;
    if (start[2] == 'P' && start[3] == '<' && start[4])
        return parse_name(p);
    p->at += 2;
    bool negative = false;
    bool any = false;
    while (*p->at) {
        int32_t rune;
        if (!next_rune(p, &rune))
            return false;
        if (rune == 'i' || rune == 'm' || rune == 's' || rune == 'U') {
            any = true;
        } else if (rune == '-' && !negative) {
            negative = true;
            any = false;
        } else if ((rune == ':' || rune == ')') && (any || !negative)) {
            return rune == ':' ? open_group(p) : true;
        } else {
            break;
        }
    }
    return fail(p, bad_perl, start, p->at);
}

static bool close_group(struct parser *p)
{
    if (!p->depth)
        return fail(p, unexpected_paren, p->text, end_of(p->text));
    p->repeats = p->largest[p->depth--];
    p->atom = true;
    p->at++;
    return true;
}

// --- repetitions ---------------------------------------------------------------------------------

// A whole number, at most one more than is allowed.
static bool parse_count(const char **at, int32_t *ret)
{
    const char *start = *at;
    int32_t count = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++)
        count = count > REPEAT_MAX ? count : count * 10 + (**at - '0');
    bool padded = start[0] == '0' && *at > start + 1; // no number to Go
    *ret = count;
    return *at > start && !padded;
}

// "{n}", "{n,}" or "{n,m}". Returns the place behind it; NULL when it is no repetition but text.
static const char *parse_counts(const char *at, int32_t *ret_min, int32_t *ret_max)
{
    at++;
    if (!parse_count(&at, ret_min))
        return NULL;
    *ret_max = *ret_min;
    if (*at == ',') {
        at++;
        *ret_max = -1;
        if (*at != '}' && !parse_count(&at, ret_max))
            return NULL;
    }
    return *at == '}' ? at + 1 : NULL;
}

// The operator that begins at p->at and ends before after.
static bool repeat(struct parser *p, const char *after, const char *last, int32_t times)
{
    const char *start = p->at;
    after += *after == '?';
    if (last)
        return fail(p, bad_nesting, last, after);
    if (!p->atom)
        return fail(p, no_argument, start, after);
    if (times > 0)
        p->repeats *= (uint32_t)times;
    if (p->repeats > REPEAT_MAX)
        return fail(p, bad_count, start, after);
    p->at = after;
    p->repetition = start;
    return true;
}

static void add_atom(struct parser *p)
{
    p->atom = true;
    p->repeats = 1;
}

static bool parse_braces(struct parser *p, const char *last)
{
    int32_t min;
    int32_t max;
    const char *after = parse_counts(p->at, &min, &max);
    if (!after) {
        add_atom(p);
        p->at++;
        return true;
    }
    if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && min > max))
        return fail(p, bad_count, p->at, after);
    return repeat(p, after, last, max < 0 ? min : max);
}

// --- all of it -----------------------------------------------------------------------------------

static bool parse_backslash(struct parser *p)
{
    if (p->at[1] == 'Q') {
        const char *end = strstr(p->at + 2, "\\E");
        if (p->at[2] && end != p->at + 2)
            add_atom(p);
        p->at = end ? end + 2 : end_of(p->at);
        return true;
    }
    if (p->at[1] == 'C')
        return fail(p, bad_escape, p->at, p->at + 2);
    add_atom(p);
    if (p->at[1] && strchr("AbBz", p->at[1])) {
        p->at += 2;
        return true;
    }
    enum found found = parse_property(p);
    if (found != NOTHING)
        return found == FOUND;
    int32_t rune;
    return skip_class_escape(p) || parse_escape(p, &rune);
}

static bool parse_one(struct parser *p)
{
    const char *last = p->repetition;
    p->repetition = NULL;
    int32_t rune;
    switch (*p->at) {
    case '(':
        if (p->at[1] == '?')
            return parse_switches(p);
        p->at++;
        return open_group(p);
    case ')':
        return close_group(p);
    case '|':
        p->at++;
        p->atom = false;
        return true;
    case '[':
        add_atom(p);
        return parse_class(p);
    case '*':
    case '+':
    case '?':
        return repeat(p, p->at + 1, last, 0);
    case '{':
        return parse_braces(p, last);
    case '\\':
        return parse_backslash(p);
    default:
        add_atom(p);
        return next_rune(p, &rune);
    }
}

int hone_pattern_check_go(const char *text, struct hone_error *err)
{
    struct parser p = {.text = text, .at = text};
    bool good = true;
    while (good && *p.at) {
        good = parse_one(&p);
        if (p.atom && p.repeats > p.largest[p.depth])
            p.largest[p.depth] = (uint16_t)p.repeats;
    }
    if (good && p.depth)
        good = fail(&p, missing_paren, text, end_of(text));
    if (good)
        return 0;
    return hone_error_set(err, -EINVAL, "error parsing regexp: %s: `%.*s`", p.fault,
                          (int)p.where.len, p.where.at);
}

#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/pattern.h"

#include "base/cleanup.h"
#include "base/pattern_go.h"

#include <errno.h>
#include <pcre2.h>

// Steps of one match: a thousand times what names of a kilobyte take with sane patterns, and a
// tenth of a second with others.
enum { STEPS_MAX = 1000000 };

struct hone_pattern {
    char *text;
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    bool gave_up;
};

static int new_pattern(const char *text, uint32_t flags, struct hone_pattern **ret,
                       struct hone_error *err)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = calloc(1, sizeof *pattern);
    if (!pattern)
        return hone_error_set(err, -ENOMEM, "cannot read the pattern");
    int code = 0;
    PCRE2_SIZE at = 0;
    pattern->code = pcre2_compile(
        (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | flags, &code, &at, NULL);
    if (!pattern->code) {
        PCRE2_UCHAR reason[128] = "";
        (void)pcre2_get_error_message(code, reason, sizeof reason);
        return hone_error_set(err, -EINVAL, "'%s' is not a regular expression: %s at character %zu",
                              text, (const char *)reason, at + 1);
    }
    pattern->text = strdup(text);
    pattern->data = pcre2_match_data_create(1, NULL);
    pattern->context = pcre2_match_context_create(NULL);
    if (!pattern->text || !pattern->data || !pattern->context)
        return hone_error_set(err, -ENOMEM, "cannot read the pattern");
    (void)pcre2_set_match_limit(pattern->context, STEPS_MAX);
    *ret = hone_take(pattern);
    return 0;
}

int hone_pattern_new(const char *text, struct hone_pattern **ret, struct hone_error *err)
{
    return new_pattern(text, 0, ret, err);
}

int hone_pattern_new_go(const char *text, struct hone_pattern **ret, struct hone_error *err)
{
    int r = hone_pattern_check_go(text, err);
    return r ? r : new_pattern(text, PCRE2_DOLLAR_ENDONLY, ret, err);
}

void hone_pattern_free(struct hone_pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_match_context_free(pattern->context);
    pcre2_match_data_free(pattern->data);
    pcre2_code_free(pattern->code);
    free(pattern->text);
    free(pattern);
}

void hone_pattern_freep(struct hone_pattern **pattern)
{
    hone_pattern_free(*pattern);
}

bool hone_pattern_matches(struct hone_pattern *pattern, struct hone_str text)
{
    int r = pcre2_match(pattern->code, (PCRE2_SPTR)(text.len ? text.at : ""), text.len, 0, 0,
                        pattern->data, pattern->context);
    pattern->gave_up |= r < PCRE2_ERROR_NOMATCH; // every error but that there is no match
    return r >= 0;
}

const char *hone_pattern_text(const struct hone_pattern *pattern)
{
    return pattern->text;
}

bool hone_pattern_gave_up(const struct hone_pattern *pattern)
{
    return pattern->gave_up;
}

// Everything that a profile holds, as it holds it.
#include "view/text_report.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

// --- the head ------------------------------------------------------------------------------------

static void put_time(struct hone_buffer *out, int64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    int64_t fraction = time_ns % 1000000000;
    if (fraction < 0) {
        fraction += 1000000000;
        seconds--;
    }
    struct tm at;
    char text[64];
    char offset[64];
    if (!localtime_r(&seconds, &at) || !strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &at) ||
        !strftime(offset, sizeof offset, "%z %Z", &at))
        return;
    hone_buffer_format(out, "Time: %s", text);
    if (fraction) {
        char digits[16];
        int len = snprintf(digits, sizeof digits, ".%09" PRId64, fraction);
        while (digits[len - 1] == '0')
            len--;
        hone_buffer_add(out, digits, (size_t)len);
    }
    hone_buffer_format(out, " %s\n", offset);
}

// A number of units with up to so many decimals, those behind the last that is not 0 left out.
static int print_decimals(char *to, size_t room, uint64_t value, uint64_t unit, int decimals)
{
    int len = snprintf(to, room, "%" PRIu64 ".%0*" PRIu64, value / unit, decimals, value % unit);
    while (to[len - 1] == '0')
        len--;
    return to[len - 1] == '.' ? len - 1 : len;
}

// As Go writes durations ("1h0m2.5s", "1.5ms"), of which the first four characters are shown.
static void put_duration(struct hone_buffer *out, int64_t duration_ns)
{
    enum { SHOWN = 4 };
    uint64_t ns = duration_ns < 0 ? 0 - (uint64_t)duration_ns : (uint64_t)duration_ns;
    char text[64] = "-";
    size_t used = duration_ns < 0;
    const char *unit = "s";
    uint64_t rest = ns;
    uint64_t unit_ns = 1000000000;
    int decimals = 9;
    if (ns < 1000) {
        unit = "ns";
        unit_ns = 1;
        decimals = 0;
    } else if (ns < 1000000) {
        unit = "µs";
        unit_ns = 1000;
        decimals = 3;
    } else if (ns < 1000000000) {
        unit = "ms";
        unit_ns = 1000000;
        decimals = 6;
    } else {
        uint64_t minutes = ns / 60000000000;
        rest = ns % 60000000000;
        if (minutes >= 60)
            used += (size_t)snprintf(text + used, sizeof text - used, "%" PRIu64 "h", minutes / 60);
        if (minutes)
            used += (size_t)snprintf(text + used, sizeof text - used, "%" PRIu64 "m", minutes % 60);
    }
    if (decimals)
        used += (size_t)print_decimals(text + used, sizeof text - used, rest, unit_ns, decimals);
    else
        used += (size_t)snprintf(text + used, sizeof text - used, "%" PRIu64, rest);
    (void)snprintf(text + used, sizeof text - used, "%s", unit);
    size_t len = 0;
    for (int shown = 0; text[len]; len++)
        if (((unsigned char)text[len] & 0xc0) != 0x80 && shown++ == SHOWN)
            break;
    hone_buffer_format(out, "Duration: %.*s\n", (int)len, text);
}

static void put_head(struct hone_buffer *out, const struct hone_profile *p)
{
    for (uint32_t i = 0; i < p->comment_count; i++)
        hone_buffer_format(out, "Comment: %s\n", hone_profile_text(p, p->comments[i]));
    hone_buffer_format(out, "PeriodType: %s %s\n", hone_profile_text(p, p->period_type.type),
                       hone_profile_text(p, p->period_type.unit));
    hone_buffer_format(out, "Period: %" PRId64 "\n", p->period);
    if (p->time_ns)
        put_time(out, p->time_ns);
    if (p->duration_ns)
        put_duration(out, p->duration_ns);
    hone_buffer_text(out, "Samples:\n");
    for (uint32_t i = 0; i < p->type_count; i++)
        hone_buffer_format(out, "%s%s/%s%s", i ? " " : "", hone_profile_text(p, p->types[i].type),
                           hone_profile_text(p, p->types[i].unit),
                           p->types[i].type == p->default_type ? "[dflt]" : "");
    hone_buffer_text(out, "\n");
}

// --- samples -------------------------------------------------------------------------------------

// The labels of one sample as words, "key:[value value]".
struct words {
    struct hone_buffer text; // one after the other, each with a NUL
    size_t *starts;
    uint32_t count;
    uint32_t room;
};

static void words_done(struct words *words)
{
    hone_buffer_done(&words->text);
    free(words->starts);
}

static int compare_words(const void *a, const void *b, void *context)
{
    const char *text = context;
    return strcmp(text + *(const size_t *)a, text + *(const size_t *)b);
}

static bool put_word(struct words *words, const struct hone_profile *p,
                     const struct hone_profile_label *labels, uint32_t count)
{
    if (!hone_array_reserve(&words->starts, &words->room, (uint64_t)words->count + 1,
                            sizeof *words->starts))
        return false;
    words->starts[words->count++] = words->text.len;
    bool units = false;
    for (uint32_t i = 0; i < count; i++)
        units |= labels[i].unit != 0;
    hone_buffer_format(&words->text, "%s:[", hone_profile_text(p, labels[0].key));
    for (uint32_t i = 0; i < count; i++) {
        const char *space = i ? " " : "";
        if (labels[i].text)
            hone_buffer_format(&words->text, "%s%s", space, hone_profile_text(p, labels[i].text));
        else
            hone_buffer_format(&words->text, "%s%" PRId64 "%s%s", space, labels[i].number,
                               units ? " " : "", hone_profile_text(p, labels[i].unit));
    }
    hone_buffer_add(&words->text, "]", 2);
    return !words->text.failed;
}

// Texts or numbers: labels of one kind stand together, and so do those of one key.
static bool put_labels(struct hone_buffer *out, struct words *words, const struct hone_profile *p,
                       struct hone_profile_label_span labels)
{
    if (!labels.count)
        return true;
    words->count = 0;
    words->text.len = 0;
    for (uint32_t i = 0; i < labels.count;) {
        uint32_t end = i + 1;
        while (end < labels.count && labels.at[end].key == labels.at[i].key)
            end++;
        if (!put_word(words, p, labels.at + i, end - i))
            return false;
        i = end;
    }
    if (words->count)
        qsort_r(words->starts, words->count, sizeof *words->starts, compare_words, words->text.at);
    hone_buffer_text(out, "                ");
    for (uint32_t i = 0; i < words->count; i++)
        hone_buffer_format(out, "%s%s", i ? " " : "", words->text.at + words->starts[i]);
    hone_buffer_text(out, "\n");
    return true;
}

static bool put_sample(struct hone_buffer *out, struct words *words, const struct hone_profile *p,
                       uint32_t sample)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        hone_buffer_format(out, " %10" PRId64, p->samples.values[i][sample]);
    hone_buffer_text(out, ": ");
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[sample]);
    for (uint32_t i = 0; i < frames.count; i++)
        hone_buffer_format(out, "%u ", frames.at[i]);
    hone_buffer_text(out, "\n");
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[sample]);
    uint32_t texts = 0;
    while (texts < labels.count && labels.at[texts].text)
        texts++;
    return put_labels(out, words, p, (struct hone_profile_label_span){labels.at, texts}) &&
           put_labels(out, words, p,
                      (struct hone_profile_label_span){labels.at + texts, labels.count - texts});
}

// --- places --------------------------------------------------------------------------------------

// Zero has its prefix, too.
static void put_hex(struct hone_buffer *out, uint64_t number, const char *behind)
{
    hone_buffer_format(out, "0x%" PRIx64 "%s", number, behind);
}

static void put_location(struct hone_buffer *out, const struct hone_profile *p, uint32_t location)
{
    hone_buffer_format(out, "%6u: ", location);
    put_hex(out, p->locations.address[location], " ");
    if (p->locations.mapping[location])
        hone_buffer_format(out, "M=%u ", p->locations.mapping[location]);
    if (p->locations.folded[location])
        hone_buffer_text(out, "[F] ");
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    for (uint32_t i = 0; i < lines.count; i++) {
        uint32_t function = lines.at[i].function;
        hone_buffer_format(out, "%s%s %s:%" PRId64 " s=%" PRId64, i ? "\n             " : "",
                           hone_profile_text(p, p->functions.name[function]),
                           hone_profile_text(p, p->functions.file[function]), lines.at[i].number,
                           p->functions.start_line[function]);
        if (p->functions.name[function] != p->functions.system_name[function])
            hone_buffer_format(out, "(%s)",
                               hone_profile_text(p, p->functions.system_name[function]));
    }
    hone_buffer_text(out, "\n");
}

static void put_mapping(struct hone_buffer *out, const struct hone_profile *p, uint32_t number)
{
    const struct hone_profile_mapping *mapping = &p->mappings.at[number];
    hone_buffer_format(out, "%u: ", number);
    put_hex(out, mapping->start, "/");
    put_hex(out, mapping->limit, "/");
    put_hex(out, mapping->offset, " ");
    hone_buffer_format(out, "%s %s %s%s%s%s\n", hone_profile_text(p, mapping->file),
                       hone_profile_text(p, mapping->build_id),
                       mapping->flags & HONE_PROFILE_HAS_FUNCTIONS ? "[FN]" : "",
                       mapping->flags & HONE_PROFILE_HAS_FILENAMES ? "[FL]" : "",
                       mapping->flags & HONE_PROFILE_HAS_LINE_NUMBERS ? "[LN]" : "",
                       mapping->flags & HONE_PROFILE_HAS_INLINE_FRAMES ? "[IN]" : "");
}

int hone_text_raw(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err)
{
    (void)options;
    HONE_CLEANUP(words_done) struct words words = {0};
    put_head(out, profile);
    bool ok = true;
    for (uint32_t i = 0; ok && i < profile->samples.count; i++)
        ok = put_sample(out, &words, profile, i);
    hone_buffer_text(out, "Locations\n");
    for (uint32_t i = 1; ok && i < profile->locations.count; i++)
        put_location(out, profile, i);
    hone_buffer_text(out, "Mappings\n");
    for (uint32_t i = 1; ok && i < profile->mappings.count; i++)
        put_mapping(out, profile, i);
    return ok && !out->failed ? 0 : hone_error_set(err, -ENOMEM, "cannot print the profile");
}

// OTLP's profiles as one of pprof. OTLP has one sample type per profile, so the profiles of a file
// become the sample types of one; samples with the same stack and labels meet again. Attributes of
// resources, scopes and profiles become labels of their samples.
#include "convert/otlp.h"

#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

// --- recognising ---------------------------------------------------------------------------------

enum { FIELDS_LOOKED_AT = 64 };

// What can be seen of a message whose fields up to last are all messages or texts. Returns the set
// of their numbers, 0 when it is another message.
static unsigned look_into(struct hone_wire message, unsigned last)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < FIELDS_LOOKED_AT && message.at < message.end; i++) {
        uint64_t tag;
        uint64_t len;
        if (!hone_wire_varint(&message, &tag))
            break;
        if ((tag & 7) != HONE_WIRE_BYTES || !(tag >> 3) || tag >> 3 > last)
            return 0;
        seen |= 1u << (tag >> 3);
        if (!hone_wire_varint(&message, &len) || len > (uint64_t)(message.end - message.at))
            break; // cut
        message.at += len;
    }
    return seen;
}

unsigned hone_otlp_detect(const void *bytes, size_t len)
{
    struct hone_wire file = {bytes, (const unsigned char *)bytes + len};
    unsigned seen = 0;
    bool tables = false;
    while (file.at < file.end) {
        uint64_t tag;
        uint64_t size;
        if (!hone_wire_varint(&file, &tag) || (tag & 7) != HONE_WIRE_BYTES || !(tag >> 3) ||
            tag >> 3 > 2 || !hone_wire_varint(&file, &size))
            return HONE_CONVERT_NO;
        struct hone_wire body = {file.at, file.end};
        if (size < (uint64_t)(file.end - file.at))
            body.end = file.at + size;
        unsigned inner = look_into(body, tag >> 3 == 1 ? 3 : HONE_OTLP_TABLES - 1);
        if (!inner && size)
            return HONE_CONVERT_NO;
        tables |= tag >> 3 == 2 && inner >> HONE_OTLP_LINKS;
        seen |= 1u << (tag >> 3);
        file.at = body.end;
    }
    if (!seen)
        return HONE_CONVERT_NO;
    // Traces, logs and metrics have field 1 alone.
    return seen == (1u << 1 | 1u << 2) && tables ? HONE_CONVERT_CERTAIN
           : tables                              ? HONE_CONVERT_LIKELY
                                                 : HONE_CONVERT_POSSIBLE;
}

// --- the walk ------------------------------------------------------------------------------------

// A profile of the file.
struct head {
    struct hone_profile_type type;
    uint32_t column;
};

struct reader {
    struct hone_otlp o;
    struct hone_wire file;
    struct head *heads; // in the order of the file
    uint32_t head_room;
    uint32_t head_count;

    struct hone_otlp_labels base;  // of the resource, the scope and the profile at hand
    struct hone_otlp_labels parts; // attributes at hand
    struct hone_otlp_labels sample;
    uint32_t default_type; // of the scope at hand; 0 none
    int64_t order[HONE_PROFILE_TYPES_MAX];
    uint32_t order_count;

    uint64_t start_ns;
    uint64_t end_ns;
    bool periods_differ;
    bool old; // samples as before version 1.10.0
    uint64_t payload_bytes;
};

typedef int (*visit_profile)(struct reader *r, struct hone_wire profile);

static void reader_done(struct reader *r)
{
    hone_otlp_done(&r->o);
    free(r->heads);
    free(r->base.at);
    free(r->parts.at);
    free(r->sample.at);
}

// The last field of that number; an empty message when there is none.
static int find(struct reader *r, struct hone_wire message, unsigned number, struct hone_wire *ret)
{
    struct hone_wire_field field;
    int status;
    *ret = (struct hone_wire){message.end, message.end};
    while ((status = hone_otlp_next(&r->o, &message, &field)) > 0) {
        if (field.number != number)
            continue;
        status = hone_otlp_want(&r->o, &field, HONE_WIRE_BYTES);
        if (status)
            return status;
        *ret = field.body;
    }
    return status;
}

// Attributes (field attributes) and how many were dropped (field dropped) of a resource or a scope.
static int read_attributes(struct reader *r, struct hone_wire message, unsigned attributes,
                           unsigned dropped, struct hone_otlp_labels *labels)
{
    struct hone_wire_field field;
    int status;
    while ((status = hone_otlp_next(&r->o, &message, &field)) > 0) {
        status = 0;
        if (field.number == attributes) {
            status = hone_otlp_want(&r->o, &field, HONE_WIRE_BYTES);
            if (!status)
                status = hone_otlp_add_key_value(&r->o, labels, field.body);
        } else if (field.number == dropped && field.type == HONE_WIRE_VARINT) {
            r->o.dropped += field.value;
        }
        if (status)
            return status;
    }
    return status;
}

static int add_base(struct reader *r, const struct hone_profile_label *label)
{
    return hone_otlp_add_label(&r->o, &r->base, label);
}

static int read_scope(struct reader *r, struct hone_wire scope_profiles)
{
    struct hone_wire scope;
    int status = find(r, scope_profiles, 1, &scope);
    r->parts.count = 0;
    r->order_count = 0;
    r->default_type = 0;
    if (!status)
        status = read_attributes(r, scope, 3, 4, &r->parts);
    for (uint32_t i = 0; !status && i < r->parts.count; i++) {
        const struct hone_profile_label *label = &r->parts.at[i];
        if (hone_otlp_is(&r->o, label, "pprof.scope.default_sample_type"))
            r->default_type = label->text;
        else if (!hone_otlp_is(&r->o, label, "pprof.scope.sample_type_order"))
            status = add_base(r, label);
        else if (r->order_count < HONE_PROFILE_TYPES_MAX)
            r->order[r->order_count++] = label->number;
    }
    return status;
}

static int walk_scope(struct reader *r, struct hone_wire scope_profiles, visit_profile visit,
                      int (*end)(struct reader *r, uint32_t first))
{
    struct hone_wire_field field;
    uint32_t first = r->head_count;
    uint32_t before = r->base.count;
    int status = read_scope(r, scope_profiles);
    while (!status && (status = hone_otlp_next(&r->o, &scope_profiles, &field)) > 0) {
        status = 0;
        if (field.number == 2) {
            uint32_t own = r->base.count;
            status = hone_otlp_want(&r->o, &field, HONE_WIRE_BYTES);
            if (!status)
                status = visit(r, field.body);
            r->base.count = own;
        }
    }
    r->base.count = before;
    return !status && end ? end(r, first) : status;
}

static int walk_resource(struct reader *r, struct hone_wire resource_profiles, visit_profile visit,
                         int (*end)(struct reader *r, uint32_t first))
{
    struct hone_wire_field field;
    struct hone_wire resource;
    int status = find(r, resource_profiles, 1, &resource);
    r->base.count = 0;
    if (!status)
        status = read_attributes(r, resource, 1, 2, &r->base);
    while (!status && (status = hone_otlp_next(&r->o, &resource_profiles, &field)) > 0) {
        status = 0;
        if (field.number == 2) {
            status = hone_otlp_want(&r->o, &field, HONE_WIRE_BYTES);
            if (!status)
                status = walk_scope(r, field.body, visit, end);
        }
    }
    return status;
}

// Visits each profile of the file; end comes after those of a scope.
static int walk(struct reader *r, visit_profile visit, int (*end)(struct reader *r, uint32_t first))
{
    struct hone_wire file = r->file;
    struct hone_wire_field field;
    int status;
    while ((status = hone_otlp_next(&r->o, &file, &field)) > 0) {
        status = 0;
        if (field.number == 1) {
            status = hone_otlp_want(&r->o, &field, HONE_WIRE_BYTES);
            if (!status)
                status = walk_resource(r, field.body, visit, end);
        }
        if (status)
            return status;
    }
    return status;
}

// --- heads of profiles ---------------------------------------------------------------------------

static void add_comment(struct hone_profile *p, uint32_t text)
{
    for (uint32_t i = 0; i < p->comment_count; i++)
        if (p->comments[i] == text)
            return; // each profile of the file repeats it
    hone_profile_add_comment(p, hone_profile_text(p, text));
}

// Takes what pprof keeps in its head; what else there is becomes labels when samples are read.
static int take_head_attributes(struct reader *r, bool as_labels)
{
    struct hone_profile *p = r->o.profile;
    int status = 0;
    for (uint32_t i = 0; !status && i < r->parts.count; i++) {
        const struct hone_profile_label *label = &r->parts.at[i];
        if (hone_otlp_is(&r->o, label, "pprof.profile.comment"))
            add_comment(p, label->text);
        else if (hone_otlp_is(&r->o, label, "pprof.profile.doc_url"))
            p->doc_url = label->text;
        else if (hone_otlp_is(&r->o, label, "pprof.profile.drop_frames"))
            p->drop_frames = label->text;
        else if (hone_otlp_is(&r->o, label, "pprof.profile.keep_frames"))
            p->keep_frames = label->text;
        else if (as_labels)
            status = add_base(r, label);
    }
    return status;
}

static void take_period(struct reader *r, struct hone_profile_type type, int64_t period)
{
    struct hone_profile *p = r->o.profile;
    if (!type.type && !type.unit && !period)
        return;
    if (!p->period_type.type && !p->period_type.unit && !p->period) {
        p->period_type = type;
        p->period = period;
    } else if (p->period_type.type != type.type || p->period_type.unit != type.unit ||
               p->period != period) {
        r->periods_differ = true;
    }
}

static void take_time(struct reader *r, uint64_t start_ns, uint64_t duration_ns)
{
    if (start_ns && (!r->start_ns || start_ns < r->start_ns))
        r->start_ns = start_ns;
    uint64_t end_ns;
    if (__builtin_add_overflow(start_ns, duration_ns, &end_ns))
        end_ns = UINT64_MAX;
    if (end_ns > r->end_ns)
        r->end_ns = end_ns;
}

// Before version 1.10.0 the values were field 2, packed, attributes 3 and the link 4.
static void judge_sample(struct reader *r, struct hone_wire sample, bool *judged)
{
    struct hone_wire_field field;
    while (!*judged && sample.at < sample.end && !hone_wire_next(&sample, &field)) {
        if (field.number != 3 && field.number != 4)
            continue;
        r->old = (field.number == 3) == (field.type == HONE_WIRE_BYTES);
        *judged = true;
    }
}

static int visit_head(struct reader *r, struct hone_wire profile)
{
    struct hone_otlp *o = &r->o;
    struct hone_wire_field field;
    struct head head = {0};
    struct hone_profile_type period_type = {0};
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
    int64_t period = 0;
    bool judged = r->old;
    int status;
    r->parts.count = 0;
    while ((status = hone_otlp_next(o, &profile, &field)) > 0) {
        static const enum hone_wire_type kinds[] = {
            [1] = HONE_WIRE_BYTES,  [2] = HONE_WIRE_BYTES,  [3] = HONE_WIRE_64,
            [4] = HONE_WIRE_VARINT, [5] = HONE_WIRE_BYTES,  [6] = HONE_WIRE_VARINT,
            [7] = HONE_WIRE_BYTES,  [8] = HONE_WIRE_VARINT, [9] = HONE_WIRE_BYTES,
            [10] = HONE_WIRE_BYTES,
        };
        status =
            field.number && field.number <= 10 ? hone_otlp_want(o, &field, kinds[field.number]) : 0;
        if (status)
            return status;
        if (field.number == 1)
            status = hone_otlp_type(o, field.body, &head.type);
        else if (field.number == 2)
            judge_sample(r, field.body, &judged);
        else if (field.number == 3)
            start_ns = field.value;
        else if (field.number == 4)
            duration_ns = field.value;
        else if (field.number == 5)
            status = hone_otlp_type(o, field.body, &period_type);
        else if (field.number == 6)
            period = (int64_t)field.value;
        else if (field.number == 8)
            o->dropped += field.value;
        else if (field.number == 10)
            r->payload_bytes += (size_t)(field.body.end - field.body.at);
        else if (field.number == 11)
            status = hone_otlp_add_attributes(o, &r->parts, &field);
        if (status)
            return status;
    }
    if (status)
        return status;
    take_period(r, period_type, period);
    take_time(r, start_ns, duration_ns);
    status = take_head_attributes(r, false);
    if (!status && !hone_array_reserve(&r->heads, &r->head_room, (uint64_t)r->head_count + 1,
                                       sizeof *r->heads))
        return hone_otlp_out_of_memory(o);
    if (!status)
        r->heads[r->head_count++] = head;
    return status;
}

// The sample type of a profile: one that is there or the next one.
static int place_type(struct reader *r, struct head *head)
{
    struct hone_profile *p = r->o.profile;
    uint32_t i = 0;
    while (i < p->type_count &&
           (p->types[i].type != head->type.type || p->types[i].unit != head->type.unit))
        i++;
    if (i == HONE_PROFILE_TYPES_MAX)
        return hone_otlp_bad(&r->o, r->file.at, "more than %d sample types",
                             HONE_PROFILE_TYPES_MAX);
    if (i == p->type_count)
        p->types[p->type_count++] = head->type;
    head->column = i;
    return 0;
}

// A scope that was one of pprof says in which order its types were, and so do we then.
static int end_of_scope(struct reader *r, uint32_t first)
{
    struct hone_profile *p = r->o.profile;
    uint32_t count = r->head_count - first;
    bool was_pprof = r->order_count == count && count;
    int status = 0;
    for (int64_t place = 0; was_pprof && !status && place < count; place++)
        for (uint32_t i = 0; i < count && !status; i++)
            if (r->order[i] == place)
                status = place_type(r, &r->heads[first + i]);
    for (uint32_t i = 0; i < count && !status; i++)
        status = place_type(r, &r->heads[first + i]);
    // What a file begins with is what is to be shown of it; pprof shows the last type.
    if (!first && count && !was_pprof && p->type_count > 1)
        p->default_type = r->heads[0].type.type;
    if (!p->default_type && r->default_type)
        p->default_type = r->default_type;
    return status;
}

// --- samples -------------------------------------------------------------------------------------

struct totals {
    int64_t value;
    uint64_t value_count;
    uint64_t timestamp_count;
};

static int add_values(struct reader *r, const struct hone_wire_field *field, struct totals *totals)
{
    struct hone_otlp_numbers numbers = {.field = field};
    uint64_t value;
    int status;
    while ((status = hone_otlp_next_number(&r->o, &numbers, &value)) > 0) {
        if (__builtin_add_overflow(totals->value, (int64_t)value, &totals->value))
            totals->value = (int64_t)value < 0 ? INT64_MIN : INT64_MAX;
        totals->value_count++;
    }
    return status;
}

static int count_timestamps(struct reader *r, const struct hone_wire_field *field,
                            struct totals *totals)
{
    if (field->type == HONE_WIRE_64) {
        totals->timestamp_count++;
        return 0;
    }
    int status = hone_otlp_want(&r->o, field, HONE_WIRE_BYTES);
    size_t len = (size_t)(field->body.end - field->body.at);
    if (!status && len % 8)
        return hone_otlp_bad(&r->o, field->start, "timestamps of %zu bytes", len);
    totals->timestamp_count += len / 8;
    return status;
}

// Labels of the surroundings, unless the sample has one of that name itself.
static int add_base_labels(struct reader *r)
{
    uint32_t own = r->sample.count;
    for (uint32_t i = 0; i < r->base.count; i++) {
        uint32_t k = 0;
        while (k < own && r->sample.at[k].key != r->base.at[i].key)
            k++;
        if (k < own)
            continue;
        int status = hone_otlp_add_label(&r->o, &r->sample, &r->base.at[i]);
        if (status)
            return status;
    }
    return 0;
}

static int add_sample(struct reader *r, const struct head *head, uint32_t stack,
                      const struct totals *totals)
{
    int64_t values[HONE_PROFILE_TYPES_MAX] = {0};
    int status = add_base_labels(r);
    if (status)
        return status;
    // A sample without values counts 1 at each of its times.
    values[head->column] = totals->value_count ? totals->value : (int64_t)totals->timestamp_count;
    r->o.lost_timestamps += totals->timestamp_count;
    (void)hone_profile_add_sample(r->o.profile, stack, values, r->sample.at, r->sample.count);
    status = hone_profile_status(r->o.profile);
    return status ? hone_error_set(r->o.err, status, "cannot read '%s'", r->o.name) : 0;
}

static int read_sample(struct reader *r, const struct head *head, struct hone_wire sample)
{
    enum { STACK, ATTRIBUTES, LINK, VALUES, TIMESTAMPS, NONE };
    static const unsigned char meanings[2][6] = {
        {NONE, STACK, ATTRIBUTES, LINK, VALUES, TIMESTAMPS},
        {NONE, STACK, VALUES, ATTRIBUTES, LINK, TIMESTAMPS},
    };
    struct hone_otlp *o = &r->o;
    struct hone_wire_field field;
    struct totals totals = {0};
    uint32_t stack = 0;
    int status;
    r->sample.count = 0;
    while ((status = hone_otlp_next(o, &sample, &field)) > 0) {
        status = 0;
        unsigned meaning = field.number < 6 ? meanings[r->old][field.number] : NONE;
        if (meaning == STACK || meaning == LINK)
            status = hone_otlp_want(o, &field, HONE_WIRE_VARINT);
        if (!status && meaning == STACK)
            status = hone_otlp_stack(o, field.value, field.start, &stack);
        else if (!status && meaning == ATTRIBUTES)
            status = hone_otlp_add_attributes(o, &r->sample, &field);
        else if (!status && meaning == LINK)
            status = hone_otlp_add_link(o, &r->sample, field.value, field.start);
        else if (meaning == VALUES)
            status = add_values(r, &field, &totals);
        else if (meaning == TIMESTAMPS)
            status = count_timestamps(r, &field, &totals);
        if (status)
            return status;
    }
    return status ? status : add_sample(r, head, stack, &totals);
}

static int visit_samples(struct reader *r, struct hone_wire profile)
{
    const struct head *head = &r->heads[r->head_count++];
    struct hone_wire all = profile;
    struct hone_wire_field field;
    int status;
    r->parts.count = 0;
    while ((status = hone_otlp_next(&r->o, &all, &field)) > 0) {
        status = field.number == 11 ? hone_otlp_add_attributes(&r->o, &r->parts, &field) : 0;
        if (status)
            return status;
    }
    if (!status)
        status = take_head_attributes(r, true);
    while (!status && (status = hone_otlp_next(&r->o, &profile, &field)) > 0)
        status = field.number == 2 ? read_sample(r, head, field.body) : 0;
    return status;
}

// --- the whole -----------------------------------------------------------------------------------

static int read_dictionary(struct reader *r)
{
    struct hone_wire file = r->file;
    struct hone_wire_field field;
    bool found = false;
    int status;
    while ((status = hone_otlp_next(&r->o, &file, &field)) > 0) {
        if (field.number != 2)
            continue;
        status = hone_otlp_want(&r->o, &field, HONE_WIRE_BYTES);
        if (!status && found)
            return hone_otlp_bad(&r->o, field.start, "second dictionary");
        if (!status)
            status = hone_otlp_read_tables(&r->o, field.body);
        if (status)
            return status;
        found = true;
    }
    if (!status && !found)
        return hone_otlp_bad(&r->o, r->file.at, "no dictionary, so no profiles,");
    return status;
}

static void comment(struct hone_profile *p, const char *format, unsigned long long number)
{
    char text[160];
    (void)snprintf(text, sizeof text, format, number);
    hone_profile_add_comment(p, text);
}

// What a profile of pprof cannot say.
static void tell_losses(struct reader *r)
{
    struct hone_profile *p = r->o.profile;
    if (r->o.lost_timestamps)
        comment(p, "left out of OTLP: the times of samples (%llu)", r->o.lost_timestamps);
    if (r->o.lost_attributes)
        comment(p, "left out of OTLP: attributes of mappings and locations (%llu)",
                r->o.lost_attributes);
    if (r->payload_bytes)
        comment(p, "left out of OTLP: original payload of %llu bytes", r->payload_bytes);
    if (r->o.dropped)
        comment(p, "missing in OTLP: attributes that its writer dropped (%llu)", r->o.dropped);
    if (r->periods_differ)
        hone_profile_add_comment(p, "left out of OTLP: periods that differ from the first");
}

int hone_otlp_read_from(const void *bytes, size_t len, const char *name,
                        const struct hone_otlp_origin *origin, struct hone_profile **ret,
                        struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {
        .o = {.name = name,
              .start = bytes,
              .origin = origin,
              .err = err,
              .profile = hone_profile_new()},
        .file = {bytes, (const unsigned char *)bytes + len},
    };
    if (!r.o.profile)
        return hone_otlp_out_of_memory(&r.o);
    int status = read_dictionary(&r);
    if (!status)
        status = walk(&r, visit_head, end_of_scope);
    uint64_t dropped = r.o.dropped;
    r.head_count = 0; // counts again while samples are read
    if (!status)
        status = hone_otlp_add_mappings(&r.o);
    if (!status)
        status = walk(&r, visit_samples, NULL);
    if (status)
        return status;
    r.o.dropped = dropped;
    struct hone_profile *p = r.o.profile;
    p->time_ns = (int64_t)r.start_ns;
    uint64_t duration_ns = r.end_ns - r.start_ns;
    p->duration_ns = duration_ns > INT64_MAX ? INT64_MAX : (int64_t)duration_ns;
    tell_losses(&r);
    return hone_build_finish(&r.o.profile, name, ret, err);
}

int hone_otlp_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                   struct hone_error *err)
{
    return len ? hone_otlp_read_from(bytes, len, name, NULL, ret, err)
               : hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty", name);
}

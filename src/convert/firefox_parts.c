#include "convert/firefox_parts.h"

#include "convert/lines.h"

bool hone_column_add(struct hone_column *column, int64_t value)
{
    if (!hone_array_reserve(&column->at, &column->room, (uint64_t)column->count + 1,
                            sizeof *column->at))
        return false;
    column->at[column->count++] = value;
    return true;
}

void hone_column_done(struct hone_column *column)
{
    free(column->at);
    *column = (struct hone_column){0};
}

int hone_column_read(struct hone_json *json, struct hone_profile *profile,
                     struct hone_column *column)
{
    int r = hone_json_array(json);
    while (!r && (r = hone_json_item(json)) > 0) {
        int64_t value = INT64_MIN;
        uint32_t text = 0;
        switch (hone_json_peek(json)) {
        case HONE_JSON_NUMBER:
            r = hone_json_integer(json, &value);
            break;
        case HONE_JSON_STRING:
            r = hone_firefox_read_text(json, profile, &text);
            value = text;
            break;
        default:
            r = hone_json_skip(json);
        }
        if (!r && !hone_column_add(column, value))
            return hone_build_out_of_memory(json->name, json->err);
    }
    return r;
}

int hone_firefox_read_text(struct hone_json *json, struct hone_profile *profile, uint32_t *ret)
{
    struct hone_str text;
    if (hone_json_peek(json) != HONE_JSON_STRING)
        return hone_json_skip(json);
    int r = hone_json_string(json, &text);
    if (!r)
        *ret = hone_profile_intern_str(profile, text);
    return r;
}

int hone_firefox_read_id(struct hone_json *json, struct hone_profile *profile, int64_t *ret)
{
    if (hone_json_peek(json) == HONE_JSON_NUMBER)
        return hone_json_integer(json, ret);
    uint32_t text = 0;
    int r = hone_firefox_read_text(json, profile, &text);
    if (!r && text && !hone_str_signed(hone_profile_str(profile, text), ret))
        *ret = 0;
    return r;
}

uint32_t hone_firefox_labels(struct hone_profile *profile, const struct hone_firefox_who *who)
{
    struct hone_profile_label labels[4];
    size_t count = 0;
    if (who->process)
        labels[count++] = (struct hone_profile_label){
            .key = hone_profile_intern(profile, "process"), .text = who->process};
    if (who->thread)
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(profile, "thread"),
                                                      .text = who->thread};
    if (who->pid)
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(profile, "pid"),
                                                      .number = who->pid};
    if (who->tid)
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(profile, "tid"),
                                                      .number = who->tid};
    return hone_profile_add_label_set(profile, labels, count);
}

// Tables of gecko's format: a "schema", which column is what, and "data", arrays for rows, which
// may be short.
#include "convert/firefox_parts.h"

enum { COLUMNS_MAX = 64, NO_COLUMN = UINT32_MAX };

int hone_gecko_find_table(struct hone_json *json, struct hone_gecko_table *ret)
{
    struct hone_str key;
    int r = hone_json_object(json);
    while (!r && (r = hone_json_key(json, &key)) > 0) {
        enum hone_json_kind kind = hone_json_peek(json);
        if (hone_json_is(key, "schema") && kind == HONE_JSON_OBJECT)
            ret->schema = json->at;
        else if (hone_json_is(key, "data") && kind == HONE_JSON_ARRAY)
            ret->data = json->at;
        r = hone_json_skip(json);
    }
    return r;
}

static int read_schema(struct hone_json *json, const char *place, struct hone_gecko_wanted *wanted,
                       size_t count)
{
    struct hone_str key;
    hone_json_go(json, place);
    int r = hone_json_object(json);
    while (!r && (r = hone_json_key(json, &key)) > 0) {
        size_t i = 0;
        while (i < count && !hone_json_is(key, wanted[i].name))
            i++;
        int64_t column = -1;
        if (i == count || hone_json_peek(json) != HONE_JSON_NUMBER)
            r = hone_json_skip(json);
        else
            r = hone_json_integer(json, &column);
        if (!r && column >= 0 && column < COLUMNS_MAX)
            wanted[i].column = (uint32_t)column;
    }
    return r;
}

static int read_row(struct hone_json *json, const struct hone_gecko_wanted *wanted, size_t count)
{
    int64_t values[COLUMNS_MAX];
    for (size_t i = 0; i < count; i++)
        if (wanted[i].column != NO_COLUMN)
            values[wanted[i].column] = INT64_MIN;
    int r = hone_json_array(json);
    for (uint32_t column = 0; !r && (r = hone_json_item(json)) > 0; column++) {
        bool is_wanted = false;
        for (size_t i = 0; i < count; i++)
            is_wanted |= wanted[i].column == column;
        r = is_wanted && hone_json_peek(json) == HONE_JSON_NUMBER
                ? hone_json_integer(json, &values[column])
                : hone_json_skip(json);
    }
    for (size_t i = 0; i < count && !r; i++)
        if (!hone_column_add(wanted[i].to,
                             wanted[i].column == NO_COLUMN ? INT64_MIN : values[wanted[i].column]))
            return hone_build_out_of_memory(json->name, json->err);
    return r;
}

int hone_gecko_read_table(struct hone_json *json, const struct hone_gecko_table *table,
                          struct hone_gecko_wanted *wanted, size_t count)
{
    if (!table->data)
        return 0;
    if (!table->schema) {
        json->at = table->data;
        return hone_json_bad(json, "a table without a 'schema'");
    }
    for (size_t i = 0; i < count; i++)
        wanted[i].column = NO_COLUMN;
    int r = read_schema(json, table->schema, wanted, count);
    if (r)
        return r;
    hone_json_go(json, table->data);
    r = hone_json_array(json);
    while (!r && (r = hone_json_item(json)) > 0)
        r = read_row(json, wanted, count);
    return r;
}

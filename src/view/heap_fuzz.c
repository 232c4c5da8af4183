// The first screen on a heap from any bytes: a session.json, or a profile of the heap and of CPU
// time. Whatever they say, it returns, and what it prints as JSON is JSON.
#include "view/heap.h"

#include "analyse/heap_facts.h"
#include "analyse/heap_summary.h"
#include "analyse/pressure.h"
#include "profile/profile.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(const struct hone_heap_view *view)
{
    struct hone_buffer out = {0};
    (void)hone_text_heap(view, &out, NULL);
    hone_buffer_done(&out);
    if (hone_json_heap(view, &out, NULL) == 0) {
        json_error_t why;
        json_t *json = json_loadb(out.at, out.len, 0, &why);
        if (!json)
            abort();
        json_decref(json);
    }
    hone_buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct hone_heap_facts facts;
    struct hone_pressure pressure;
    struct hone_profile *p = NULL;
    struct hone_heap_summary *summary = NULL;
    struct hone_profile_limits limits = {.plain_bytes = 1 << 20};
    bool text = hone_heap_facts_read(&facts, (const char *)data + 1, size - 1, NULL) == 0;
    if (!text && hone_profile_decode(data + 1, size - 1, "fuzz", &limits, &p, NULL) == 0)
        (void)hone_heap_summary_new(p, data[0] % 8u + 1, &summary, NULL);
    bool timed = p && hone_pressure_of(p, &pressure, NULL) == 0;
    if (text || p)
        show(&(struct hone_heap_view){.profile = p,
                                      .summary = summary,
                                      .peak = data[0] & 8 ? summary : NULL,
                                      .facts = &facts,
                                      .pressure = timed ? &pressure : NULL,
                                      .directory = data[0] & 16 ? "x" : NULL,
                                      .width = data[0] & 32   ? 80
                                               : data[0] & 64 ? 20
                                                              : 0});
    hone_heap_summary_free(summary);
    hone_profile_free(p);
    hone_heap_facts_done(&facts);
    return 0;
}

#include "view/dot_parts.h"

#include "base/array.h"
#include "base/base.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

struct words {
    struct hone_table table;
    struct hone_str *texts; // number 0 is none
    uint32_t room;
    uint32_t count;
};

static int find_word(struct words *words, struct hone_str text, uint32_t *ret)
{
    uint64_t hash = hone_table_hash(text.at, text.len, hone_table_seed());
    struct hone_table_probe probe = hone_table_probe(&words->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&words->table, &probe)) != HONE_TABLE_END)
        // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the table holds words that are there
        if (hone_str_equal(words->texts[at], text)) {
            *ret = at;
            return 0;
        }
    uint64_t need = (uint64_t)words->count + 2;
    if (!hone_array_reserve(&words->texts, &words->room, need, sizeof *words->texts) ||
        hone_table_add(&words->table, hash, words->count + 1))
        return -ENOMEM;
    *ret = ++words->count;
    words->texts[*ret] = text;
    return 0;
}

static int compare_texts(const void *left, const void *right)
{
    return hone_str_compare(*(const struct hone_str *)left, *(const struct hone_str *)right);
}

struct collection {
    struct hone_dot_labels *labels;
    const struct hone_profile *profile;
    struct words words;
    struct words sizes;
    struct hone_str *texts; // of one label set
    uint32_t size_room;
    uint32_t size_count;
    uint32_t bytes; // string: the key of sizes; 0 when no label has it
    const char *shown_unit;
};

// "key:value" of every text, in order, with "\n" between, which is how Graphviz breaks lines.
static int join_texts(struct collection *c, uint32_t count, struct hone_str *ret)
{
    qsort(c->texts, count, sizeof *c->texts, compare_texts);
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++)
        len += c->texts[i].len + 2;
    char *made = hone_arena_alloc(&c->labels->arena, len);
    if (!made)
        return -ENOMEM;
    *ret = (struct hone_str){made, 0};
    for (uint32_t i = 0; i < count; i++) {
        if (i) {
            memcpy(made + ret->len, "\\n", 2);
            ret->len += 2;
        }
        memcpy(made + ret->len, c->texts[i].at, c->texts[i].len);
        ret->len += c->texts[i].len;
    }
    made[ret->len] = '\0';
    return 0;
}

static int collect_word(struct collection *c, struct hone_profile_label_span labels, uint32_t *ret)
{
    const struct hone_profile *p = c->profile;
    uint32_t count = 0;
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        const char *key = hone_profile_text(p, label->key);
        if (!label->text || strcmp(key, "pprof::base") == 0) // the mark of a comparison's base
            continue;
        c->texts[count] = hone_str_of(
            hone_arena_format(&c->labels->arena, "%s:%s", key, hone_profile_text(p, label->text)));
        if (!c->texts[count++].at)
            return -ENOMEM;
    }
    struct hone_str text;
    *ret = 0;
    if (!count)
        return 0;
    int r = count == 1 ? (text = c->texts[0], 0) : join_texts(c, count, &text);
    return r ? r : find_word(&c->words, text, ret);
}

static int collect_sizes(struct collection *c, struct hone_profile_label_span labels)
{
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        if (label->text || label->key != c->bytes)
            continue;
        const char *text = hone_arena_format(
            &c->labels->arena, "%s",
            hone_measure_label(label->number, c->labels->unit, c->shown_unit).text);
        uint32_t name;
        if (!text || find_word(&c->sizes, hone_str_of(text), &name) ||
            !hone_array_reserve(&c->labels->all_sizes, &c->size_room, (uint64_t)c->size_count + 1,
                                sizeof *c->labels->all_sizes))
            return -ENOMEM;
        c->labels->all_sizes[c->size_count++] =
            (struct hone_graph_size){.name = name, .value = label->number};
    }
    return 0;
}

// The key of sizes, and their unit: the first that any of them has.
static void find_sizes(struct collection *c)
{
    const struct hone_profile *p = c->profile;
    c->labels->unit = "bytes";
    for (uint32_t i = 0; i < p->labels.count; i++) {
        const struct hone_profile_label *label = &p->labels.at[i];
        if (label->text || strcmp(hone_profile_text(p, label->key), "bytes") != 0)
            continue;
        c->bytes = label->key;
        if (!label->unit)
            continue;
        c->labels->unit = hone_profile_text(p, label->unit);
        return;
    }
}

static int collect(struct collection *c)
{
    const struct hone_profile *p = c->profile;
    struct hone_dot_labels *labels = c->labels;
    uint32_t sets = p->label_sets.count;
    uint32_t most = 0;
    for (uint32_t i = 0; i < sets; i++)
        if (hone_profile_labels_of(p, i).count > most)
            most = hone_profile_labels_of(p, i).count;
    c->texts = calloc((size_t)most + 1, sizeof *c->texts);
    labels->word_of_set = calloc((size_t)sets + 1, sizeof *labels->word_of_set);
    labels->first_size_of_set = calloc((size_t)sets + 1, sizeof *labels->first_size_of_set);
    if (!c->texts || !labels->word_of_set || !labels->first_size_of_set)
        return -ENOMEM;
    find_sizes(c);
    int r = 0;
    for (uint32_t i = 0; !r && i < sets; i++) {
        struct hone_profile_label_span span = hone_profile_labels_of(p, i);
        labels->first_size_of_set[i] = c->size_count;
        r = collect_word(c, span, &labels->word_of_set[i]);
        if (!r && c->bytes)
            r = collect_sizes(c, span);
    }
    labels->first_size_of_set[sets] = c->size_count;
    return r;
}

int hone_dot_labels_init(struct hone_dot_labels *labels, const struct hone_profile *profile,
                         const char *unit)
{
    *labels = (struct hone_dot_labels){0};
    struct collection c = {.labels = labels, .profile = profile, .shown_unit = unit};
    int r = collect(&c);
    hone_table_done(&c.words.table);
    hone_table_done(&c.sizes.table);
    free(c.texts);
    labels->words = c.words.texts;
    labels->sizes = c.sizes.texts;
    labels->graph = (struct hone_graph_labels){.word = labels->word_of_set,
                                               .first_size = labels->first_size_of_set,
                                               .sizes = labels->all_sizes};
    return r;
}

void hone_dot_labels_done(struct hone_dot_labels *labels)
{
    free(labels->words);
    free(labels->sizes);
    free(labels->word_of_set);
    free(labels->first_size_of_set);
    free(labels->all_sizes);
    hone_arena_done(&labels->arena);
}

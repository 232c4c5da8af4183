#include "view/flame_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A legend entry is a family of code with what it took of its own. Libraries are shown by their
// files, which may share a hue: then the entry names those that take most.

struct module_sum {
    struct hone_str file;
    unsigned family;
    int64_t self;
};

static int compare_modules(const void *a, const void *b)
{
    const struct module_sum *left = a, *right = b;
    if (left->family != right->family)
        return left->family < right->family ? -1 : 1;
    size_t shorter = left->file.len < right->file.len ? left->file.len : right->file.len;
    int order = shorter ? memcmp(left->file.at, right->file.at, shorter) : 0;
    return order ? order : (left->file.len > right->file.len) - (left->file.len < right->file.len);
}

static int compare_sums(const void *a, const void *b)
{
    const struct module_sum *left = a, *right = b;
    if (left->self != right->self)
        return left->self > right->self ? -1 : 1;
    return compare_modules(a, b);
}

static int compare_keys(const void *a, const void *b)
{
    const struct hone_flame_key *left = a, *right = b;
    if (left->self != right->self)
        return left->self > right->self ? -1 : 1;
    return (left->family > right->family) - (left->family < right->family);
}

// Makes one entry of each module out of many.
static size_t join(struct module_sum *sums, size_t count)
{
    qsort(sums, count, sizeof *sums, compare_modules);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (used && compare_modules(&sums[used - 1], &sums[i]) == 0)
            sums[used - 1].self += sums[i].self;
        else
            sums[used++] = sums[i];
    }
    qsort(sums, used, sizeof *sums, compare_sums);
    return used;
}

static struct hone_str library_label(struct hone_flame *flame, unsigned family,
                                     const struct module_sum *sums, size_t count)
{
    enum { NAMED = 2 };
    struct hone_buffer label = {0};
    size_t modules = 0;
    for (size_t i = 0; i < count; i++) {
        if (sums[i].family != family)
            continue;
        if (modules < NAMED) {
            hone_buffer_text(&label, modules ? ", " : "");
            hone_buffer_add(&label, sums[i].file.at, sums[i].file.len);
        }
        modules++;
    }
    if (modules > NAMED)
        hone_buffer_format(&label, " and %zu more", modules - NAMED);
    struct hone_str text = {label.at, label.failed ? 0 : label.len};
    text = hone_utf8_clean(&flame->arena, text, 120, &flame->failed);
    flame->failed |= label.failed;
    hone_buffer_done(&label);
    return text;
}

static struct hone_str family_label(struct hone_flame *flame, unsigned family,
                                    const struct module_sum *sums, size_t count)
{
    const char *name = hone_flame_family_name(family);
    if (!name)
        return library_label(flame, family, sums, count);
    if (family == HONE_FLAME_PROGRAM && flame->program.len)
        return hone_utf8_clean(&flame->arena, hone_flame_file_of(flame->program), 60,
                               &flame->failed);
    return hone_str_of(name);
}

int hone_flame_legend(struct hone_flame *flame)
{
    const struct hone_tree *tree = flame->tree;
    if (tree->frame_count == 0)
        return 0;
    HONE_CLEANUP(hone_freep) struct module_sum *sums = calloc(tree->frame_count, sizeof *sums);
    if (!sums)
        return -ENOMEM;
    for (size_t i = 0; i < tree->frame_count; i++) {
        sums[i].file = hone_flame_file_of(tree->frames[i].module);
        sums[i].family = flame->colors[i] / HONE_FLAME_SHADES;
        sums[i].self = tree->frame_self[i];
    }
    int64_t selves[HONE_FLAME_FAMILIES] = {0};
    int64_t widest[HONE_FLAME_FAMILIES] = {0};
    for (size_t i = 0; i < tree->frame_count; i++)
        selves[sums[i].family] += sums[i].self;
    for (size_t i = tree->upper_end ? 2 : 1; i < tree->node_count; i++) {
        const struct hone_tree_node *node = &tree->nodes[i];
        unsigned family = flame->colors[node->frame] / HONE_FLAME_SHADES;
        if (node->total > widest[family])
            widest[family] = node->total;
    }
    selves[HONE_FLAME_TRUNCATED] = tree->truncated; // such a frame has nothing of its own
    size_t count = join(sums, tree->frame_count);
    for (unsigned family = 0; family < HONE_FLAME_FAMILIES; family++) {
        // What neither takes time nor can be seen in the whole picture needs no explanation.
        if (selves[family] == 0 && widest[family] <= tree->nodes[0].total / HONE_FLAME_LEGEND_PARTS)
            continue;
        flame->keys[flame->key_count++] = (struct hone_flame_key){
            .label = family_label(flame, family, sums, count),
            .family = family,
            .self = selves[family],
        };
    }
    qsort(flame->keys, flame->key_count, sizeof *flame->keys, compare_keys);
    return flame->failed ? -ENOMEM : 0;
}

// Makes an index: threads flatten units (elf/dwarf.h) into parts of it, and one joins them in the
// order of units, so equal modules give equal bytes.
#include "base/buffer.h"
#include "base/table.h"
#include "symbol/module.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

struct named {
    struct hone_symbol_naming naming;
    uint32_t start_line;
};

// One unit, in numbers of its own.
struct part {
    struct hone_symbol_index_segment *segments; // all heap
    struct hone_symbol_index_piece *pieces;
    struct hone_symbol_index_node *nodes;
    struct named *functions;
    const char **files; // texts are the readers'
    uint32_t segment_count, piece_count, node_count, function_count, file_count;
};

struct making {
    struct hone_symbol_module *module;
    struct part *parts; // by unit
    size_t count;
    _Atomic size_t next; // unit; relaxed: it orders nothing but itself
    _Atomic int status;  // the first that went wrong; relaxed: read when all threads have ended
};

static void part_done(struct part *part)
{
    free(part->segments);
    free(part->pieces);
    free(part->nodes);
    free(part->functions);
    free(part->files);
    *part = (struct part){0};
}

static void making_done(struct making *making)
{
    for (size_t i = 0; making->parts && i < making->count; i++)
        part_done(&making->parts[i]);
    free(making->parts);
}

// ---- In threads

// The part's number of a function; equal ones get the same.
static int function_of(const struct hone_symbol_module *module, const struct hone_dwarf_node *node,
                       struct hone_symbol_knowns *known, struct part *part, uint32_t *ret)
{
    const struct hone_elf_function *begins =
        node->parent == HONE_DWARF_NO_NODE ? hone_symbol_beginning(module, node->entry) : NULL;
    struct hone_symbol_known *slot = hone_symbol_known_slot(known, node->function, NULL, begins);
    if (!slot)
        return -ENOMEM;
    if (slot->made) {
        *ret = (uint32_t)((const struct named *)slot->made - part->functions);
        return 0;
    }
    struct named *named = &part->functions[part->function_count];
    *named = (struct named){hone_symbol_naming(node->function, begins), node->function->line};
    *slot = (struct hone_symbol_known){node->function, NULL, begins, named};
    known->count++;
    *ret = part->function_count++;
    return 0;
}

// Takes the nodes that have names, in their order; numbers tells what became of each.
static int take_nodes(const struct hone_symbol_module *module, const struct hone_dwarf_flat *flat,
                      struct part *part, uint32_t *numbers)
{
    part->nodes = calloc(flat->node_count + (size_t)1, sizeof *part->nodes);
    part->functions = calloc(flat->node_count + (size_t)1, sizeof *part->functions);
    struct hone_symbol_knowns known = {0};
    int r = part->nodes && part->functions ? 0 : -ENOMEM;
    for (uint32_t i = 0; i < flat->node_count && !r; i++) {
        const struct hone_dwarf_node *node = &flat->nodes[i];
        if (!node->function)
            continue;
        struct hone_symbol_index_node *kept = &part->nodes[part->node_count];
        *kept = (struct hone_symbol_index_node){
            .parent =
                node->parent == HONE_DWARF_NO_NODE ? HONE_SYMBOL_INDEX_NONE : numbers[node->parent],
            .file = node->file < flat->path_count ? node->file : HONE_SYMBOL_INDEX_NONE,
            .line = node->line,
            .column = node->column,
        };
        r = function_of(module, node, &known, part, &kept->function);
        numbers[i] = part->node_count++;
    }
    hone_symbol_knowns_done(&known);
    return r;
}

static int take_pieces(const struct hone_dwarf_flat *flat, struct part *part,
                       const uint32_t *numbers)
{
    part->segments = calloc(flat->segment_count + (size_t)1, sizeof *part->segments);
    part->pieces = calloc(flat->piece_count + (size_t)1, sizeof *part->pieces);
    if (!part->segments || !part->pieces)
        return -ENOMEM;
    part->segment_count = flat->segment_count;
    part->piece_count = flat->piece_count;
    for (uint32_t i = 0; i < flat->segment_count; i++) {
        const struct hone_dwarf_segment *segment = &flat->segments[i];
        part->segments[i] = (struct hone_symbol_index_segment){
            .low = segment->low,
            .high = segment->high,
            .first = segment->first,
            .count = segment->count,
        };
        if (segment->high - segment->low > UINT32_MAX)
            return HONE_SYMBOL_UNKNOWN;
        for (uint32_t at = segment->first; at < segment->first + segment->count; at++) {
            const struct hone_dwarf_piece *piece = &flat->pieces[at];
            bool file = piece->file < flat->path_count;
            if (piece->column > UINT16_MAX || (file && piece->file >= UINT16_MAX))
                return HONE_SYMBOL_UNKNOWN; // it does not fit
            part->pieces[at] = (struct hone_symbol_index_piece){
                .offset = (uint32_t)(piece->low - segment->low),
                .node = piece->node == HONE_DWARF_NO_NODE ? HONE_SYMBOL_INDEX_NONE
                                                          : numbers[piece->node],
                .line = piece->line,
                .file = file ? (uint16_t)piece->file : UINT16_MAX,
                .column = (uint16_t)piece->column,
            };
        }
    }
    return 0;
}

static int take_unit(const struct hone_symbol_module *module, struct hone_dwarf *dwarf,
                     uint32_t unit, struct part *part)
{
    struct hone_dwarf_flat flat;
    int r = hone_dwarf_flatten(dwarf, unit, &flat);
    if (r)
        return r < 0 ? r : HONE_SYMBOL_UNKNOWN;
    HONE_CLEANUP(hone_freep)
    uint32_t *numbers = calloc(flat.node_count + (size_t)1, sizeof *numbers);
    r = numbers ? take_nodes(module, &flat, part, numbers) : -ENOMEM;
    if (!r)
        r = take_pieces(&flat, part, numbers);
    if (!r) {
        part->files = hone_take(flat.paths);
        part->file_count = flat.path_count;
    }
    hone_dwarf_flat_done(&flat);
    return r;
}

static void work(void *context, unsigned number)
{
    struct making *making = context;
    const struct hone_symbol_module *module = making->module;
    while (!atomic_load_explicit(&making->status, memory_order_relaxed)) {
        size_t unit = atomic_fetch_add_explicit(&making->next, 1, memory_order_relaxed);
        if (unit >= making->count)
            return;
        int r = take_unit(module, module->dwarfs[number], (uint32_t)unit, &making->parts[unit]);
        if (r)
            atomic_store_explicit(&making->status, r, memory_order_relaxed);
    }
}

// ---- Joining

struct joining {
    struct hone_symbol_index_header header;
    unsigned char *bytes; // heap
    size_t at;            // end of what was laid out
    struct hone_buffer functions, texts;
    struct hone_table known_functions, known_texts;
    struct hone_table names;                   // of functions that were asked for: by system name
    const struct hone_symbol_function **named; // heap
    uint32_t named_count;
};

static void joining_done(struct joining *joining)
{
    free(joining->bytes);
    free(joining->named);
    hone_buffer_done(&joining->functions);
    hone_buffer_done(&joining->texts);
    hone_table_done(&joining->known_functions);
    hone_table_done(&joining->known_texts);
    hone_table_done(&joining->names);
}

static uint32_t add_text(struct joining *joining, const char *text)
{
    if (!text || !text[0] || joining->texts.failed)
        return 0;
    size_t len = strlen(text);
    uint64_t hash = hone_table_hash(text, len, 0);
    struct hone_table_probe probe = hone_table_probe(&joining->known_texts, hash);
    uint32_t at;
    while ((at = hone_table_next(&joining->known_texts, &probe)) != HONE_TABLE_END)
        if (joining->texts.at && strcmp(joining->texts.at + at, text) == 0)
            return at;
    const struct hone_symbol_index_text head = {(uint32_t)len, hone_symbol_text_hash(text, len)};
    hone_buffer_add(&joining->texts, &head, sizeof head);
    size_t offset = joining->texts.len;
    hone_buffer_add(&joining->texts, text, len + 1);
    if (joining->texts.len >= UINT32_MAX - 1 ||
        hone_table_add(&joining->known_texts, hash, (uint32_t)offset))
        joining->texts.failed = true;
    return (uint32_t)offset;
}

// Names that were demangled for somebody need not be demangled again.
static int gather_names(struct joining *joining, const struct hone_symbol_module *module)
{
    joining->named = calloc(module->known.count + 1, sizeof(const struct hone_symbol_function *));
    if (!joining->named)
        return -ENOMEM;
    for (size_t i = 0; i < module->known.capacity; i++) {
        const struct hone_symbol_function *function = module->known.at[i].made;
        if (!function || function->system_name[0] != '_')
            continue;
        size_t len = strlen(function->system_name);
        joining->named[joining->named_count] = function;
        if (hone_table_add(&joining->names, hone_table_hash(function->system_name, len, 0),
                           joining->named_count++))
            return -ENOMEM;
    }
    return 0;
}

// The text of the name for people, 0 when that is not known yet.
static uint32_t name_of(struct joining *joining, struct hone_symbol_naming naming)
{
    // What is not mangled is its own name, unless it is a copy ("f.part.0").
    if (!naming.label)
        return 0;
    if (naming.label[0] != '_')
        return strchr(naming.label, '.') || strchr(naming.label, '@')
                   ? 0
                   : add_text(joining, naming.label);
    if (strcmp(naming.label, naming.system_name) != 0)
        return 0;
    uint64_t hash = hone_table_hash(naming.system_name, strlen(naming.system_name), 0);
    struct hone_table_probe probe = hone_table_probe(&joining->names, hash);
    uint32_t at;
    while ((at = hone_table_next(&joining->names, &probe)) != HONE_TABLE_END)
        if (strcmp(joining->named[at]->system_name, naming.system_name) == 0)
            return add_text(joining, joining->named[at]->name);
    return 0;
}

// Inline functions are in many units: each is kept once.
static uint32_t add_function(struct joining *joining, const struct named *named)
{
    struct hone_symbol_index_function function = {
        .label = add_text(joining, named->naming.label),
        .system = add_text(joining, named->naming.system_name),
        .name = name_of(joining, named->naming),
        .start_line = named->start_line,
    };
    uint64_t hash = hone_table_hash(&function, sizeof function, 0);
    struct hone_table_probe probe = hone_table_probe(&joining->known_functions, hash);
    uint32_t at;
    while ((at = hone_table_next(&joining->known_functions, &probe)) != HONE_TABLE_END)
        if (!joining->functions.failed &&
            memcmp(joining->functions.at + at * sizeof function, &function, sizeof function) == 0)
            return at;
    at = (uint32_t)(joining->functions.len / sizeof function);
    hone_buffer_add(&joining->functions, &function, sizeof function);
    if (hone_table_add(&joining->known_functions, hash, at))
        joining->functions.failed = true;
    return at;
}

static int lay_out(struct joining *joining, enum hone_symbol_index_part part, uint64_t count,
                   size_t size)
{
    joining->header.parts[part].offset = joining->at;
    joining->header.parts[part].count = count;
    joining->at += (count * size + 7) & ~(size_t)7;
    return count > UINT32_MAX - 1 ? HONE_SYMBOL_UNKNOWN : 0;
}

static void *part_at(struct joining *joining, enum hone_symbol_index_part part)
{
    return joining->bytes + joining->header.parts[part].offset;
}

static int by_low(const void *left, const void *right)
{
    const struct hone_symbol_index_segment *a = left, *b = right;
    return a->low < b->low ? -1 : a->low > b->low;
}

// Numbers of the parts before.
struct base {
    uint32_t segment, piece, node, file;
};

static int join_part(struct joining *joining, const struct part *part, struct base *base)
{
    struct hone_symbol_index_segment *segments = part_at(joining, HONE_SYMBOL_INDEX_SEGMENTS);
    struct hone_symbol_index_piece *pieces = part_at(joining, HONE_SYMBOL_INDEX_PIECES);
    struct hone_symbol_index_node *nodes = part_at(joining, HONE_SYMBOL_INDEX_NODES);
    uint32_t *files = part_at(joining, HONE_SYMBOL_INDEX_FILES);
    for (uint32_t i = 0; i < part->segment_count; i++) {
        struct hone_symbol_index_segment *segment = &segments[base->segment + i];
        *segment = part->segments[i];
        segment->first += base->piece;
        segment->files = base->file;
    }
    for (uint32_t i = 0; i < part->piece_count; i++) {
        struct hone_symbol_index_piece *piece = &pieces[base->piece + i];
        *piece = part->pieces[i];
        if (piece->node != HONE_SYMBOL_INDEX_NONE)
            piece->node += base->node;
    }
    HONE_CLEANUP(hone_freep)
    uint32_t *functions = calloc(part->function_count + (size_t)1, sizeof *functions);
    if (!functions)
        return -ENOMEM;
    for (uint32_t i = 0; i < part->function_count; i++)
        functions[i] = add_function(joining, &part->functions[i]);
    for (uint32_t i = 0; i < part->node_count; i++) {
        struct hone_symbol_index_node *node = &nodes[base->node + i];
        *node = part->nodes[i];
        node->function = functions[node->function];
        if (node->parent != HONE_SYMBOL_INDEX_NONE)
            node->parent += base->node;
        if (node->file != HONE_SYMBOL_INDEX_NONE)
            node->file += base->file;
    }
    for (uint32_t i = 0; i < part->file_count; i++)
        files[base->file + i] = add_text(joining, part->files[i]);
    base->segment += part->segment_count;
    base->piece += part->piece_count;
    base->node += part->node_count;
    base->file += part->file_count;
    return 0;
}

static void join_symbols(struct joining *joining, const struct hone_symbol_module *module)
{
    struct hone_symbol_index_symbol *symbols = part_at(joining, HONE_SYMBOL_INDEX_SYMBOLS);
    for (size_t i = 0; i < module->functions.count; i++) {
        const struct hone_elf_function *function = &module->functions.at[i];
        symbols[i] = (struct hone_symbol_index_symbol){
            .start = function->start,
            .end = function->end,
            .label = add_text(joining, function->name),
            .name = name_of(joining, (struct hone_symbol_naming){function->name, function->name}),
        };
    }
}

// Behind the parts of known size come functions and texts, and behind those the sums.
static int join_rest(struct joining *joining)
{
    if (joining->texts.failed || joining->functions.failed)
        return -ENOMEM;
    size_t known = joining->at;
    int r = lay_out(joining, HONE_SYMBOL_INDEX_FUNCTIONS,
                    joining->functions.len / sizeof(struct hone_symbol_index_function),
                    sizeof(struct hone_symbol_index_function));
    if (!r)
        r = lay_out(joining, HONE_SYMBOL_INDEX_TEXTS, joining->texts.len, 1);
    size_t summed = joining->at;
    size_t blocks = (summed + HONE_SYMBOL_INDEX_BLOCK - 1) / HONE_SYMBOL_INDEX_BLOCK;
    if (!r)
        r = lay_out(joining, HONE_SYMBOL_INDEX_SUMS, blocks, sizeof(uint64_t));
    unsigned char *grown = r ? NULL : realloc(joining->bytes, joining->at);
    if (!grown)
        return r ? r : -ENOMEM;
    joining->bytes = grown;
    memset(grown + known, 0, joining->at - known);
    if (joining->functions.len)
        memcpy(part_at(joining, HONE_SYMBOL_INDEX_FUNCTIONS), joining->functions.at,
               joining->functions.len);
    if (joining->texts.len)
        memcpy(part_at(joining, HONE_SYMBOL_INDEX_TEXTS), joining->texts.at, joining->texts.len);

    struct hone_symbol_index_header *header = &joining->header;
    memcpy(header->magic, HONE_SYMBOL_INDEX_MAGIC, sizeof header->magic);
    header->version = HONE_SYMBOL_INDEX_VERSION;
    header->header_bytes = sizeof *header;
    header->file_bytes = joining->at;
    // The header has a sum of its own; in its block it counts as zeros.
    for (size_t i = 0; i < blocks; i++) {
        size_t offset = i * HONE_SYMBOL_INDEX_BLOCK, left = summed - offset;
        size_t len = left < HONE_SYMBOL_INDEX_BLOCK ? left : HONE_SYMBOL_INDEX_BLOCK;
        uint64_t sum = hone_symbol_index_sum(grown + offset, len, i);
        memcpy(grown + summed + i * sizeof sum, &sum, sizeof sum);
    }
    header->sums_sum = hone_symbol_index_sum(grown + summed, blocks * sizeof(uint64_t), 0);
    header->sum = hone_symbol_index_sum(header, offsetof(struct hone_symbol_index_header, sum), 0);
    return 0;
}

static int join(struct making *making, struct joining *joining)
{
    struct base total = {0};
    uint64_t counts[4] = {0};
    for (size_t i = 0; i < making->count; i++) {
        counts[0] += making->parts[i].segment_count;
        counts[1] += making->parts[i].piece_count;
        counts[2] += making->parts[i].node_count;
        counts[3] += making->parts[i].file_count;
    }
    // A block of its own, so that blocks and their sums need not know the header.
    joining->at = HONE_SYMBOL_INDEX_BLOCK;
    int r = lay_out(joining, HONE_SYMBOL_INDEX_SEGMENTS, counts[0],
                    sizeof(struct hone_symbol_index_segment));
    if (!r)
        r = lay_out(joining, HONE_SYMBOL_INDEX_PIECES, counts[1],
                    sizeof(struct hone_symbol_index_piece));
    if (!r)
        r = lay_out(joining, HONE_SYMBOL_INDEX_NODES, counts[2],
                    sizeof(struct hone_symbol_index_node));
    if (!r)
        r = lay_out(joining, HONE_SYMBOL_INDEX_FILES, counts[3], sizeof(uint32_t));
    if (!r)
        r = lay_out(joining, HONE_SYMBOL_INDEX_SYMBOLS, making->module->functions.count,
                    sizeof(struct hone_symbol_index_symbol));
    if (r)
        return r;
    joining->bytes = calloc(1, joining->at);
    if (!joining->bytes)
        return -ENOMEM;
    const char *path = making->module->facts.debug_path;
    joining->header.debug_path = add_text(joining, path);
    for (size_t i = 0; i < making->count; i++) {
        r = join_part(joining, &making->parts[i], &total);
        if (r)
            return r;
        part_done(&making->parts[i]);
    }
    qsort(part_at(joining, HONE_SYMBOL_INDEX_SEGMENTS), counts[0],
          sizeof(struct hone_symbol_index_segment), by_low);
    join_symbols(joining, making->module);
    return join_rest(joining);
}

static void put_build_id(const struct hone_symbol_module *module,
                         struct hone_symbol_index_header *header)
{
    const struct hone_elf_facts *facts = hone_elf_facts(module->elf);
    header->build_id_len = facts->build_id_len;
    memcpy(header->build_id, facts->build_id, facts->build_id_len);
}

int hone_symbol_index_make(struct hone_symbol_module *module, void **ret, size_t *ret_len)
{
    struct hone_dwarf_stats stats = hone_symbol_module_stats(module);
    if (!module->elf || stats.units_broken || stats.split_missing)
        return HONE_SYMBOL_UNKNOWN;
    unsigned threads = hone_crew_size();
    hone_symbol_module_readers(module, threads);
    if (module->dwarf_count < threads)
        threads = module->dwarf_count;
    HONE_CLEANUP(making_done)
    struct making making = {
        .module = module,
        .parts = calloc(stats.units + 1, sizeof *making.parts),
        .count = stats.units,
    };
    HONE_CLEANUP(joining_done) struct joining joining = {0};
    if (!making.parts)
        return -ENOMEM;
    put_build_id(module, &joining.header);
    hone_crew_run(threads, work, &making);
    int r = atomic_load_explicit(&making.status, memory_order_relaxed);
    stats = hone_symbol_module_stats(module);
    if (!r && (stats.units_broken || stats.split_missing))
        r = HONE_SYMBOL_UNKNOWN;
    if (!r)
        r = gather_names(&joining, module);
    if (!r)
        r = join(&making, &joining);
    if (r)
        return r;
    memcpy(joining.bytes, &joining.header, sizeof joining.header);
    *ret_len = joining.at;
    *ret = hone_take(joining.bytes);
    return 0;
}

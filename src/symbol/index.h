// An index: all that a module's symbols and DWARF say about its code in one block of bytes, made
// for being mapped and searched as it lies (index.c reads it, index_write.c makes it).
//
//     header     version, build id, where the parts are, its own checksum
//     segments   runs of addresses, sorted        ──► their pieces, the files of their unit
//     pieces     from this offset on: node, line  ──► innermost node
//     nodes      functions and inlined calls      ──► the node they were inlined into, function
//     files      paths                            ──► texts
//     symbols    of the symbol table, sorted      ──► texts
//     functions  names, each once                 ──► texts
//     texts      each once: length, hash, bytes, NUL; what refers to it means the bytes
//     sums       a checksum of each block of all before
//
// A lookup is two binary searches and a walk from node to node. Nothing in the bytes is believed:
// a block is summed when it is first touched, so opening costs the same for 1 MB and for 1 GB, and
// because whoever damages a file on purpose can sum it, too, each number is checked where it is
// used. What fails a check is -EBADMSG, once and for all.
#ifndef HONE_SYMBOL_INDEX_H
#define HONE_SYMBOL_INDEX_H

#include "base/error.h"
#include "base/table.h"
#include "symbol/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    // Counts up whenever the layout or the meaning of a part changes: older files are made anew.
    HONE_SYMBOL_INDEX_VERSION = 2,
    HONE_SYMBOL_INDEX_BLOCK = 1024, // bytes of a checksum
    HONE_SYMBOL_INDEX_ID_MAX = 64,
};

enum hone_symbol_index_part {
    HONE_SYMBOL_INDEX_SEGMENTS,
    HONE_SYMBOL_INDEX_PIECES,
    HONE_SYMBOL_INDEX_NODES,
    HONE_SYMBOL_INDEX_FILES,
    HONE_SYMBOL_INDEX_SYMBOLS,
    HONE_SYMBOL_INDEX_FUNCTIONS,
    HONE_SYMBOL_INDEX_TEXTS,
    HONE_SYMBOL_INDEX_SUMS,
    HONE_SYMBOL_INDEX_PARTS
};

#define HONE_SYMBOL_INDEX_MAGIC "HONEsym"
#define HONE_SYMBOL_INDEX_NONE UINT32_MAX

struct hone_symbol_index_header {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t file_bytes;
    uint64_t build_id_len;
    unsigned char build_id[HONE_SYMBOL_INDEX_ID_MAX];
    uint32_t debug_path; // text: the file that gave the DWARF
    uint32_t unused;
    struct {
        uint64_t offset; // in the file, a multiple of 8
        uint64_t count;
    } parts[HONE_SYMBOL_INDEX_PARTS];
    uint64_t sums_sum;
    uint64_t sum; // of the header before this field
};

struct hone_symbol_index_segment {
    uint64_t low;
    uint64_t high;
    uint32_t first; // piece
    uint32_t count;
    uint32_t files; // that number 0 of its pieces is
    uint32_t unused;
};

struct hone_symbol_index_piece {
    uint32_t offset; // from the segment's low
    uint32_t node;   // NONE: no function in DWARF
    uint32_t line;
    uint16_t file; // UINT16_MAX: unknown
    uint16_t column;
};

struct hone_symbol_index_node {
    uint32_t function;
    uint32_t parent; // below itself; NONE: it is no inlined call
    uint32_t file;   // of the call; NONE: unknown
    uint32_t line;
    uint32_t column;
};

struct hone_symbol_index_function {
    uint32_t label;  // text: what is demangled for display
    uint32_t system; // text
    uint32_t name;   // text: the label demangled; 0: nobody has done that yet
    uint32_t start_line;
};

// Stands before each text. The hash is that of hone_symbol_text_hash(): a reader that keeps texts
// once need not look at all their bytes.
struct hone_symbol_index_text {
    uint32_t len;
    uint32_t hash;
};

struct hone_symbol_index_symbol {
    uint64_t start;
    uint64_t end;
    uint32_t label;
    uint32_t name; // as in a function
};

static inline uint64_t hone_symbol_index_sum_step(const unsigned char *at, uint64_t hash)
{
    uint64_t words[2];
    memcpy(words, at, sizeof words);
    return hone_hash_fold(words[0] ^ 0xe7037ed1a0b428dbU, words[1] ^ hash);
}

// The checksum of block number `block`, and of the header and the sums themselves.
//
// Four hashes side by side, in registers: one alone would wait for each of its multiplications, and
// all blocks of an index are summed when a profile is spread over its program.
static inline uint64_t hone_symbol_index_sum(const void *bytes, size_t len, uint64_t block)
{
    const unsigned char *at = bytes;
    uint64_t a = block, b = block + 1, c = block + 2, d = block + 3;
    for (; len >= 64; at += 64, len -= 64) {
        a = hone_symbol_index_sum_step(at, a);
        b = hone_symbol_index_sum_step(at + 16, b);
        c = hone_symbol_index_sum_step(at + 32, c);
        d = hone_symbol_index_sum_step(at + 48, d);
    }
    const uint64_t all[] = {a, b, c, d};
    return hone_table_hash(at, len, hone_hash_words(all, 4, block));
}

// ---- Reading

struct hone_symbol_index;

// Looks at bytes, which are borrowed until hone_symbol_index_close(). -EBADMSG: not an index of
// this version, or of another build id, or broken; -ENOMEM.
int hone_symbol_index_open(const void *bytes, size_t len, const unsigned char *build_id,
                           size_t build_id_len, struct hone_symbol_index **ret);
void hone_symbol_index_close(struct hone_symbol_index *index);

// Keys: the same function, or file, has the same number.
struct hone_symbol_index_frame {
    uint32_t function; // a symbol's number when symbol is true
    uint32_t file;     // text; 0: unknown
    uint32_t line;
    uint32_t column;
    bool symbol; // the symbol table alone knows the function
};

struct hone_symbol_index_frames {
    const struct hone_symbol_index_frame *at; // innermost first; valid until the next lookup
    size_t count;
};

// Returns 0; HONE_SYMBOL_UNKNOWN (symbol.h); -EBADMSG; -ENOMEM.
int hone_symbol_index_lookup(struct hone_symbol_index *index, uint64_t vaddr,
                             struct hone_symbol_index_frames *ret);

// The texts of a frame that was looked up live as long as the bytes. Returns 0 or -EBADMSG.
struct hone_symbol_index_names {
    struct hone_symbol_text label;
    struct hone_symbol_text system_name; // as in hone_symbol_function
    struct hone_symbol_text name;        // NULL: label is still to be demangled
    struct hone_symbol_text file;        // NULL: unknown
    uint32_t start_line;
};
int hone_symbol_index_names(struct hone_symbol_index *index,
                            const struct hone_symbol_index_frame *frame,
                            struct hone_symbol_index_names *ret);

// The file that gave the DWARF; "" when that cannot be read.
const char *hone_symbol_index_debug_path(struct hone_symbol_index *index);

// ---- Writing

struct hone_symbol_module;

// Makes the index of a module whose DWARF is open, with several threads. The same module gives the
// same bytes, up to demangled names, which are there when they were asked for before.
//
// Returns  0 and bytes for the caller to free; HONE_SYMBOL_UNKNOWN when the module's DWARF is not
//          whole (damaged, parts missing) or does not fit; -ENOMEM.
int hone_symbol_index_make(struct hone_symbol_module *module, void **ret, size_t *ret_len);

#endif

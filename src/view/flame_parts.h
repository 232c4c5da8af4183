// The parts of the flame graph, for each other: text, colours, the packed tree, the picture.
// Not for other rooms: flame.h is.
#ifndef HONE_VIEW_FLAME_PARTS_H
#define HONE_VIEW_FLAME_PARTS_H

#include "analyse/tree.h"
#include "analyse/tree_diff.h"
#include "base/base.h"
#include "base/utf8.h"

#include <stdint.h>

struct hone_flame_options;
struct hone_profile;

// --- text (flame_text.c) -------------------------------------------------------------------------

// Cleaned text inside an element or a quoted attribute; inside a JSON string that itself stands
// in XML (quotes included).
void hone_flame_xml(struct hone_buffer *out, struct hone_str text);
void hone_flame_json(struct hone_buffer *out, struct hone_str text);

// Numbers for people: "12.4 s", "1.50 MiB", "12 345"; "4.25 %".
void hone_flame_amount(char *text, size_t size, int64_t value, struct hone_str unit);
void hone_flame_percent(char *text, size_t size, int64_t part, int64_t whole);

// What surely fits into room px of a 12 px sans-serif font: a cleaned name, its last part, or the
// beginning of that with "…". The width is that of a wide font.
void hone_flame_label(struct hone_buffer *out, struct hone_str name, double room);
double hone_flame_text_width(struct hone_str text);

// --- colours (flame_color.c) ---------------------------------------------------------------------

// Kinds of code, each with a hue of its own. Libraries share four, by a hash of their name.
enum hone_flame_family {
    HONE_FLAME_PROGRAM,
    HONE_FLAME_LIBRARY,
    HONE_FLAME_LIBRARY_END = HONE_FLAME_LIBRARY + 4,
    HONE_FLAME_LIBC = HONE_FLAME_LIBRARY_END,
    HONE_FLAME_CXX,
    HONE_FLAME_RUST,
    HONE_FLAME_RUNTIME,
    HONE_FLAME_KERNEL,
    HONE_FLAME_UNKNOWN,
    HONE_FLAME_TRUNCATED,
    HONE_FLAME_FAMILIES,
};

enum { HONE_FLAME_SHADES = 4 };

// family * HONE_FLAME_SHADES + shade; the same for the same function in every profile of a program.
unsigned hone_flame_color(const struct hone_tree_frame *frame, struct hone_str program);

// "ca0": letter for the family, digit for the shade. flame_model.js builds the same names.
void hone_flame_class(char text[8], unsigned color);

// Style rules for all of them, light and dark.
void hone_flame_palette(struct hone_buffer *out);

// Of a differential graph: the class of a tone (enum hone_tree_tone), as flame_model.js builds it,
// and the rules for all of them.
void hone_flame_tone_class(char text[8], unsigned tone);
void hone_flame_tone_palette(struct hone_buffer *out);

// What the legend calls a family; NULL for libraries, which are called by their files.
const char *hone_flame_family_name(unsigned family);

// --- the graph, ready to be written (flame.c) ----------------------------------------------------

struct hone_flame_note {
    struct hone_str text; // cleaned
    bool warn;            // something is missing from the picture
};

struct hone_flame_key {
    struct hone_str label; // cleaned
    unsigned family;       // of a differential graph: tone
    int64_t self;
};

enum { HONE_FLAME_NOTES_MAX = 40 };

struct hone_flame {
    struct hone_arena arena; // of all text
    bool failed;             // memory ran out while copying text
    const struct hone_tree *tree;
    const struct hone_tree_diff *diff; // of a differential graph; NULL else
    struct hone_str root;              // what the root is called
    struct hone_str title;             // cleaned, like all text here
    struct hone_str facts;
    struct hone_str unit;
    int64_t whole;           // what shares are of
    struct hone_str program; // path of the main program
    bool inverted;
    uint32_t width;

    struct hone_flame_note notes[HONE_FLAME_NOTES_MAX];
    size_t note_count;
    struct hone_flame_key keys[HONE_FLAME_FAMILIES]; // largest first
    size_t key_count;

    uint8_t *kept; // by node: part of the packed tree
    size_t kept_count;
    struct hone_str *names; // by frame: cleaned; empty for frames of no kept node
    uint16_t *colors;       // by frame
};

// Families whose widest frame is below this part of the whole may have no legend.
enum { HONE_FLAME_LEGEND_PARTS = 200 };

// The class of a node's frame.
void hone_flame_node_class(const struct hone_flame *flame, uint32_t node, char text[8]);

// Chooses what is drawn, notes what is not and writes the file. Title, facts and notes that come
// first are there already. (flame.c)
int hone_flame_write(struct hone_flame *flame, const struct hone_flame_options *options,
                     const struct hone_profile *profile, struct hone_buffer *out);
void hone_flame_done(struct hone_flame *flame);

// The size of the picture within its bounds, and the name of the program.
void hone_flame_init(struct hone_flame *flame, const struct hone_tree *tree,
                     const struct hone_profile *profile, const struct hone_flame_options *options);

// What follows the last slash.
struct hone_str hone_flame_file_of(struct hone_str path);

void hone_flame_note(struct hone_flame *flame, bool warn, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// --- keeping and packing (flame_pack.c) ----------------------------------------------------------

// Chooses the nodes to keep: the largest, at most max_nodes, and few enough for the size that the
// file may have. A kept node's parent is kept. Fills kept, kept_count and the names of their
// frames.
int hone_flame_keep(struct hone_flame *flame, size_t max_nodes, int64_t smallest);

// How many nodes it may look at, at most.
uint32_t hone_flame_most(uint32_t max_frames);

// Sums up what each family took of its own, into keys. Needs the colours.
int hone_flame_legend(struct hone_flame *flame);
// The same for the tones of a differential graph.
int hone_flame_tone_legend(struct hone_flame *flame);

// Writes what the script reads, as one JSON object.
int hone_flame_pack(const struct hone_flame *flame, struct hone_buffer *out);

// --- the picture (flame_picture.c) ---------------------------------------------------------------

// The height of the picture in px, for the file's first line, and the picture itself: its widest
// frames with their facts.
int hone_flame_picture(const struct hone_flame *flame, struct hone_buffer *out, double *ret_height);

#endif

#include "view/flame_parts.h"

#include <math.h>
#include <string.h>

// Colours are made in OKLCH, where equal lightness looks equally light in every hue, so no kind of
// code shouts and one text colour is readable on all of them. Shades of one family differ in hue by
// `spread` and a little in lightness: neighbours can be told apart without a border.
struct family {
    const char *name;
    double hue; // degrees
    double spread;
    double chroma;
};

static const struct family families[HONE_FLAME_FAMILIES] = {
    [HONE_FLAME_PROGRAM] = {"program", 62, 34, 0.098},
    [HONE_FLAME_LIBRARY] = {NULL, 150, 26, 0.085},
    [HONE_FLAME_LIBRARY + 1] = {NULL, 192, 26, 0.075},
    [HONE_FLAME_LIBRARY + 2] = {NULL, 122, 26, 0.09},
    [HONE_FLAME_LIBRARY + 3] = {NULL, 222, 26, 0.075},
    [HONE_FLAME_LIBC] = {"libc", 256, 12, 0.07},
    [HONE_FLAME_CXX] = {"C++ standard library", 300, 14, 0.075},
    [HONE_FLAME_RUST] = {"Rust standard library", 335, 12, 0.075},
    [HONE_FLAME_RUNTIME] = {"language runtime", 278, 10, 0.075},
    [HONE_FLAME_KERNEL] = {"kernel", 18, 12, 0.085},
    [HONE_FLAME_UNKNOWN] = {"no symbols", 100, 0, 0.006},
    [HONE_FLAME_TRUNCATED] = {"cut short", 60, 0, 0.0},
};

const char *hone_flame_family_name(unsigned family)
{
    return families[family].name;
}

static uint64_t hash_text(struct hone_str text, uint64_t hash)
{
    for (size_t i = 0; i < text.len; i++) // FNV-1a: names are short and hashed once each
        hash = (hash ^ (unsigned char)text.at[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

static bool starts(struct hone_str text, const char *prefix)
{
    return hone_str_starts(text, hone_str_of(prefix));
}

static bool starts_with_any(struct hone_str text, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (starts(text, *prefixes))
            return true;
    return false;
}

static bool contains(struct hone_str text, const char *part)
{
    return text.len && memmem(text.at, text.len, part, strlen(part)) != NULL;
}

static unsigned family_of(const struct hone_tree_frame *frame, struct hone_str program)
{
    static const char *const libc[] = {
        "libc.so",  "libc-",    "libm.so", "libm-",     "libmvec",      "ld-", "libpthread",
        "libdl.so", "librt.so", "ld-musl", "libc.musl", "libresolv.so", NULL};
    static const char *const cxx[] = {
        "std::",           "__gnu_cxx::", "__cxxabiv1::",      "operator new",
        "operator delete", "__cxa_",      "__gxx_personality", NULL};
    static const char *const cxx_files[] = {"libstdc++", "libc++", NULL};
    static const char *const rust[] = {
        "core::",     "alloc::",           "<core::",     "<alloc::", "std::rt::", "std::sys::",
        "std::panic", "std::sys_common::", "hashbrown::", "__rust_",  "<std::",    NULL};
    static const char *const runtime_files[] = {"libgcc_s", "libjvm", "libruntime", "libgo.so",
                                                NULL};
    struct hone_str file = hone_flame_file_of(frame->module);

    if (hone_str_equal(frame->name, HONE_STR("[truncated]")))
        return HONE_FLAME_TRUNCATED;
    if (starts(file, "[kernel") || starts(file, "[guest.kernel") || starts(file, "[vdso") ||
        starts(file, "vmlinux") || (file.len > 3 && memcmp(file.at + file.len - 3, ".ko", 3) == 0))
        return HONE_FLAME_KERNEL;
    if (starts_with_any(file, libc))
        return HONE_FLAME_LIBC;
    if (starts_with_any(file, cxx_files))
        return HONE_FLAME_CXX;
    if (starts_with_any(file, runtime_files))
        return HONE_FLAME_RUNTIME;
    if (frame->name.len == 0 || starts(frame->name, "[") || starts(frame->name, "0x"))
        return HONE_FLAME_UNKNOWN;
    if (contains(frame->file, "/rustc/") || starts_with_any(frame->name, rust))
        return HONE_FLAME_RUST;
    if (starts_with_any(frame->name, cxx))
        return HONE_FLAME_CXX;
    if (frame->module.len == 0 || hone_str_equal(frame->module, program))
        return starts(frame->name, "runtime.") ? HONE_FLAME_RUNTIME : HONE_FLAME_PROGRAM;
    return HONE_FLAME_LIBRARY +
           hash_text(file, 0xcbf29ce484222325u) % (HONE_FLAME_LIBRARY_END - HONE_FLAME_LIBRARY);
}

unsigned hone_flame_color(const struct hone_tree_frame *frame, struct hone_str program)
{
    unsigned family = family_of(frame, program);
    unsigned shade = hash_text(frame->name, 0xcbf29ce484222325u) % HONE_FLAME_SHADES;
    return family * HONE_FLAME_SHADES + shade;
}

void hone_flame_class(char text[8], unsigned color)
{
    text[0] = 'c';
    text[1] = (char)('a' + color / HONE_FLAME_SHADES);
    text[2] = (char)('0' + color % HONE_FLAME_SHADES);
    text[3] = '\0';
}

static unsigned channel(double linear)
{
    double gamma = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
    double byte = gamma * 255 + 0.5;
    return byte < 0 ? 0 : byte > 255 ? 255 : (unsigned)byte;
}

// OKLCH to sRGB by the matrices of Björn Ottosson (2020); out of gamut is clipped per channel.
static unsigned oklch(double lightness, double chroma, double hue)
{
    double a = chroma * cos(hue * M_PI / 180), b = chroma * sin(hue * M_PI / 180);
    double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
    double m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
    double s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
    return channel(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s) << 16 |
           channel(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s) << 8 |
           channel(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

static void rules(struct hone_buffer *out, double lightness, double chroma_scale)
{
    static const double lighter[HONE_FLAME_SHADES] = {0, 0.022, -0.02, 0.008};
    for (unsigned family = 0; family < HONE_FLAME_TRUNCATED; family++) {
        for (unsigned shade = 0; shade < HONE_FLAME_SHADES; shade++) {
            const struct family *f = &families[family];
            char class[8];
            hone_flame_class(class, family * HONE_FLAME_SHADES + shade);
            double turn = f->spread * ((double)shade / (HONE_FLAME_SHADES - 1) - 0.5);
            hone_buffer_format(
                out, ".%s{fill:#%06x}", class,
                oklch(lightness + lighter[shade], f->chroma * chroma_scale, f->hue + turn));
        }
        hone_buffer_text(out, "\n");
    }
}

void hone_flame_palette(struct hone_buffer *out)
{
    rules(out, 0.845, 1);
    hone_buffer_format(out, ".%s,.%s,.%s,.%s{fill:url(#truncated)}\n", "cl0", "cl1", "cl2", "cl3");
    hone_buffer_text(out, "@media screen and (prefers-color-scheme: dark) {\n");
    rules(out, 0.69, 0.9);
    hone_buffer_text(out, "}\n");
}

// --- differences ---------------------------------------------------------------------------------

void hone_flame_tone_class(char text[8], unsigned tone)
{
    text[0] = 't';
    text[1] = (char)('a' + tone);
    text[2] = '\0';
}

// Red for more, blue for less, the stronger the change: two hues that those who do not tell red
// from green tell, too. Steps fall in lightness as they gain in colour, so that they stay steps in
// grey.
static void tone_rules(struct hone_buffer *out, double lightness, double fall)
{
    enum { RED = 28, BLUE = 252, STEPS = HONE_TREE_LESS - HONE_TREE_MORE };
    static const double chroma[STEPS + 1] = {0.045, 0.085, 0.125, 0.16, 0.185};
    char class[8];
    for (unsigned tone = HONE_TREE_MORE; tone <= HONE_TREE_FRESH; tone++) {
        bool less = tone >= HONE_TREE_LESS && tone < HONE_TREE_FRESH;
        unsigned step = tone == HONE_TREE_FRESH ? STEPS : (tone - HONE_TREE_MORE) % STEPS;
        double hue = tone == HONE_TREE_FRESH ? RED - 22 : less ? BLUE : RED;
        hone_flame_tone_class(class, tone);
        hone_buffer_format(out, ".%s{fill:#%06x}", class,
                           oklch(lightness - fall * step, chroma[step], hue));
    }
    hone_buffer_text(out, "\n");
}

void hone_flame_tone_palette(struct hone_buffer *out)
{
    char unsure[8];
    char gone[8];
    hone_flame_tone_class(unsure, HONE_TREE_UNSURE);
    hone_flame_tone_class(gone, HONE_TREE_GONE);
    hone_buffer_format(out,
                       ".%s{fill:var(--unsure)}.%s{fill:url(#gone)}.%s+.label,.%s+.label{fill:"
                       "var(--faint-label)}\n",
                       unsure, gone, unsure, gone);
    tone_rules(out, 0.885, 0.052);
    hone_buffer_text(out, "@media screen and (prefers-color-scheme: dark) {\n");
    tone_rules(out, 0.72, 0.018);
    hone_buffer_text(out, "}\n");
}

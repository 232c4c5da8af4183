#include "convert/convert.h"

#include "convert/readers.h"

#include <string.h>

// In the order of help. Each row is all that the rest of the program knows of a format.
const struct hone_convert_format hone_convert_formats[] = {
    {
        .name = "pprof",
        .extensions = "pb.gz prof pprof pb",
        .summary = "pprof's profile.proto, and the legacy formats that pprof reads",
        .keeps = "everything: it is the format of Hone's own files",
        .detect = hone_pprof_detect,
        .read = hone_pprof_read,
        .write = hone_pprof_write,
    },
    {
        .name = "collapsed",
        .extensions = "collapsed folded txt",
        .summary = "one line per stack, 'root;caller;leaf 12', as for flame graph scripts",
        .keeps = "In: the ends _[k], _[j] and _[i] of a frame become kernel, generated and inlined "
                 "code; lines with two numbers, as of a difference, become the sample types "
                 "'before' and 'after'. Out: names and the values of one sample type",
        .detect = hone_collapsed_detect,
        .read = hone_collapsed_read,
        .write = hone_collapsed_write,
    },
    {0},
};

const struct hone_convert_format *hone_convert_format_named(const char *name)
{
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++)
        if (strcmp(format->name, name) == 0)
            return format;
    return NULL;
}

static bool ends_with(const char *text, size_t len, const char *end, size_t end_len)
{
    return len > end_len && text[len - end_len - 1] == '.' &&
           memcmp(text + len - end_len, end, end_len) == 0;
}

// The length of the format's longest extension that the name has; 0 when it has none.
static size_t extension_len(const struct hone_convert_format *format, const char *name, size_t len)
{
    size_t longest = 0;
    for (const char *at = format->extensions; *at;) {
        size_t word = strcspn(at, " ");
        if (word > longest && ends_with(name, len, at, word))
            longest = word;
        at += word;
        at += strspn(at, " ");
    }
    return longest;
}

const struct hone_convert_format *hone_convert_format_for(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = strlen(name);
    size_t bare = ends_with(name, len, "gz", 2) ? len - 3 : len;
    const struct hone_convert_format *best = NULL;
    size_t longest = 0;
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++) {
        if (!format->write)
            continue;
        size_t whole = extension_len(format, name, len);
        size_t packed = extension_len(format, name, bare);
        size_t fits = whole > packed ? whole : packed;
        if (fits > longest) {
            longest = fits;
            best = format;
        }
    }
    return best;
}

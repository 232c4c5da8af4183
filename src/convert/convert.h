// convert: profiles in other tools' formats, in and out.
//
// One table of formats drives everything that speaks of them: how a file is recognised, what
// `hone convert --from` and `--to` accept, its help, the manual and docs/formats.md.
//
//     struct hone_profile *profile = NULL;
//     r = hone_convert_read("stacks.txt", NULL, &profile, NULL, &err);   // whatever it is
//     …
//     const struct hone_convert_format *format = hone_convert_format_for("out.speedscope.json");
//     r = hone_convert_write(profile, format, &out, &err);
//
// It promises: a file is known by its content, not by its name, also packed by gzip or zstd; what a
// format says about samples, stacks, lines and units is kept where pprof's model has a place for
// it, and what is lost or estimated stands in docs/formats.md or in a comment of the profile; bytes
// of any kind give a profile or one error with the place, in memory bounded by a small multiple of
// the file; equal profiles give equal bytes.
//
// It leaves to profile/ what `go tool pprof` reads itself, legacy formats included, and to symbol/
// the names of addresses: what a file does not name stays an address.
//
// Threads: safe, on different profiles.
#ifndef HONE_CONVERT_CONVERT_H
#define HONE_CONVERT_CONVERT_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct hone_profile;

// How sure a format is that bytes are of its kind. The surest one reads them; of equals the first
// in the table.
enum hone_convert_match {
    HONE_CONVERT_NO,
    HONE_CONVERT_POSSIBLE, // nothing speaks against it
    HONE_CONVERT_LIKELY,   // it has the shape
    HONE_CONVERT_CERTAIN,  // it says so: a magic number, a header
};

// A row of the table. Of the functions, those that a format has not are NULL.
struct hone_convert_format {
    const char *name;       // "speedscope": what --from and --to accept
    const char *extensions; // without the first dot, blanks between: "speedscope.json json"; the
                            // first one is the usual. Only for writing: reading goes by content
    const char *summary;    // one line, lower case: "sampled and evented profiles as JSON"
    const char *keeps;      // for docs/formats.md: what becomes of it on the way in and out

    // Looks at the beginning of a file, unpacked: 64 KiB of it or, when no format knows that and it
    // begins as JSON does, 16 MiB. Returns a hone_convert_match.
    unsigned (*detect)(const void *bytes, size_t len);

    // All of the file, unpacked. name is for errors. Returns 0, -EBADMSG with the place in err,
    // -EFBIG, -ENOMEM or -EOVERFLOW.
    int (*read)(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                struct hone_error *err);

    // Whether a directory is one recording in this format; read_file reads it.
    bool (*detect_directory)(const char *path);

    // Instead of read, for files that may be larger than memory; they are never packed.
    int (*read_file)(const char *path, struct hone_profile **ret, struct hone_error *err);

    // Of a file with several events the one that is named.
    int (*read_event)(const char *path, const char *event, struct hone_profile **ret,
                      struct hone_error *err);

    // Appends. A format with room for one sample type writes the profile's default one.
    int (*write)(const struct hone_profile *profile, struct hone_buffer *out,
                 struct hone_error *err);
};

// In the order of help and documents; ends with a row without name.
extern const struct hone_convert_format hone_convert_formats[];

// NULL when there is none of that name.
const struct hone_convert_format *hone_convert_format_named(const char *name);

// The format to write a file of that name in, by the longest extension that fits, with ".gz" taken
// off. NULL when no name of a written format fits.
const struct hone_convert_format *hone_convert_format_for(const char *path);

// Whether a directory is a recording that hone_convert_read() reads as one.
bool hone_convert_is_directory(const char *path);

// Reads a file ("-" is standard input) in the format, or NULL: whatever its content says. What
// begins like no format is refused then and there.
// ret_format (may be NULL) receives the format found. Returns 0; -EBADMSG with the reason and the
// place; -EFBIG when the file or what it unpacks to is beyond 2 GiB, or it unpacks to more than its
// size makes likely; -ENOMEM; another negative errno when it cannot be opened.
int hone_convert_read(const char *path, const struct hone_convert_format *format,
                      struct hone_profile **ret, const struct hone_convert_format **ret_format,
                      struct hone_error *err);

// The same for one event of a file that holds several, by its name. Returns -EINVAL, with those
// that there are, when there is none of that name.
int hone_convert_read_event(const char *path, const struct hone_convert_format *format,
                            const char *event, struct hone_profile **ret, struct hone_error *err);

// The same for bytes in memory.
int hone_convert_read_bytes(const void *bytes, size_t len, const char *name,
                            const struct hone_convert_format *format, struct hone_profile **ret,
                            const struct hone_convert_format **ret_format, struct hone_error *err);

// Appends the profile in a format, which must have a writer; packed by gzip if asked for (pprof's
// always is).
int hone_convert_write(const struct hone_profile *profile, const struct hone_convert_format *format,
                       bool pack, struct hone_buffer *out, struct hone_error *err);

#endif

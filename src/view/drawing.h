// Views of a profile's calls as pictures and for the programs that draw them: Graphviz, browsers,
// KCachegrind. The text of dot and callgrind is that of `go tool pprof`, byte for byte.
//
// Each appends to a buffer and has the signature of the text views, so callers treat them alike;
// the caller writes the bytes where they belong. options may be NULL. What they take of them: the
// sample type, grouping, order, rows, both fractions, all and call_tree; weblist besides the
// pattern and the paths of sources.
//
// Each returns 0; -EINVAL with the choices in err for an unknown type; -ENOMEM.
//
// Threads: safe for a profile that nobody changes.
#ifndef HONE_VIEW_DRAWING_H
#define HONE_VIEW_DRAWING_H

#include "view/text.h"

// The graph in Graphviz's language: nodes as large as what they took, tags beside them, calls over
// nodes that were left out dotted. 80 rows unless told otherwise, tags included.
int hone_view_dot(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err);

// The same as a picture. Graphviz's dot draws it; -ENOENT when it is not installed, -EIO when it
// fails.
int hone_view_svg(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out,
                  struct hone_error *err); // a browser can move and zoom it
int hone_view_png(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err);
int hone_view_pdf(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err);
int hone_view_ps(const struct hone_profile *profile, const struct hone_text_options *options,
                 struct hone_buffer *out, struct hone_error *err);
int hone_view_gif(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err);

// Costs by address and line, for KCachegrind and callgrind_annotate.
int hone_view_callgrind(const struct hone_profile *profile, const struct hone_text_options *options,
                        struct hone_buffer *out, struct hone_error *err);

// One HTML page with the source of the functions that match the pattern; each line opens to the
// machine code that was made of it, with inlined calls. Also returns -ENOENT when none matches.
int hone_view_weblist(const struct hone_profile *profile, const struct hone_text_options *options,
                      struct hone_buffer *out, struct hone_error *err);

#endif

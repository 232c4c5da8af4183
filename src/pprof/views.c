#include "pprof/views.h"

#include "core/core.h"
#include "profile/profile.h"
#include "view/drawing.h"
#include "view/text.h"

#include <errno.h>
#include <string.h>

static int view_comments(const struct hone_profile *profile,
                         const struct hone_text_options *options, struct hone_buffer *out,
                         struct hone_error *err)
{
    (void)options;
    for (uint32_t i = 0; i < profile->comment_count; i++)
        hone_buffer_format(out, "%s\n", hone_profile_text(profile, profile->comments[i]));
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot list the comments") : 0;
}

static int view_tree(const struct hone_profile *profile, const struct hone_text_options *options,
                     struct hone_buffer *out, struct hone_error *err)
{
    return options->pattern ? hone_text_peek(profile, options, out, err)
                            : hone_text_tree(profile, options, out, err);
}

static int view_proto(const struct hone_profile *profile, const struct hone_text_options *options,
                      struct hone_buffer *out, struct hone_error *err)
{
    (void)options;
    return hone_profile_encode_gzip(profile, out, err);
}

// What Graphviz makes of the graph.
static hone_text_view find_picture(const char *format)
{
    static const struct {
        const char *format;
        hone_text_view view;
    } pictures[] = {
        {"gif", hone_view_gif}, {"pdf", hone_view_pdf}, {"png", hone_view_png},
        {"ps", hone_view_ps},   {"svg", hone_view_svg},
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(pictures); i++)
        if (strcmp(pictures[i].format, format) == 0)
            return pictures[i].view;
    return NULL;
}

static hone_text_view find_view(enum hone_pprof_report report)
{
    switch (report) {
    case HONE_PPROF_CALLGRIND:
        return hone_view_callgrind;
    case HONE_PPROF_COMMENTS:
        return view_comments;
    case HONE_PPROF_DISASM:
        return hone_text_disasm;
    case HONE_PPROF_DOT:
        return hone_view_dot;
    case HONE_PPROF_LIST:
        return hone_text_list;
    case HONE_PPROF_PROTO:
        return view_proto;
    case HONE_PPROF_RAW:
        return hone_text_raw;
    case HONE_PPROF_TAGS:
        return hone_text_tags;
    case HONE_PPROF_TOP:
        return hone_text_top;
    case HONE_PPROF_TOPPROTO:
        return hone_view_top_profile;
    case HONE_PPROF_TRACES:
        return hone_text_traces;
    case HONE_PPROF_TREE:
        return view_tree;
    case HONE_PPROF_WEBLIST:
        return hone_view_weblist;
    }
    return NULL;
}

int hone_pprof_view(const struct hone_profile *profile, const struct hone_pprof_command *command,
                    const struct hone_text_options *options, struct hone_buffer *out,
                    struct hone_error *err)
{
    hone_text_view view =
        command->picture ? find_picture(command->picture) : find_view(command->report);
    if (!view)
        return hone_error_set(err, -ENOSYS, "cannot make this report");
    return view(profile, options, out, err);
}

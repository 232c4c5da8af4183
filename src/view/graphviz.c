// Pictures of the graph: Graphviz draws them. Its program reads a file that only it and we know and
// writes into a pipe. Of SVG, a browser gets a page that can be moved and zoomed, by a script of
// our own; where scripts do not run the same file is a plain picture.
#include "view/drawing.h"

#include "base/cleanup.h"
#include "base/utf8.h"
#include "view/flame_parts.h"
#include "view/text_report.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;
extern const char hone_drawing_script[]; // drawing.js

// --- Graphviz ------------------------------------------------------------------------------------

static int write_all(int fd, const char *at, size_t len)
{
    while (len) {
        ssize_t wrote = write(fd, at, len);
        if (wrote < 0 && errno != EINTR)
            return -errno;
        at += wrote > 0 ? wrote : 0;
        len -= wrote > 0 ? (size_t)wrote : 0;
    }
    return lseek(fd, 0, SEEK_SET) == 0 ? 0 : -errno;
}

// Starts dot -Tformat on this input; *ret_output gets what it writes.
static int start(const char *format, int input, pid_t *ret_pid, int *ret_output)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    char kind[16];
    (void)snprintf(kind, sizeof kind, "-T%s", format);
    char *const arguments[] = {(char[]){"dot"}, kind, NULL};
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);
    if (!r) {
        r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        if (!r)
            r = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        if (!r)
            r = posix_spawnp(ret_pid, "dot", &actions, NULL, arguments, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    (void)close(ends[1]);
    if (r)
        (void)close(ends[0]);
    else
        *ret_output = ends[0];
    return -r;
}

static int read_all(int fd, struct hone_buffer *out)
{
    char bytes[65536];
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        if (got > 0)
            hone_buffer_add(out, bytes, (size_t)got);
    }
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int draw(const char *format, struct hone_str graph, struct hone_buffer *out,
                struct hone_error *err)
{
    HONE_CLEANUP(hone_fd_closep) int input = memfd_create("hone graph", MFD_CLOEXEC);
    int r = input < 0 ? -errno : write_all(input, graph.at, graph.len);
    if (r)
        return hone_error_set(err, r, "cannot hand the graph to Graphviz");
    pid_t pid = 0;
    HONE_CLEANUP(hone_fd_closep) int output = -1;
    r = start(format, input, &pid, &output);
    if (r == -ENOENT) {
        (void)hone_error_set(err, 0, "cannot draw the graph: Graphviz's 'dot' is not here");
        hone_error_hint(err, "install the package graphviz, or take the graph as text: hone dot");
        return r;
    }
    if (r)
        return hone_error_set(err, r, "cannot start Graphviz's 'dot'");
    int read = read_all(output, out);
    hone_fd_closep(&output); // or it might wait for us
    output = -1;
    r = wait_for(pid);
    if (r || read) {
        (void)hone_error_set(err, 0, "Graphviz's 'dot' could not draw the graph as %s", format);
        hone_error_hint(err, "fewer nodes may help: -n 40");
        return -EIO;
    }
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot hold the picture") : 0;
}

static int view(const char *format, const struct hone_profile *profile,
                const struct hone_text_options *options, struct hone_buffer *out,
                struct hone_error *err)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer graph = {0};
    int r = hone_view_dot(profile, options, &graph, err);
    if (r)
        return r;
    // Graphviz would hand on control characters, which no SVG may have, and guess at other bytes.
    bool failed = false;
    struct hone_str clean =
        hone_utf8_clean_lines(&arena, (struct hone_str){graph.at, graph.len}, &failed);
    if (failed)
        return hone_error_set(err, -ENOMEM, "cannot draw the graph");
    return draw(format, clean, out, err);
}

int hone_view_png(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err)
{
    return view("png", profile, options, out, err);
}

int hone_view_pdf(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err)
{
    return view("pdf", profile, options, out, err);
}

int hone_view_ps(const struct hone_profile *profile, const struct hone_text_options *options,
                 struct hone_buffer *out, struct hone_error *err)
{
    return view("ps", profile, options, out, err);
}

int hone_view_gif(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err)
{
    return view("gif", profile, options, out, err);
}

// --- SVG -----------------------------------------------------------------------------------------

static struct hone_str title_of(const struct hone_profile *p)
{
    uint32_t program = hone_report_main_mapping(p);
    struct hone_str name = hone_report_base_name(hone_profile_str(p, p->mappings.at[program].file));
    return name.len ? name : HONE_STR("calls");
}

// Adds the name that a browser shows for the page, and the script.
static void make_page(const char *svg, struct hone_str title, struct hone_buffer *out)
{
    const char *tag = strstr(svg, "<svg ");
    const char *inside = tag ? strchr(tag, '>') : NULL;
    const char *close = inside ? strstr(inside, "</svg>") : NULL;
    if (!close) { // not as Graphviz writes it
        hone_buffer_text(out, svg);
        return;
    }
    hone_buffer_add(out, svg, (size_t)(inside + 1 - svg));
    hone_buffer_text(out, "\n<title>");
    hone_flame_xml(out, title);
    hone_buffer_text(out, "</title>");
    hone_buffer_add(out, inside + 1, (size_t)(close - inside - 1));
    hone_buffer_text(out, "<script><![CDATA[\n");
    hone_buffer_text(out, hone_drawing_script);
    hone_buffer_text(out, "]]></script>\n");
    hone_buffer_text(out, close);
}

int hone_view_svg(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer svg = {0};
    int r = view("svg", profile, options, &svg, err);
    if (r)
        return r;
    hone_buffer_add(&svg, "", 1);
    if (!svg.failed)
        make_page(svg.at, title_of(profile), out);
    return svg.failed || out->failed ? hone_error_set(err, -ENOMEM, "cannot hold the picture") : 0;
}

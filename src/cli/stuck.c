#include "cli/stuck.h"

#include "analyse/wait_graph.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "capture/standstill.h"
#include "view/deadlocks.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// What is kept: for each look three texts with their NUL: who is stuck, the report, and its JSON.
enum { PARTS = 3, KEPT_MAX = 64 << 20 };

int hone_stuck_open(void)
{
    int fd = memfd_create("hone-deadlocks", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

static char *read_kept(int fd, size_t *ret_len)
{
    struct stat status;
    if (fd < 0 || fstat(fd, &status) || status.st_size <= 0 || status.st_size > KEPT_MAX)
        return NULL;
    char *text = malloc((size_t)status.st_size + 1);
    ssize_t len = text ? pread(fd, text, (size_t)status.st_size, 0) : -1;
    if (len <= 0) {
        free(text);
        return NULL;
    }
    text[len] = '\0';
    *ret_len = (size_t)len;
    return text;
}

// The next of the texts that begin at *at; NULL: there is none.
static const char *next_text(const char **at, const char *end)
{
    const char *text = *at;
    if (text >= end)
        return NULL;
    *at = text + strlen(text) + 1;
    return text;
}

static bool is_told(int fd, const char *who)
{
    size_t len = 0;
    HONE_CLEANUP(hone_freep) char *kept = read_kept(fd, &len);
    const char *at = kept, *end = kept ? kept + len : NULL;
    for (const char *text; kept && (text = next_text(&at, end));) {
        if (strcmp(text, who) == 0)
            return true;
        for (int i = 1; i < PARTS; i++)
            (void)next_text(&at, end);
    }
    return false;
}

// The threads of all findings, in their order.
static void name_stuck(const struct hone_standstill *stand, const struct hone_wait_graph *graph,
                       struct hone_buffer *out)
{
    hone_buffer_format(out, "%d", (int)stand->pid);
    for (uint32_t i = 0; i < graph->count; i++) {
        hone_buffer_format(out, " %s", hone_stuck_name(graph->findings[i].kind));
        for (uint32_t k = 0; k < graph->findings[i].member_count; k++)
            hone_buffer_format(out, " %u", stand->threads[graph->findings[i].members[k]].tid);
    }
}

static int tell(int fd, const struct hone_standstill *stand, const struct hone_wait_graph *graph,
                bool asked)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer all = {0};
    const struct hone_deadlocks_options how = {0};
    name_stuck(stand, graph, &all);
    hone_buffer_add(&all, "", 1);
    if (all.failed || (is_told(fd, all.at) && !asked))
        return 0;
    bool known = is_told(fd, all.at);
    size_t text_at = all.len;
    int r = hone_text_stuck(stand, graph, &how, &all, NULL);
    if (r)
        return r;
    hone_tell("looked at who is stuck:");
    (void)fwrite(all.at + text_at, 1, all.len - text_at, stderr);
    if (known || !graph->count)
        return 0;
    hone_buffer_add(&all, "", 1);
    r = hone_json_stuck(stand, graph, &how, &all, NULL);
    hone_buffer_add(&all, "", 1);
    if (!r && !all.failed)
        (void)!write(fd, all.at, all.len);
    return r;
}

void hone_stuck_look(int fd, pid_t pid, bool asked, bool debuginfod)
{
    HONE_CLEANUP(hone_standstill_done) struct hone_standstill stand = {0};
    HONE_CLEANUP(hone_wait_graph_done) struct hone_wait_graph graph = {0};
    const struct hone_standstill_options how = {.size = sizeof how, .debuginfod = debuginfod};
    struct hone_error err = {0};
    int r = hone_standstill_read(pid, &how, &stand, &err);
    if (!r)
        r = hone_wait_graph_new(&stand, &graph, &err);
    if (r && r != -ESRCH)
        hone_error_print(&err);
    if (!r && (graph.count || asked))
        (void)tell(fd, &stand, &graph, asked);
}

int hone_stuck_count(int fd)
{
    size_t len = 0;
    HONE_CLEANUP(hone_freep) char *kept = read_kept(fd, &len);
    const char *at = kept, *end = kept ? kept + len : NULL;
    int count = 0;
    while (kept && next_text(&at, end))
        count++;
    return count / PARTS;
}

static void decrefp(json_t **value)
{
    json_decref(*value);
}

int hone_stuck_save(int fd, const char *directory, struct hone_error *err)
{
    size_t len = 0;
    HONE_CLEANUP(hone_freep) char *kept = read_kept(fd, &len);
    if (!kept)
        return 0;
    HONE_CLEANUP(decrefp) json_t *looks = json_array();
    const char *at = kept, *end = kept + len;
    while (next_text(&at, end)) {
        const char *text = next_text(&at, end), *json = next_text(&at, end);
        json_t *look = json ? json_loads(json, 0, NULL) : NULL;
        if (look &&
            json_array_append_new(looks, json_pack("{s:s, s:o}", "text", text, "look", look)))
            return hone_error_set(err, -ENOMEM, "cannot write who was stuck");
    }
    char path[PATH_MAX];
    HONE_CLEANUP(decrefp) json_t *all = json_pack("{s:O}", "deadlocks", looks);
    HONE_CLEANUP(hone_freep) char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
    (void)snprintf(path, sizeof path, "%s/deadlocks.json", directory);
    return text ? hone_file_write(path, text, strlen(text), err)
                : hone_error_set(err, -ENOMEM, "cannot write who was stuck");
}

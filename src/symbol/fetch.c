#include "symbol/fetch.h"

#include "base/base.h"

#include <dlfcn.h>
#include <elfutils/debuginfod.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LIBRARY "libdebuginfod.so.1"

struct hone_symbol_fetcher {
    void *library;
    debuginfod_client *client;
    __typeof__(debuginfod_begin) *begin;
    __typeof__(debuginfod_end) *end;
    __typeof__(debuginfod_find_debuginfo) *find;
    __typeof__(debuginfod_set_progressfn) *set_progress;
    hone_symbol_fetch_progress *progress;
    void *context;
    const char *module;
    int failed; // what went wrong when they were asked
};

static int missing(struct hone_error *err)
{
    (void)hone_error_set(err, -EINVAL, "cannot fetch debug files: %s is missing", LIBRARY);
    hone_error_hint(err, "install it: apt-get install libdebuginfod1");
    return -EINVAL;
}

static int load(struct hone_symbol_fetcher *fetcher, struct hone_error *err)
{
    fetcher->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!fetcher->library)
        return missing(err);
    // POSIX's way to make a function of what dlsym() gives.
    *(void **)&fetcher->begin = dlsym(fetcher->library, "debuginfod_begin");
    *(void **)&fetcher->end = dlsym(fetcher->library, "debuginfod_end");
    *(void **)&fetcher->find = dlsym(fetcher->library, "debuginfod_find_debuginfo");
    *(void **)&fetcher->set_progress = dlsym(fetcher->library, "debuginfod_set_progressfn");
    if (!fetcher->begin || !fetcher->end || !fetcher->find || !fetcher->set_progress)
        return missing(err);
    return 0;
}

int hone_symbol_fetcher_new(struct hone_symbol_fetcher **ret, struct hone_error *err)
{
    const char *urls = getenv(DEBUGINFOD_URLS_ENV_VAR);
    if (!urls || !urls[0]) {
        (void)hone_error_set(err, -EINVAL, "cannot fetch debug files: $%s names no server",
                             DEBUGINFOD_URLS_ENV_VAR);
        hone_error_hint(err, "try 'export %s=https://debuginfod.elfutils.org/'",
                        DEBUGINFOD_URLS_ENV_VAR);
        return -EINVAL;
    }
    struct hone_symbol_fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (!fetcher)
        return hone_error_set(err, -ENOMEM, "cannot fetch debug files");
    int r = load(fetcher, err);
    if (!r) {
        fetcher->client = fetcher->begin();
        if (!fetcher->client)
            r = hone_error_set(err, -ENOMEM, "cannot fetch debug files");
    }
    if (r) {
        hone_symbol_fetcher_free(fetcher);
        return r;
    }
    *ret = fetcher;
    return 0;
}

void hone_symbol_fetcher_free(struct hone_symbol_fetcher *fetcher)
{
    if (!fetcher)
        return;
    if (fetcher->client)
        fetcher->end(fetcher->client);
    // curl and what it loads do not like to be unloaded: threads and exit handlers stay behind.
    free(fetcher);
}

// The library calls back with its client only, in the thread that asked.
static _Thread_local struct hone_symbol_fetcher *asking;

static int on_progress(debuginfod_client *client, long bytes, long total)
{
    (void)client;
    if (asking && asking->progress)
        asking->progress(asking->context, asking->module, bytes > 0 ? (uint64_t)bytes : 0,
                         total > 0 ? (uint64_t)total : 0);
    return 0; // go on
}

void hone_symbol_fetcher_watch(struct hone_symbol_fetcher *fetcher,
                               hone_symbol_fetch_progress *progress, void *context)
{
    fetcher->progress = progress;
    fetcher->context = context;
    fetcher->set_progress(fetcher->client, on_progress);
}

int hone_symbol_fetch(struct hone_symbol_fetcher *fetcher, const char *module,
                      const unsigned char *build_id, size_t build_id_len, char **ret)
{
    if (fetcher->failed)
        return fetcher->failed;
    fetcher->module = module;
    char *path = NULL;
    asking = fetcher;
    int fd = fetcher->find(fetcher->client, build_id, (int)build_id_len, &path);
    asking = NULL;
    if (fd < 0) {
        free(path);
        if (fd != -ENOENT)
            fetcher->failed = fd;
        return fd;
    }
    (void)close(fd);
    *ret = path;
    return 0;
}

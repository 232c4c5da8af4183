#include "fetch/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

// Debian's names of the library with OpenSSL and with GnuTLS. They differ in nothing that we use.
static const char *const libraries[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};

static struct hone_curl curl;
static bool loaded;

static void *open_any(void)
{
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        void *library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
        if (library)
            return library;
    }
    return NULL;
}

int hone_curl_load(const struct hone_curl **ret, struct hone_error *err)
{
    if (loaded) {
        *ret = &curl;
        return 0;
    }
    // It stays: what it loads leaves threads and exit handlers behind.
    void *library = open_any();
    bool complete = library;
#define LOAD(name)                                                                                 \
    *(void **)&curl.name = library ? dlsym(library, "curl_" #name) : NULL;                         \
    complete = complete && curl.name;
    HONE_CURL_FUNCTIONS(LOAD)
#undef LOAD
    if (!complete || curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)hone_error_set(err, 0, "cannot ask servers: libcurl is missing");
        hone_error_hint(err, "install it: apt-get install libcurl4");
        return -ENOENT;
    }
    loaded = true;
    *ret = &curl;
    return 0;
}

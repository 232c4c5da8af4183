// libcurl, loaded when a server is to be asked and not linked: with it come some twenty libraries
// (TLS, HTTP/2, Kerberos, …) that no other command has a use for, and that would cost each start of
// the program some milliseconds. Private to this room.
#ifndef HONE_FETCH_CURL_H
#define HONE_FETCH_CURL_H

#include "base/error.h"

#define CURL_DISABLE_TYPECHECK // of calls by pointer nothing is checked anyway
#include <curl/curl.h>

// The functions that are called, each under curl's name without its curl_.
#define HONE_CURL_FUNCTIONS(X)                                                                     \
    X(global_init)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_setopt)                                                                                 \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(multi_init)                                                                                  \
    X(multi_cleanup)                                                                               \
    X(multi_add_handle)                                                                            \
    X(multi_remove_handle)                                                                         \
    X(multi_perform)                                                                               \
    X(multi_poll)                                                                                  \
    X(multi_info_read)                                                                             \
    X(slist_append)                                                                                \
    X(slist_free_all)

struct hone_curl {
#define HONE_CURL_FIELD(name) __typeof__(curl_##name) *name;
    HONE_CURL_FUNCTIONS(HONE_CURL_FIELD)
#undef HONE_CURL_FIELD
};

// Loads it at the first call. Returns 0, or -ENOENT with err filled.
int hone_curl_load(const struct hone_curl **ret, struct hone_error *err);

#endif

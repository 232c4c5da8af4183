// Debug files from debuginfod servers, for those who ask: elfutils' libdebuginfod, which keeps what
// it fetched in a cache of its own. It is loaded when it is needed and not linked, because with it
// come some twenty libraries (curl, TLS, Kerberos, …) that no other command has a use for.
#ifndef HONE_SYMBOL_FETCH_H
#define HONE_SYMBOL_FETCH_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct hone_symbol_fetcher;

// Returns 0, or a negative errno with err filled: the library or $DEBUGINFOD_URLS is missing.
int hone_symbol_fetcher_new(struct hone_symbol_fetcher **ret, struct hone_error *err);
void hone_symbol_fetcher_free(struct hone_symbol_fetcher *fetcher);

// total is 0 as long as nobody knows. For all fetches from here on.
typedef void hone_symbol_fetch_progress(void *context, const char *module, uint64_t bytes,
                                        uint64_t total);
void hone_symbol_fetcher_watch(struct hone_symbol_fetcher *fetcher,
                               hone_symbol_fetch_progress *progress, void *context);

// The path of the debug file of a build id, for the caller to free. module is for progress only.
// Returns 0; -ENOENT when no server has it; another negative errno when they could not be asked,
// and then no later call asks again.
int hone_symbol_fetch(struct hone_symbol_fetcher *fetcher, const char *module,
                      const unsigned char *build_id, size_t build_id_len, char **ret);

#endif

// The property of reading what servers say of addresses, which fuzzer and test share: any bytes
// return; names are in order, lie within the answer and are found again; and a source of any bytes
// that is a URL is the same one when it is read again.
#ifndef HONE_FETCH_SYMBOLS_FUZZ_H
#define HONE_FETCH_SYMBOLS_FUZZ_H

#include "fetch/symbols.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HONE_DEMAND(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void hone_symbols_check(const void *data, size_t size)
{
    char *exact = malloc(size ? size : 1); // a read past the end is caught
    if (!exact)
        return;
    memcpy(exact, data, size);
    struct hone_symbols symbols;
    if (hone_symbols_read(exact, size, &symbols) == 0) {
        for (size_t i = 0; i < symbols.count; i++) {
            struct hone_str name = symbols.at[i].name;
            HONE_DEMAND(i == 0 || symbols.at[i - 1].address < symbols.at[i].address);
            HONE_DEMAND(name.len && name.at >= exact && name.at + name.len <= exact + size);
            HONE_DEMAND(hone_symbols_find(&symbols, symbols.at[i].address).at == name.at);
        }
        hone_symbols_done(&symbols);
    }
    free(exact);
}

static inline void hone_url_check(const void *data, size_t size)
{
    struct hone_arena arena = {0};
    char *source = malloc(size + 1);
    struct hone_url url;
    struct hone_url again;
    if (!source)
        return;
    memcpy(source, data, size);
    source[size] = '\0';
    int r = hone_url_of_source(&arena, source, 0, 0, &url);
    HONE_DEMAND(r == 0 || r == HONE_URL_NONE || r == -ENOMEM);
    if (r == 0) {
        HONE_DEMAND(url.timeout_s > 0 && url.seconds >= 0 && url.request[0] && url.shown[0]);
        r = hone_url_of_source(&arena, url.text, 0, 0, &again);
        HONE_DEMAND(r == -ENOMEM || (r == 0 && strcmp(url.text, again.text) == 0));
        r = hone_url_of_symbols(&arena, url.text, &again);
        HONE_DEMAND(r == -ENOMEM || r == 0);
    }
    hone_arena_done(&arena);
    free(source);
}

#endif

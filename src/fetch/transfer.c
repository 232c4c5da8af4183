#include "fetch/transfer.h"

#include "fetch/transfer_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { WAIT_MS = 500 }; // between two looks at the clock

// --- a request -----------------------------------------------------------------------------------

static int on_progress(void *context, curl_off_t all_down, curl_off_t down, curl_off_t all_up,
                       curl_off_t up)
{
    (void)all_down;
    (void)down;
    (void)all_up;
    struct hone_transfer *transfer = context;
    if (up != transfer->sent) // a server that takes what we send is not silent
        transfer->heard_ms = hone_transfer_now_ms();
    transfer->sent = up;
    return 0; // go on
}

static bool set_tls(const struct hone_curl *curl, CURL *easy, const struct hone_transfer *transfer,
                    const struct hone_fetch_options *options)
{
    // As Go does, so that what works with its pprof works here.
    const char *authorities = options->tls_ca ? options->tls_ca : getenv("SSL_CERT_FILE");
    bool good = true;
    if (transfer->insecure)
        good = curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
               curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK;
    if (good && authorities && authorities[0])
        good = curl->easy_setopt(easy, CURLOPT_CAINFO, authorities) == CURLE_OK;
    if (good && options->tls_cert)
        good = curl->easy_setopt(easy, CURLOPT_SSLCERT, options->tls_cert) == CURLE_OK &&
               curl->easy_setopt(easy, CURLOPT_SSLKEY, options->tls_key) == CURLE_OK;
    return good;
}

static bool set_protocols(const struct hone_curl *curl, CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK;
#else
    long protocols = CURLPROTO_HTTP | CURLPROTO_HTTPS;
    return curl->easy_setopt(easy, CURLOPT_PROTOCOLS, protocols) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, protocols) == CURLE_OK;
#endif
}

static bool set_post(const struct hone_transfers *all, CURL *easy,
                     const struct hone_transfer *transfer)
{
    const struct hone_curl *curl = all->curl;
    return curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->post_len) ==
               CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->post) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_HTTPHEADER, all->post_headers) == CURLE_OK;
}

static bool set_request(const struct hone_transfers *all, CURL *easy,
                        struct hone_transfer *transfer)
{
    const struct hone_curl *curl = all->curl;
    long redirects = HONE_TRANSFER_REDIRECTS_MAX;
    // Without signals: they belong to the program. Answers may come packed, as Go's client asks.
    return curl->easy_setopt(easy, CURLOPT_URL, transfer->url) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_USERAGENT, "hone") == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip") == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_MAXREDIRS, redirects) == CURLE_OK &&
           (!transfer->direct || curl->easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK) &&
           set_protocols(curl, easy);
}

static bool set_callbacks(const struct hone_curl *curl, CURL *easy, struct hone_transfer *transfer)
{
    return curl->easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->words) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, hone_transfer_on_header) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, hone_transfer_on_body) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_XFERINFODATA, transfer) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
}

// --- their course --------------------------------------------------------------------------------

static void end(struct hone_transfers *all, struct hone_transfer *transfer)
{
    if (transfer->easy) {
        (void)all->curl->multi_remove_handle(all->multi, transfer->easy);
        all->curl->easy_cleanup(transfer->easy);
        transfer->easy = NULL;
    }
    size_t held = transfer->bytes.len;
    all->over++;
    if (all->watch && all->watch->over)
        all->watch->over(all->watch->context, transfer);
    hone_buffer_done(&transfer->bytes);
    all->held_bytes -= held;
}

static void begin(struct hone_transfers *all, struct hone_transfer *transfer,
                  const struct hone_fetch_options *options)
{
    transfer->all = all;
    if (!transfer->bytes_max)
        transfer->bytes_max = HONE_TRANSFER_BYTES_MAX;
    transfer->heard_ms = hone_transfer_now_ms();
    CURL *easy = transfer->easy = all->curl->easy_init();
    bool good = easy && set_request(all, easy, transfer) &&
                set_callbacks(all->curl, easy, transfer) &&
                set_tls(all->curl, easy, transfer, options) &&
                (!transfer->post || set_post(all, easy, transfer));
    if (good && all->curl->multi_add_handle(all->multi, easy) == CURLM_OK)
        return;
    hone_transfer_judge(transfer, CURLE_OUT_OF_MEMORY);
    end(all, transfer);
}

static void end_those_that_are_over(struct hone_transfers *all)
{
    CURLMsg *message;
    int left;
    while ((message = all->curl->multi_info_read(all->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct hone_transfer *transfer = NULL;
        CURLcode code = message->data.result;
        (void)all->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        hone_transfer_judge(transfer, code);
        end(all, transfer);
    }
}

static void give_up_silent_ones(struct hone_transfers *all)
{
    int64_t now = hone_transfer_now_ms();
    for (size_t i = 0; i < all->begun; i++) {
        struct hone_transfer *transfer = &all->at[i];
        int64_t patience_ms = (transfer->timeout_s + HONE_TRANSFER_GRACE_S) * 1000;
        if (!transfer->easy || now - transfer->heard_ms <= patience_ms)
            continue;
        hone_transfer_judge_silent(transfer);
        end(all, transfer);
    }
}

static int run(struct hone_transfers *all, const struct hone_fetch_options *options,
               struct hone_error *err)
{
    while (all->over < all->count) {
        while (all->begun < all->count && all->begun - all->over < HONE_FETCH_AT_ONCE)
            begin(all, &all->at[all->begun++], options);
        int running;
        if (all->curl->multi_perform(all->multi, &running) != CURLM_OK)
            return hone_error_set(err, -ENOMEM, "cannot ask servers");
        end_those_that_are_over(all);
        give_up_silent_ones(all);
        if (all->watch && all->watch->progress)
            all->watch->progress(all->watch->context, all->over, all->bytes);
        if (all->over < all->count && all->begun - all->over == (size_t)running)
            (void)all->curl->multi_poll(all->multi, NULL, 0, WAIT_MS, NULL);
    }
    return 0;
}

static int check_tls(const struct hone_fetch_options *options, struct hone_error *err)
{
    const struct {
        const char *name;
        const char *path;
    } files[] = {{"tls_cert", options->tls_cert},
                 {"tls_key", options->tls_key},
                 {"tls_ca", options->tls_ca}};
    if (!options->tls_cert != !options->tls_key)
        return hone_error_set(err, -EINVAL, "-%s is specified, so -%s must also be specified",
                              options->tls_cert ? "tls_cert" : "tls_key",
                              options->tls_cert ? "tls_key" : "tls_cert");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i].path && access(files[i].path, R_OK) != 0)
            return hone_error_set(err, -errno, "cannot read '%s', which -%s names", files[i].path,
                                  files[i].name);
    return 0;
}

static struct curl_slist *headers_of_posts(const struct hone_curl *curl)
{
    struct curl_slist *type = curl->slist_append(NULL, "Content-Type: application/octet-stream");
    // curl would ask first whether a long body is welcome, and old servers do not answer that.
    struct curl_slist *both = type ? curl->slist_append(type, "Expect:") : NULL;
    if (!both)
        curl->slist_free_all(type);
    return both;
}

static void stop(struct hone_transfers *all)
{
    for (size_t i = 0; i < all->begun; i++)
        if (all->at[i].easy) {
            (void)all->curl->multi_remove_handle(all->multi, all->at[i].easy);
            all->curl->easy_cleanup(all->at[i].easy);
            all->at[i].easy = NULL;
            hone_buffer_done(&all->at[i].bytes);
        }
    if (all->multi)
        (void)all->curl->multi_cleanup(all->multi);
    all->curl->slist_free_all(all->post_headers);
}

int hone_transfer_run(struct hone_transfer *transfers, size_t count,
                      const struct hone_fetch_options *options,
                      const struct hone_transfer_watch *watch, struct hone_error *err)
{
    struct hone_transfers all = {.watch = watch, .at = transfers, .count = count};
    int r = check_tls(options, err);
    if (!r)
        r = hone_curl_load(&all.curl, err);
    if (r)
        return r;
    all.multi = all.curl->multi_init();
    all.post_headers = headers_of_posts(all.curl);
    r = all.multi && all.post_headers ? run(&all, options, err)
                                      : hone_error_set(err, -ENOMEM, "cannot ask servers");
    stop(&all);
    return r;
}

#include "fetch/transfer_parts.h"

#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ERROR_PAGE_MAX = 4096 }; // bytes of a page that says what is wrong

// --- what comes in -------------------------------------------------------------------------------

static struct hone_str trim(struct hone_str text)
{
    while (text.len && isspace((unsigned char)text.at[0]))
        text = (struct hone_str){text.at + 1, text.len - 1};
    while (text.len && isspace((unsigned char)text.at[text.len - 1]))
        text.len--;
    return text;
}

static void keep(char word[HONE_TRANSFER_WORD_MAX], struct hone_str text)
{
    (void)snprintf(word, HONE_TRANSFER_WORD_MAX, "%.*s", (int)text.len, text.at);
}

// "HTTP/1.1 404 Not Found": of several answers (a redirect, another one) the last counts.
static void read_status(struct hone_transfer *transfer, struct hone_str line)
{
    const char *blank = memchr(line.at, ' ', line.len);
    struct hone_str rest = {line.at + line.len, 0};
    if (blank)
        rest = trim((struct hone_str){blank, line.len - (size_t)(blank - line.at)});
    keep(transfer->reason, rest);
    transfer->status = 0;
    for (size_t i = 0; i < rest.len && i < 3 && isdigit((unsigned char)rest.at[i]); i++)
        transfer->status = transfer->status * 10 + (rest.at[i] - '0');
    transfer->content_type[0] = '\0';
}

static bool is_named(struct hone_str line, const char *name, struct hone_str *ret_value)
{
    size_t len = strlen(name);
    if (line.len <= len || line.at[len] != ':' || strncasecmp(line.at, name, len) != 0)
        return false;
    *ret_value = trim((struct hone_str){line.at + len + 1, line.len - len - 1});
    return true;
}

size_t hone_transfer_on_header(char *at, size_t size, size_t count, void *context)
{
    struct hone_transfer *transfer = context;
    struct hone_str line = {at, size * count};
    struct hone_str value;
    transfer->heard_ms = hone_transfer_now_ms();
    if (hone_str_starts(line, HONE_STR("HTTP/")))
        read_status(transfer, line);
    else if (is_named(line, "Content-Type", &value))
        keep(transfer->content_type, value);
    return line.len;
}

size_t hone_transfer_on_body(char *at, size_t size, size_t count, void *context)
{
    struct hone_transfer *transfer = context;
    struct hone_transfers *all = transfer->all;
    size_t len = size * count;
    transfer->heard_ms = hone_transfer_now_ms();
    bool good = transfer->status == 200;
    transfer->too_large = len > transfer->bytes_max - transfer->bytes.len;
    transfer->all_too_large = len > HONE_TRANSFER_HELD_MAX - all->held_bytes;
    if (transfer->too_large || transfer->all_too_large ||
        (!good && transfer->bytes.len >= ERROR_PAGE_MAX))
        return 0; // which ends the transfer
    hone_buffer_add(&transfer->bytes, at, len);
    if (transfer->bytes.failed)
        return 0;
    all->held_bytes += len;
    all->bytes += len;
    return len;
}

// --- what went wrong -----------------------------------------------------------------------------

// The first line of a page in plain words; nothing of a page for browsers.
static struct hone_str first_line(const struct hone_transfer *transfer)
{
    bool plain = strncasecmp(transfer->content_type, "text/plain", 10) == 0;
    struct hone_str page = {transfer->bytes.at, plain ? transfer->bytes.len : 0};
    page = trim(page);
    const char *end = page.len ? memchr(page.at, '\n', page.len) : NULL;
    if (end)
        page.len = (size_t)(end - page.at);
    return trim(page);
}

static int judge_status(struct hone_transfer *transfer)
{
    struct hone_str line = first_line(transfer);
    return hone_error_set(&transfer->error, -EBADMSG,
                          "cannot fetch '%s': server response: %s%s%.*s", transfer->shown,
                          transfer->reason, line.len ? " - " : "",
                          line.len < 300 ? (int)line.len : 300, line.at ? line.at : "");
}

static int judge_size(struct hone_transfer *transfer)
{
    if (transfer->too_large)
        return hone_error_set(&transfer->error, -EBADMSG,
                              "cannot fetch '%s': it sends more than %zu MiB", transfer->shown,
                              transfer->bytes_max >> 20);
    (void)hone_error_set(&transfer->error, -EBADMSG,
                         "cannot fetch '%s': all that is fetched at once has more than %zu MiB",
                         transfer->shown, HONE_TRANSFER_HELD_MAX >> 20);
    hone_error_hint(&transfer->error, "fetch fewer at once, and merge what was saved");
    return -EBADMSG;
}

static int judge_connection(struct hone_transfer *transfer)
{
    long reason = 0;
    struct hone_transfers *all = transfer->all;
    (void)all->curl->easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &reason);
    if (reason > 0)
        return hone_error_set(&transfer->error, (int)-reason, "cannot fetch '%s'", transfer->shown);
    return hone_error_set(&transfer->error, -EBADMSG, "cannot fetch '%s': it cannot be reached",
                          transfer->shown);
}

static int judge_certificate(struct hone_transfer *transfer)
{
    (void)hone_error_set(&transfer->error, -EBADMSG,
                         "cannot fetch '%s': its certificate cannot be trusted%s%s",
                         transfer->shown, transfer->words[0] ? ": " : "", transfer->words);
    hone_error_hint(&transfer->error, "where that does not matter, https+insecure:// takes any");
    return -EBADMSG;
}

// In curl's words, without the line ends that some have.
static int judge_rest(struct hone_transfer *transfer, CURLcode code)
{
    const char *words =
        transfer->words[0] ? transfer->words : transfer->all->curl->easy_strerror(code);
    return hone_error_set(&transfer->error, -EBADMSG, "cannot fetch '%s': %.*s", transfer->shown,
                          (int)strcspn(words, "\r\n"), words);
}

static int judge(struct hone_transfer *transfer, CURLcode code)
{
    if (transfer->too_large || transfer->all_too_large)
        return judge_size(transfer);
    if (transfer->bytes.failed || code == CURLE_OUT_OF_MEMORY)
        return hone_error_set(&transfer->error, -ENOMEM, "cannot fetch '%s'", transfer->shown);
    switch (code) {
    case CURLE_OK:
    case CURLE_WRITE_ERROR: // the rest of a long page about an error was refused
        return transfer->status == 200 ? 0 : judge_status(transfer);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return hone_error_set(&transfer->error, -EBADMSG, "cannot fetch '%s': nobody knows the %s",
                              transfer->shown,
                              code == CURLE_COULDNT_RESOLVE_HOST ? "host" : "proxy");
    case CURLE_COULDNT_CONNECT:
        return judge_connection(transfer);
    case CURLE_PEER_FAILED_VERIFICATION:
        return judge_certificate(transfer);
    case CURLE_SSL_CONNECT_ERROR:
        (void)judge_rest(transfer, code);
        hone_error_hint(&transfer->error, "does it want https at all, or a certificate of yours?");
        return -EBADMSG;
    case CURLE_UNSUPPORTED_PROTOCOL:
        return hone_error_set(&transfer->error, -EBADMSG,
                              "cannot fetch '%s': only http, https and https+insecure can be asked",
                              transfer->shown);
    case CURLE_TOO_MANY_REDIRECTS:
        return hone_error_set(&transfer->error, -EBADMSG,
                              "cannot fetch '%s': stopped after %d redirects", transfer->shown,
                              HONE_TRANSFER_REDIRECTS_MAX);
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return hone_error_set(&transfer->error, -EBADMSG,
                              "cannot fetch '%s': the connection ended before the answer did",
                              transfer->shown);
    default:
        return judge_rest(transfer, code);
    }
}

void hone_transfer_judge(struct hone_transfer *transfer, CURLcode code)
{
    transfer->result = judge(transfer, code);
}

void hone_transfer_judge_silent(struct hone_transfer *transfer)
{
    long long patience_s = transfer->timeout_s + HONE_TRANSFER_GRACE_S;
    transfer->result = hone_error_set(
        &transfer->error, -EBADMSG, "cannot fetch '%s': %s for %lld s", transfer->shown,
        transfer->status ? "the server stopped sending" : "the server does not answer", patience_s);
}

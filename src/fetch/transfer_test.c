// Answers that only a test can send: a server of our own, which says what it is told and hangs up.
#include "fetch/transfer.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char address[64];

// A process that answers each connection with head, then with body so many times.
static pid_t serve(const char *head, const char *body, size_t times)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(listen(listener, 8) == 0 && getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    (void)snprintf(address, sizeof address, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    pid_t child = fork();
    if (child) {
        (void)close(listener);
        return child;
    }
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        char request[4096];
        (void)!read(peer, request, sizeof request);
        (void)!send(peer, head, strlen(head), MSG_NOSIGNAL);
        for (size_t i = 0; i < times; i++)
            if (send(peer, body, strlen(body), MSG_NOSIGNAL) < 0)
                break;
        (void)close(peer);
    }
}

static struct hone_buffer taken;

static void take(void *context, struct hone_transfer *transfer)
{
    (void)context;
    hone_buffer_done(&taken);
    taken = transfer->bytes;
    transfer->bytes = (struct hone_buffer){0};
}

// One transfer from a server that says this; its error's message.
static const char *outcome(const char *head, const char *body, size_t times, size_t bytes_max)
{
    static struct hone_transfer transfer;
    pid_t server = serve(head, body, times);
    transfer = (struct hone_transfer){
        .url = address, .shown = "S", .direct = true, .timeout_s = 60, .bytes_max = bytes_max};
    const struct hone_fetch_options options = {0};
    const struct hone_transfer_watch watch = {.over = take};
    struct hone_error err = {0};
    CHECK_EQ(hone_transfer_run(&transfer, 1, &options, &watch, &err), 0);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    CHECK((transfer.result == 0) == (transfer.error.message[0] == '\0'));
    if (transfer.result)
        hone_buffer_done(&taken);
    return transfer.error.message;
}

TEST(an_answer_comes_whole)
{
    CHECK_STR(outcome("HTTP/1.1 200 OK\r\n\r\n", "abc", 2, 6), "");
    CHECK(taken.len == 6 && memcmp(taken.at, "abcabc", 6) == 0);
    hone_buffer_done(&taken);
}

TEST(more_than_the_limit_is_refused)
{
    CHECK_STR(outcome("HTTP/1.1 200 OK\r\n\r\n", "0123456789abcdef", 1 << 20, 2 << 20),
              "cannot fetch 'S': it sends more than 2 MiB");
}

TEST(an_error_has_the_first_line_of_plain_pages)
{
    CHECK_STR(outcome("HTTP/1.1 503 So Busy\r\nContent-Type: text/plain\r\n\r\n",
                      "\n come later \nor never", 1, 0),
              "cannot fetch 'S': server response: 503 So Busy - come later");
    CHECK_STR(outcome("HTTP/1.1 503 So Busy\r\nContent-Type: text/html\r\n\r\n", "<p>later", 1, 0),
              "cannot fetch 'S': server response: 503 So Busy");
    CHECK_STR(outcome("HTTP/1.1 500\r\n\r\n", "", 0, 0), "cannot fetch 'S': server response: 500");
    CHECK_STR(outcome("HTTP/1.1 204 No Content\r\n\r\n", "", 0, 0),
              "cannot fetch 'S': server response: 204 No Content");
}

TEST(an_endless_page_about_an_error_is_cut)
{
    CHECK_STR(outcome("HTTP/1.1 404 No\r\nContent-Type: text/plain\r\n\r\n", "no ", SIZE_MAX, 0) +
                  strlen("cannot fetch 'S': server response: 404 No - no no no no no "),
              "no no no no no no no no no no no no no no no no no no no no no no no no no no no "
              "no no no no no no no no no no no no no no no no no no no no no no no no no no no "
              "no no no no no no no no no no no no no no no no no no no no no no no no no no no "
              "no no no no no no no no no no no no no no ");
}

TEST(what_is_not_http_or_ends_early_is_told)
{
    CHECK_STR(outcome("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "abc", 1, 0),
              "cannot fetch 'S': the connection ended before the answer did");
    CHECK_STR(outcome("", "", 0, 0),
              "cannot fetch 'S': the connection ended before the answer did");
    CHECK(strncmp(outcome("SSH-2.0-x\r\n", "", 0, 0), "cannot fetch 'S': ", 18) == 0);
}

TEST(options_that_contradict_each_other_are_refused)
{
    struct hone_error err = {0};
    struct hone_fetch_options options = {.tls_cert = "/dev/null"};
    CHECK_EQ(hone_transfer_run(NULL, 0, &options, NULL, &err), -EINVAL);
    CHECK_STR(err.message, "-tls_cert is specified, so -tls_key must also be specified");
    options = (struct hone_fetch_options){.tls_key = "/dev/null"};
    CHECK_EQ(hone_transfer_run(NULL, 0, &options, NULL, &err), -EINVAL);
    CHECK_STR(err.message, "-tls_key is specified, so -tls_cert must also be specified");
    options = (struct hone_fetch_options){.tls_ca = "/nowhere"};
    CHECK_EQ(hone_transfer_run(NULL, 0, &options, NULL, &err), -ENOENT);
}

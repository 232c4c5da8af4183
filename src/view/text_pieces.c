// Each thread takes the next piece, makes it, and waits for its turn to hand it on. Pieces are
// taken in order, so whoever has the first one that is not out yet waits for nobody.
#include "view/text_pieces.h"

#include "base/cleanup.h"
#include "base/crew.h"

#include <errno.h>
#include <pthread.h>

struct putting {
    const struct hone_text_pieces *pieces;
    const struct hone_text_sink *sink;
    struct hone_buffer *out; // where there is no sink

    pthread_mutex_t lock; // for what follows
    pthread_cond_t turned;
    uint32_t taken;
    uint32_t turn; // of the piece that is handed on next
    bool stopped;
    int status;
    struct hone_error err;
};

static void putting_done(struct putting *p)
{
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->turned);
}

// Sets the status; positive where the sink has enough.
static int hand_on(struct putting *p, const struct hone_buffer *text)
{
    if (text->failed)
        return hone_error_set(&p->err, -ENOMEM, "cannot write the report");
    if (p->sink)
        return text->len
                   ? p->sink->put(p->sink->context, (struct hone_str){text->at, text->len}, &p->err)
                   : 0;
    hone_buffer_add(p->out, text->at, text->len);
    return p->out->failed ? hone_error_set(&p->err, -ENOMEM, "cannot write the report") : 0;
}

static void work(void *context, unsigned number)
{
    (void)number;
    struct putting *p = context;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    (void)pthread_mutex_lock(&p->lock);
    while (!p->stopped && p->taken < p->pieces->count) {
        uint32_t piece = p->taken++;
        (void)pthread_mutex_unlock(&p->lock);
        text.len = 0;
        p->pieces->make(p->pieces->context, piece, &text);
        (void)pthread_mutex_lock(&p->lock);
        while (p->turn != piece)
            (void)pthread_cond_wait(&p->turned, &p->lock);
        if (!p->stopped) {
            (void)pthread_mutex_unlock(&p->lock); // others may take pieces meanwhile
            int r = hand_on(p, &text);
            (void)pthread_mutex_lock(&p->lock);
            p->status = r;
            p->stopped = r != 0;
        }
        p->turn++;
        (void)pthread_cond_broadcast(&p->turned);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

int hone_text_pieces_put(const struct hone_text_pieces *pieces,
                         const struct hone_text_options *options, struct hone_buffer *out,
                         struct hone_error *err)
{
    HONE_CLEANUP(putting_done)
    struct putting p = {.pieces = pieces,
                        .sink = options->sink,
                        .out = out,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .turned = PTHREAD_COND_INITIALIZER};
    if (p.sink) {
        p.status = hand_on(&p, out);
        p.stopped = p.status != 0;
        out->len = 0;
    }
    unsigned crew = hone_crew_size();
    if (!p.stopped)
        hone_crew_run(pieces->count < crew ? pieces->count : crew, work, &p);
    if (p.status < 0 && err)
        *err = p.err;
    return p.status < 0 ? p.status : 0;
}

#include "view/locks.h"

#include "base/measure.h"
#include "view/text_report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double limits = 1.96;        // standard errors: 95 of 100 times
static const double widest_share = 0.2;   // between its limits, of what is one figure
static const double fewest_longest = 100; // holds: that there are longer ones is unlikely

enum { WIDTH = 80, INDENT = 4 };

struct page {
    const struct hone_locks_view *view;
    struct hone_buffer *out;
    struct hone_report report; // for names
    bool contended_holds;      // some figures are of holds that others waited for
};

// --- figures -------------------------------------------------------------------------------------

static struct hone_measure_label time_label(double ns)
{
    struct hone_measure_label label = {"-"};
    return ns >= 0 ? hone_measure_label(ns < 9e18 ? llround(ns) : INT64_MAX, "nanoseconds", "auto")
                   : label;
}

// In so many digits: what is exact to some percent has two that tell anything.
static struct hone_measure_label rough_label(double ns, int digits)
{
    if (!(ns > 0))
        return time_label(ns);
    double unit = pow(10, floor(log10(ns)) + 1 - digits);
    return time_label(unit > 1 ? round(ns / unit) * unit : ns);
}

static struct hone_measure_label error_label(struct hone_lock_amount amount)
{
    struct hone_measure_label label = {""};
    if (!(amount.error > 0) || !(amount.value > 0))
        return label;
    double percent = 100 * limits * amount.error / amount.value;
    (void)snprintf(label.text, sizeof label.text, percent < 9.95 ? "±%.1f%%" : "±%.0f%%",
                   fmin(percent, 999));
    return label;
}

// What part of all acquisitions waits; of few, between which limits it lies.
static struct hone_measure_label share_label(const struct hone_lock_mode_facts *mode)
{
    struct hone_measure_label label = {"-"};
    if (mode->high - mode->low > widest_share)
        (void)snprintf(label.text, sizeof label.text, "%.0f-%.0f%%", floor(100 * mode->low),
                       ceil(100 * mode->high));
    else if (mode->share >= 0)
        (void)snprintf(label.text, sizeof label.text, "%.1f%%", 100 * mode->share);
    return label;
}

// Text in so many columns; '±' is one of them.
static void put_right(struct page *page, const char *text, uint32_t columns)
{
    uint32_t has = hone_report_columns(hone_str_of(text));
    hone_buffer_format(page->out, "%*s%s", has < columns ? (int)(columns - has) : 0, "", text);
}

static void put_left(struct page *page, const char *text, uint32_t columns)
{
    uint32_t has = hone_report_columns(hone_str_of(text));
    hone_buffer_format(page->out, "%s%*s", text, has < columns ? (int)(columns - has) : 0, "");
}

static const char *plural(double count)
{
    return count == 1 ? "" : "s";
}

// --- sentences -----------------------------------------------------------------------------------

// Words in lines of the page's width, those after the first as far in as its prefix.
static void put_sentence(struct page *page, const char *prefix, struct hone_str text)
{
    uint32_t width = page->view->width ? page->view->width : WIDTH;
    uint32_t indent = hone_report_columns(hone_str_of(prefix)), column = indent;
    hone_buffer_text(page->out, prefix);
    bool begins = true;
    for (size_t at = 0, end; at < text.len; at = end + 1) {
        const char *space = memchr(text.at + at, ' ', text.len - at);
        end = space ? (size_t)(space - text.at) : text.len;
        uint32_t columns = hone_report_columns((struct hone_str){text.at + at, end - at});
        if (!begins && column + 1 + columns > width) {
            hone_buffer_format(page->out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!begins) {
            hone_buffer_text(page->out, " ");
            column++;
        }
        hone_buffer_add(page->out, text.at + at, end - at);
        column += columns;
        begins = false;
    }
    hone_buffer_text(page->out, "\n");
}

// --- the head ------------------------------------------------------------------------------------

static void put_rates(struct page *page)
{
    const struct hone_locks_facts *facts = page->view->facts;
    char releases[64] = "each release", waits[160] = "each wait", how[512];
    if (facts->mutex_fraction > 1)
        (void)snprintf(releases, sizeof releases, "one in %.0f releases", facts->mutex_fraction);
    if (facts->block_rate_ns > 1)
        (void)snprintf(waits, sizeof waits, "each wait of %s or more and shorter ones by chance",
                       time_label(facts->block_rate_ns).text);
    (void)snprintf(how, sizeof how,
                   "Recorded were %s that others waited for (%.0f), %s (%.0f), and %.0f "
                   "acquisitions drawn from all; ± and limits are what chance leaves, 95 of 100 "
                   "times",
                   releases, facts->release_records, waits, facts->wait_records,
                   facts->acquisitions_drawn);
    put_sentence(page, "", hone_str_of(how));
    if (!(facts->releases_drawn_less + facts->waits_drawn_less > 0))
        return;
    (void)snprintf(how, sizeof how,
                   "Fewer than that of locks that are wanted all the time, each with more weight: "
                   "so were %.0f of the releases and %.0f of the waits",
                   facts->releases_drawn_less, facts->waits_drawn_less);
    put_sentence(page, "", hone_str_of(how));
}

static void put_head(struct page *page)
{
    const struct hone_locks_facts *facts = page->view->facts;
    if (facts->command.len) {
        hone_buffer_text(page->out, "Locks of ");
        hone_report_name(&page->report, facts->command, 9, 0);
        hone_buffer_text(page->out, "\n");
    }
    if (!isnan(facts->duration_ns))
        hone_buffer_format(page->out, "Recorded for %s", time_label(facts->duration_ns).text);
    if (facts->contentions >= 0)
        hone_buffer_format(page->out, "; %.0f acquisition%s had to wait", facts->contentions,
                           plural(facts->contentions));
    hone_buffer_text(page->out, "\n");
    if (facts->release_records >= 0 && facts->wait_records >= 0 && facts->acquisitions_drawn >= 0)
        put_rates(page);
    if (facts->untracked > 0)
        hone_buffer_format(page->out, "Of %.0f waits the holder is not known, for lack of room\n",
                           facts->untracked);
    if (facts->lost > 0)
        hone_buffer_format(page->out, "Lost: %.0f records; 'hone info' of mutex.prof says why\n",
                           facts->lost);
    for (uint32_t i = 0; i < facts->not_covered_count; i++) {
        hone_buffer_text(page->out, "Not covered: ");
        hone_report_name(&page->report, facts->not_covered[i], 13, 0);
        hone_buffer_text(page->out, "\n");
    }
    if (facts->not_covered_more)
        hone_buffer_format(page->out, "Not covered: %u others\n", facts->not_covered_more);
}

// --- the table -----------------------------------------------------------------------------------

enum { TIME_COLUMNS = 9 };

static void put_times(struct page *page, const struct hone_lock_spread *spread, const char *mark)
{
    put_right(page, rough_label(spread->median_ns, 2).text, TIME_COLUMNS);
    put_right(page, rough_label(spread->p99_ns, 2).text, TIME_COLUMNS);
    put_right(page, rough_label(spread->max_ns, 3).text, TIME_COLUMNS - 1);
    hone_buffer_text(page->out, mark);
}

// Of all holds, where those are known well enough. The longest of a few is no longest one where
// somebody waited longer.
static void put_holds(struct page *page, const struct hone_lock_facts *lock)
{
    bool all = lock->exclusive.hold.median_ns >= 0;
    bool contended = !all && lock->contended_hold.observations > 0;
    struct hone_lock_spread hold = contended ? lock->contended_hold : lock->exclusive.hold;
    double longest_wait_ns = fmax(lock->exclusive.wait.max_ns, lock->shared.wait.max_ns);
    if (!(hold.equal_draws >= fewest_longest) && hold.max_ns < longest_wait_ns)
        hold.max_ns = NAN;
    contended = contended && (hold.median_ns >= 0 || hold.max_ns >= 0);
    page->contended_holds = page->contended_holds || contended;
    put_times(page, &hold, contended ? "*" : "");
}

static void put_place(struct page *page, const char *title,
                      const struct hone_lock_place_facts *place)
{
    if (!place->function.len)
        return;
    uint32_t width = page->view->width, used = INDENT + 14;
    char share[32];
    (void)snprintf(share, sizeof share, "  %.0f%%", 100 * fmin(place->share, 1));
    hone_buffer_format(page->out, "%*s%-14s", INDENT, "", title);
    hone_report_name(&page->report, place->function, used, (uint32_t)strlen(share));
    used += hone_report_columns(place->function);
    hone_buffer_text(page->out, share);
    used += (uint32_t)strlen(share);
    // Who called it, as far as there is room.
    for (uint32_t i = 0; i + 1 < place->frames && (!width || used + 12 < width); i++) {
        if (!hone_str_equal(place->stack[i], place->function))
            continue;
        hone_buffer_text(page->out, "  ← ");
        hone_report_name(&page->report, place->stack[i + 1], used + 4, 0);
        break;
    }
    hone_buffer_text(page->out, "\n");
}

static void put_mode(struct page *page, const char *title, const struct hone_lock_mode_facts *mode)
{
    if (!(mode->drawn > 0) && !(mode->wait.observations > 0))
        return;
    char text[256], prefix[32];
    (void)snprintf(prefix, sizeof prefix, "%*s%-14s", INDENT, "", title);
    int len = 0, size = sizeof text;
    text[0] = '\0';
    if (mode->drawn > 0)
        len = snprintf(text, sizeof text, "%.0f times %s%s", mode->acquisitions.value,
                       error_label(mode->acquisitions).text, mode->share >= 0 ? ", of which " : "");
    if (mode->share >= 0 && len < size)
        len += snprintf(text + len, (size_t)(size - len), "%s wait", share_label(mode).text);
    if (mode->wait.observations > 0 && mode->wait.median_ns >= 0 && len < size)
        (void)snprintf(text + len, (size_t)(size - len), "%swaits of %s (half of them), %s at most",
                       len ? "; " : "", rough_label(mode->wait.median_ns, 2).text,
                       time_label(mode->wait.max_ns).text);
    else if (mode->wait.observations > 0 && len < size)
        (void)snprintf(text + len, (size_t)(size - len), "%swaits of %s at most", len ? "; " : "",
                       time_label(mode->wait.max_ns).text);
    put_sentence(page, prefix, hone_str_of(text));
}

static void put_name(struct page *page, const struct hone_lock_facts *lock)
{
    char after[256] = "";
    int len =
        snprintf(after, sizeof after, "  %.*s", (int)(lock->kind.len < 20 ? lock->kind.len : 20),
                 lock->kind.at ? lock->kind.at : "");
    if (lock->locks > 1 && len > 0)
        len +=
            snprintf(after + len, sizeof after - (size_t)len, ", %.0f of that name", lock->locks);
    if (lock->waiters_most > 1 && len > 0)
        (void)snprintf(after + len, sizeof after - (size_t)len, ", up to %.0f waiting",
                       lock->waiters_most);
    hone_buffer_format(page->out, "%*s", INDENT, "");
    hone_report_name(&page->report, lock->name, INDENT, hone_report_columns(hone_str_of(after)));
    hone_buffer_format(page->out, "%s\n", after);
}

static void put_lock(struct page *page, const struct hone_lock_facts *lock)
{
    put_right(page, time_label(lock->delay_ns.value).text, TIME_COLUMNS);
    hone_buffer_text(page->out, " ");
    put_left(page, error_label(lock->delay_ns).text, 7);
    put_right(page, share_label(&lock->exclusive).text, 7);
    put_times(page, &lock->exclusive.wait, "");
    put_holds(page, lock);
    hone_buffer_text(page->out, "\n");
    put_name(page, lock);
    if (lock->has_shared) {
        put_mode(page, "for reading", &lock->shared);
        put_mode(page, "for writing", &lock->exclusive);
    }
    put_place(page, "held in", &lock->holder);
    put_place(page, "waited for in", &lock->waiter);
}

static uint32_t shown(const struct hone_locks_view *view)
{
    uint32_t count = 0;
    while (count < view->facts->lock_count && count < view->rows &&
           view->facts->locks[count].delay_ns.value > 0)
        count++;
    return count;
}

static void put_table(struct page *page)
{
    const struct hone_locks_facts *facts = page->view->facts;
    uint32_t rows = shown(page->view);
    if (!rows) {
        hone_buffer_text(page->out, "\n");
        put_sentence(page, "",
                     HONE_STR("Nobody was seen to wait for a lock of libc's or C++'s; what waits "
                              "by other means, such as Rust's locks, is in --types wall"));
        return;
    }
    hone_buffer_text(page->out,
                     "\n                  of all  ------- waited for ------  -------- held for "
                     "-------\n"
                     "    delay           wait      50%      99%    most      50%      99%    "
                     "most\n");
    for (uint32_t i = 0; i < rows; i++)
        put_lock(page, &facts->locks[i]);
    if (page->contended_holds)
        hone_buffer_text(page->out, "* of holds that others waited for\n");
    if (facts->count > rows)
        hone_buffer_format(page->out, "%.0f other lock%s seen\n", facts->count - rows,
                           plural(facts->count - rows));
    if (facts->time_error > 0)
        hone_buffer_format(page->out, "50%% and 99%% are exact to ±%.0f%%\n",
                           100 * facts->time_error);
}

// --- findings ------------------------------------------------------------------------------------

// Of the locks that are shown, and those beyond that nobody waits for.
static bool is_shown(const struct hone_locks_view *view, const struct hone_lock_finding *finding)
{
    return finding->lock < view->rows || !(view->facts->locks[finding->lock].delay_ns.value > 0);
}

static void put_finding(struct page *page, const struct hone_lock_finding *finding, bool first)
{
    const struct hone_lock_facts *lock = &page->view->facts->locks[finding->lock];
    if (first) {
        hone_report_name(&page->report, lock->name, 0, 0);
        hone_buffer_text(page->out, "\n");
    }
    put_sentence(page, "    ", finding->text);
    if (finding->kind != HONE_LOCK_CANNOT_TELL)
        put_sentence(page, "      → ", finding->advice);
}

// Those that were proven, or those of which nobody can tell. Returns how many.
static uint32_t put_findings(struct page *page, const char *title, bool proven)
{
    const struct hone_locks_view *view = page->view;
    const struct hone_lock_finding *last = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->findings->count; i++) {
        const struct hone_lock_finding *finding = &view->findings->at[i];
        if (!is_shown(view, finding) || (finding->kind != HONE_LOCK_CANNOT_TELL) != proven)
            continue;
        if (!count++)
            hone_buffer_format(page->out, "\n%s\n", title);
        put_finding(page, finding, !last || last->lock != finding->lock);
        last = finding;
    }
    if (last && !proven)
        put_sentence(page, "      → ", last->advice);
    return count;
}

static void put_all_findings(struct page *page)
{
    const struct hone_locks_view *view = page->view;
    uint32_t count = put_findings(page, "Findings", true);
    count += put_findings(page, "Cannot tell, for too little was recorded", false);
    uint32_t rest = view->findings->count - count;
    if (rest)
        hone_buffer_format(page->out, "%u more finding%s: -n 0\n", rest, plural(rest));
    if (!view->findings->count && shown(view))
        hone_buffer_text(page->out, "\nNothing to find fault with, as far as was observed\n");
}

static void put_next(struct page *page)
{
    const char *directory = page->view->directory;
    if (directory && page->view->facts->release_records > 0)
        hone_buffer_format(page->out,
                           "\nSee 'hone top %s/mutex.prof',\n    'hone tags %s/mutex.prof'\n",
                           directory, directory);
}

int hone_text_locks(const struct hone_locks_view *view, struct hone_buffer *out,
                    struct hone_error *err)
{
    const struct hone_text_options options = {.width = view->width};
    struct page page = {.view = view, .out = out, .report = {.options = &options, .out = out}};
    put_head(&page);
    put_table(&page);
    put_all_findings(&page);
    put_next(&page);
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot show the locks") : 0;
}

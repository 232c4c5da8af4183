// Marks, and sites that are looked at while their process counts.
#include "session/session_fixture.h"

#include "check.h"

struct told {
    uint32_t marks, sites, last_sites, kept;
    uint64_t times[HONE_MARKS_MAX];
    char names[HONE_MARKS_MAX][HONE_MARK_NAME];
    uint32_t marks_at_kept;
    uint64_t allocated;
};

static void on_mark(void *context, uint32_t number, const struct hone_reader_mark *mark)
{
    struct told *told = context;
    CHECK_EQ(number, told->marks);
    told->times[told->marks] = mark->time_ns;
    memcpy(told->names[told->marks++], mark->name, HONE_MARK_NAME);
}

static void on_kept(void *context, uint32_t process, const struct hone_record_heap_kept *kept)
{
    struct told *told = context;
    (void)process;
    told->kept++;
    told->marks_at_kept = told->marks;
    CHECK_EQ(kept->live, 3);
}

static void on_site(void *context, uint32_t process, const struct hone_process_facts *facts,
                    uint32_t number, const struct hone_heap_site *site, bool last)
{
    struct told *told = context;
    (void)process;
    CHECK_EQ(facts->pid, 41);
    CHECK_EQ(number % HONE_HEAP_SITES_STRIDE, 0);
    told->sites++;
    told->last_sites += last;
    told->allocated = site->allocated;
}

static const struct hone_reader_events heap_events = {
    .mark = on_mark, .heap_kept = on_kept, .heap_site = on_site};

TEST(marks_are_told_once_in_order_and_before_what_follows_them)
{
    struct hone_session session = make_session(4);
    struct hone_writer writer;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct told told = {0};
    CHECK(hone_writer_mark(session.header, 41, 10, "one"));
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(told.marks, 1);
    CHECK_STR(told.names[0], "one");
    CHECK_EQ(told.times[0], 10);
    CHECK(hone_writer_mark(session.header, 41, 20, "two"));
    struct hone_record_heap_kept *kept = hone_writer_claim(&writer, sizeof *kept);
    CHECK(kept);
    kept->live = 3;
    hone_writer_commit(&writer, kept, HONE_RECORD_HEAP_KEPT);
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(told.kept, 1);
    CHECK_EQ(told.marks_at_kept, 2);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(marks_beyond_the_room_are_refused_and_counted)
{
    struct hone_session session = make_session(4);
    for (int i = 0; i < HONE_MARKS_MAX; i++)
        CHECK(hone_writer_mark(session.header, 1, 1, "mark"));
    CHECK(!hone_writer_mark(session.header, 1, 1, "one too many"));
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    CHECK_EQ(hone_reader_marks_refused(reader), 1);
    struct told told = {0};
    atomic_store(&session.header->mark_count, UINT32_MAX); // overwritten by the program
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(told.marks, HONE_MARKS_MAX);
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(long_name_of_a_mark_is_cut_before_a_character)
{
    struct hone_session session = make_session(4);
    char name[64];
    memset(name, 'x', sizeof name);
    memcpy(name + HONE_MARK_NAME - 2, "\u20ac", 4);
    CHECK(hone_writer_mark(session.header, 1, 1, name));
    CHECK_EQ(strlen(session.header->marks[0].name), HONE_MARK_NAME - 2);
    name[HONE_MARK_NAME - 1] = '\0';
    name[HONE_MARK_NAME - 2] = 'y';
    CHECK(hone_writer_mark(session.header, 1, 1, name)); // has just room
    CHECK_EQ(strlen(session.header->marks[1].name), HONE_MARK_NAME - 1);
    hone_session_close(&session);
}

TEST(mark_that_is_not_complete_waits_until_the_end)
{
    struct hone_session session = make_session(4);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct told told = {0};
    CHECK(hone_writer_mark(session.header, 1, 0, "")); // no time yet
    CHECK(hone_writer_mark(session.header, 1, 5, "complete"));
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(told.marks, 0);
    hone_reader_all_dead(reader);
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(told.marks, 2);
    CHECK_STR(told.names[1], "complete");
    hone_reader_close(reader);
    hone_session_close(&session);
}

TEST(sites_can_be_looked_at_while_their_process_lives)
{
    struct hone_session session = make_session(8);
    struct hone_writer writer, other;
    CHECK_EQ(hone_writer_attach(&writer, session.header, session.bytes), 0);
    CHECK_EQ(hone_writer_begin(&writer, 41, 1, 1000), 0);
    other = writer;
    CHECK_EQ(hone_writer_begin(&other, 42, 1, 1000), 0); // has none
    uint32_t sites;
    CHECK(hone_writer_take_sites(&writer, &sites));
    struct hone_heap_site *site = hone_window_site(&writer.windows, sites);
    site->allocated = 5;
    atomic_store(&site->stack, 1);
    struct hone_reader *reader;
    CHECK_EQ(hone_reader_open(session.header, session.bytes, &reader), 0);
    struct told told = {0};
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(told.sites, 0);
    hone_reader_look(reader, &heap_events, &told);
    CHECK_EQ(told.sites, 1);
    CHECK_EQ(told.allocated, 5);
    site->allocated = 9;
    hone_reader_dead(reader, 0);
    CHECK_EQ(hone_reader_poll(reader, &heap_events, &told), 0);
    CHECK_EQ(told.sites, 2);
    CHECK_EQ(told.last_sites, 1);
    CHECK_EQ(told.allocated, 9);
    hone_reader_look(reader, &heap_events, &told);
    CHECK_EQ(told.sites, 2);
    hone_reader_close(reader);
    hone_session_close(&session);
}

#include "elf/cursor.h"

#include "check.h"

TEST(cursor_past_the_end_gives_zero_and_remembers)
{
    const unsigned char bytes[] = {1, 2, 3};
    struct hone_cursor at = hone_cursor(bytes, sizeof bytes);
    CHECK_EQ(hone_read_u16(&at), 0x201);
    CHECK_EQ(hone_read_u16(&at), 0);
    CHECK(at.failed);
    CHECK_EQ(hone_cursor_left(&at), 0);
    CHECK_EQ(hone_read_u8(&at), 0);
}

TEST(leb_numbers_of_all_lengths)
{
    const unsigned char bytes[] = {0x00, 0x7f, 0x80, 0x01, 0xe5, 0x8e, 0x26, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    struct hone_cursor at = hone_cursor(bytes, sizeof bytes);
    CHECK_EQ(hone_read_uleb(&at), 0);
    CHECK_EQ(hone_read_uleb(&at), 127);
    CHECK_EQ(hone_read_uleb(&at), 128);
    CHECK_EQ(hone_read_uleb(&at), 624485);
    CHECK(hone_read_uleb(&at) == UINT64_MAX);
    CHECK(!at.failed);
}

TEST(signed_leb_numbers_keep_their_sign)
{
    const unsigned char bytes[] = {0x02, 0x7e, 0xff, 0x00, 0x81, 0x7f, 0x80, 0x7f};
    struct hone_cursor at = hone_cursor(bytes, sizeof bytes);
    CHECK_EQ(hone_read_sleb(&at), 2);
    CHECK_EQ(hone_read_sleb(&at), -2);
    CHECK_EQ(hone_read_sleb(&at), 127);
    CHECK_EQ(hone_read_sleb(&at), -127);
    CHECK_EQ(hone_read_sleb(&at), -128);
    CHECK(!at.failed);
}

TEST(leb_number_without_an_end_fails)
{
    const unsigned char bytes[] = {0x80, 0x80, 0x80};
    struct hone_cursor at = hone_cursor(bytes, sizeof bytes);
    CHECK_EQ(hone_read_uleb(&at), 0);
    CHECK(at.failed);
    at = hone_cursor(bytes, sizeof bytes);
    CHECK_EQ(hone_read_sleb(&at), 0);
    CHECK(at.failed);
}

TEST(text_without_its_nul_is_no_text)
{
    struct hone_cursor at = hone_cursor("ab\0cd", 5);
    CHECK_STR(hone_read_text(&at), "ab");
    CHECK(hone_read_text(&at) == NULL);
    CHECK(at.failed);
}

TEST(cursor_from_an_offset_beyond_has_failed)
{
    struct hone_cursor at = hone_cursor_from("ab", 2, 2);
    CHECK(!at.failed);
    at = hone_cursor_from("ab", 2, 3);
    CHECK(at.failed);
    at = hone_cursor_from(NULL, 0, 0);
    CHECK_EQ(hone_cursor_left(&at), 0);
}

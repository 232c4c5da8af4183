#include "analyse/session_command.h"

#include <string.h>

struct hone_str hone_session_command(struct hone_arena *arena, const json_t *session)
{
    const json_t *command = json_object_get(session, "command");
    char text[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(command); i++) {
        const char *word = json_string_value(json_array_get(command, i));
        size_t len = word ? strlen(word) : 0;
        if (used + len + 2 > sizeof text)
            break;
        if (i)
            text[used++] = ' ';
        memcpy(text + used, word ? word : "", len);
        used += len;
    }
    const char *copy = hone_arena_copy(arena, text, used + 1);
    return (struct hone_str){copy, copy ? used : 0};
}

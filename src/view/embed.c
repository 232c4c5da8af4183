// A program of the build: turns text files, one behind the other, into a C string, so that the
// script and the style of the flame graph lie in the repository as what they are.
//
//     embed NAME FILE… > FILE.c
#include <stdio.h>

static int fail(const char *name, const char *what)
{
    (void)fprintf(stderr, "embed: %s: %s\n", name, what);
    return 1;
}

static int copy(const char *name)
{
    FILE *file = fopen(name, "rb");
    if (!file)
        return fail(name, "cannot be opened");
    int c, before = 0, earlier = 0;
    for (unsigned long column = 1; (c = getc(file)) != EOF; column++) {
        if (c == 0 || (c == '>' && before == ']' && earlier == ']')) {
            (void)fclose(file);
            return fail(name, "would end the section that it is put into");
        }
        (void)printf(column % 24 ? "%d," : "%d,\n", (signed char)c);
        earlier = before;
        before = c;
    }
    int bad = ferror(file);
    (void)fclose(file);
    return bad ? fail(name, "cannot be read") : 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return fail("usage", "embed NAME FILE…");
    (void)printf("extern const char %s[];\nconst char %s[] = {\n", argv[1], argv[1]);
    for (int i = 2; i < argc; i++)
        if (copy(argv[i]))
            return 1;
    (void)printf("0};\n");
    return fflush(stdout) ? fail(argv[1], "cannot be written") : 0;
}

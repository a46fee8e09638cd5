/* What commands that write reports have in common: where to, and the words they were called with. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

int make_directory(const char *path)
{
    struct stat status;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
        return EXIT_OK;
    if (errno == EEXIST)
        return failure("%s: exists and is not a directory", path);
    return failure("%s: cannot create the directory: %s", path, strerror(errno));
}

char *join_words(int argc, char **argv)
{
    size_t length = sizeof "tape";
    for (int i = 0; i < argc; i++)
        length += strlen(argv[i]) + 1;
    char *text = malloc(length);
    if (text)
        strcpy(text, "tape");
    for (int i = 0; text && i < argc; i++)
        strcat(strcat(text, " "), argv[i]);
    return text;
}

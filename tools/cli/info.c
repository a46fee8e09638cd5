/* `tape info`: what this build and this processor offer. */
#include <stdio.h>

#include "cli.h"
#include "tape/tape.h"

int command_info(int argc, char **argv)
{
    const option table[] = {{0}};
    int code = parse_options(argc, argv, table, "info", NULL, 0);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    printf("version        %s\n", tape_version());
    printf("instructions   %s (TAPE_ISA chooses among those built in)\n", tape_isa());
    if (tape_isa_note())
        printf("               %s\n", tape_isa_note());
    printf("class          %s FMA", tape_has_fma() ? "with" : "without");
    if (tape_blas())
        printf("; large products are the same to the bit for any number of threads, but\n"
               "               only on this processor, by this library: %s\n",
               tape_blas());
    else
        printf(": results are the same to the bit on every machine of it\n");
    printf("built with     %s\n", tape_build_features());
    return EXIT_OK;
}

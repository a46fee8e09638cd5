/* The program `tape`: finds the command and hands over. */
#define _XOPEN_SOURCE 700
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "tape/profile.h"
#include "tape/tape.h"

const char *program_name = "tape";

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"train", command_train, "train a classifier of images and write a report"},
    {"predict", command_predict, "use a trained model"},
    {"compare", command_compare, "measure symbolic, numeric and automatic differentiation side by side"},
    {"ops", command_ops, "list the ops and their derivatives"},
    {"info", command_info, "say what this build and this processor offer"},
};

static int complain(int code, const char *format, va_list arguments)
{
    fflush(stdout);
    fputs("tape: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    return code;
}

int usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(EXIT_USAGE, format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

int failure(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(EXIT_FAILED, format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

int tape_failure(void)
{
    return failure("%s", tape_message());
}

static void print_help(FILE *to)
{
    fprintf(to, "usage: tape COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\n'tape COMMAND --help' lists a command's options; 'tape --version' prints the version.\n");
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tape %s\n", tape_version());
        return EXIT_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return usage_error("no command '%s'; 'tape --help' lists them", argv[1]);
}

int main(int argc, char **argv)
{
    if (argc > 0)
        program_name = argv[0];
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk */
    int code = run(argc, argv);
    if (tape_profile_note() && code == EXIT_OK)
        code = failure("%s", tape_profile_note());
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK)
        code = failure("writing to standard output failed");
    tape_shutdown();
    return code;
}

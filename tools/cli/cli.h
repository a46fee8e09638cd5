/* What the parts of the program `tape` share: exit codes, messages, options. Knows no command's work. */
#ifndef TAPE_CLI_H
#define TAPE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* How the program was called, for a command to type next. */
extern const char *program_name;

/* One line on stderr: "tape: ...". Return EXIT_USAGE and EXIT_FAILED. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The tape's own error as such a line. */
int tape_failure(void);

/* ---- options ----------------------------------------------------------------------------------------------------- */

typedef enum option_kind { OPTION_TEXT, OPTION_FLAG, OPTION_INTEGER, OPTION_NUMBER } option_kind;

/* A row of a command's options: "--name VALUE" or "--name=VALUE" writes `target`, a const char **, bool *, int64_t * or
 * double *, within low..high. A row with no name ends the table. */
typedef struct option {
    const char *name; /* without the dashes */
    option_kind kind;
    void *target;
    double low, high;
    const char *value_name; /* in the help */
    const char *help;
} option;

/* Parse argv; words that are no options go to `positional` (at most `most`). Returns EXIT_OK, EXIT_USAGE after a
 * message, or -1 after printing the help that --help asks for. */
int parse_options(int argc, char **argv, const option *table, const char *synopsis, const char **positional, int most);

/* ---- output ------------------------------------------------------------------------------------------------------ */

/* Make the directory unless it is there. EXIT_OK, or EXIT_FAILED after a message. */
int make_directory(const char *path);

/* "tape" and the words, for a report; the caller frees it. NULL: memory is short. */
char *join_words(int argc, char **argv);

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* argv[0] is the command's name. Each returns an exit code. */
int command_train(int argc, char **argv);
int command_predict(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_ops(int argc, char **argv);
int command_info(int argc, char **argv);

#endif

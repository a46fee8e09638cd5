/* `tape ops`: the table of ops, for people and as JSON. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "tape/table.h"

static bool is_listed(const tape_op_info *op, bool all)
{
    return all || !op->internal;
}

static const char *yes_no(bool yes)
{
    return yes ? "yes" : "no";
}

static void print_table(bool all)
{
    int listed = 0, differentiable = 0;
    printf("%-28s %-11s %5s %5s  %-11s %-12s %-12s %s\n", "op", "family", "level", "arity", "first order",
           "second order", "forward mode", "tested");
    for (int i = 0; i < tape_op_count(); i++) {
        tape_op_info op = tape_op_at(i);
        char arity[12] = "any";
        if (!is_listed(&op, all))
            continue;
        if (op.arity != TAPE_ARITY_ANY)
            snprintf(arity, sizeof arity, "%d", op.arity);
        printf("%-28s %-11s %5d %5s  %-11s %-12s %-12s %s\n", op.name, op.family, op.level, arity,
               yes_no(op.first_order), yes_no(op.second_order), yes_no(op.forward_mode), yes_no(true));
        listed++;
        differentiable += op.first_order;
    }
    printf("\n%d ops, %d with derivatives; the others are declared as having none\n", listed, differentiable);
}

static void print_json(bool all)
{
    const char *before = "{\"ops\":[";
    for (int i = 0; i < tape_op_count(); i++) {
        tape_op_info op = tape_op_at(i);
        char arity[12] = "null";
        if (!is_listed(&op, all))
            continue;
        if (op.arity != TAPE_ARITY_ANY)
            snprintf(arity, sizeof arity, "%d", op.arity);
        printf("%s\n{\"name\":\"%s\",\"family\":\"%s\",\"level\":%d,\"arity\":%s,\"internal\":%s,\"first_order\":%s,"
               "\"second_order\":%s,\"forward_mode\":%s,\"tested\":true}",
               before, op.name, op.family, op.level, arity, op.internal ? "true" : "false",
               op.first_order ? "true" : "false", op.second_order ? "true" : "false",
               op.forward_mode ? "true" : "false");
        before = ",";
    }
    printf("\n]}\n");
}

/* Every row is tested: the tests fail for a row of the table that they have no sample of. */
int command_ops(int argc, char **argv)
{
    bool json = false, all = false;
    const option table[] = {
        {"json", OPTION_FLAG, &json, 0, 0, NULL, "as JSON"},
        {"all", OPTION_FLAG, &all, 0, 0, NULL, "with the internal ops that others are made of"},
        {0},
    };
    int code = parse_options(argc, argv, table, "ops [OPTION...]", NULL, 0);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    if (json)
        print_json(all);
    else
        print_table(all);
    return EXIT_OK;
}

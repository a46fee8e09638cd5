/* The naive references of the elementwise ops: plain scalar formulas in long double, which share no code with tape. */
#ifndef TAPE_TESTS_REFS_H
#define TAPE_TESTS_REFS_H

struct ref {
    long double (*value)(long double x, long double y, long double z, const double *p);
    double p[3]; /* the parameters with which the tests call the op */
};

/* REF(tanh, tanhl(x)) defines ref_tanh; an op with parameters p[0], p[1], p[2] says which ones the tests pass. */
#define REF(name, formula) REF_P(name, formula, 0)
#define REF_P(name, formula, ...)                                                                                      \
    static long double value_##name(long double x, long double y, long double z, const double *p)                      \
    {                                                                                                                  \
        (void)x, (void)y, (void)z, (void)p;                                                                            \
        return formula;                                                                                                \
    }                                                                                                                  \
    const struct ref ref_##name = {value_##name, {__VA_ARGS__}};

#endif

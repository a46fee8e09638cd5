/* The update formulas of the optimisers for one element type: included once with REAL = float and once with double,
   SQRT its square root, and ANY_WIDTHS where vectors pay. Each parameter is stepped in one pass. The order of
   operations is PyTorch 1.13's.

   The common forms are vectorised. What asks for more state than they do runs the same formulas an element at a time:
   each optional array would double the vectors' code. */

#define RARE static __attribute__((cold, noinline))
#define STEP static inline __attribute__((always_inline))

/* A common form, name_form, as a function. Where processors with wider vectors are about, there is one for them and one
   that is small; the bits are the same, for neither fuses. */
#if ANY_WIDTHS && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__) &&             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define FORM(name)                                                                                                     \
    static __attribute__((target("avx2"))) void name##_wide(const struct tape__optim_job *job)                         \
    {                                                                                                                  \
        name##_form(job);                                                                                              \
    }                                                                                                                  \
    RARE void name##_narrow(const struct tape__optim_job *job)                                                         \
    {                                                                                                                  \
        name##_form(job);                                                                                              \
    }                                                                                                                  \
    STEP void name(const struct tape__optim_job *job)                                                                  \
    {                                                                                                                  \
        (__builtin_cpu_supports("avx2") ? name##_wide : name##_narrow)(job);                                           \
    }
#else
#define FORM(name)                                                                                                     \
    static void name(const struct tape__optim_job *job)                                                                \
    {                                                                                                                  \
        name##_form(job);                                                                                              \
    }
#endif

static inline REAL with_decay(REAL g, REAL p, REAL decay)
{
    return decay != 0 ? g + decay * p : g;
}

/* The plainest step does so little with an element that the loop around it counts: some vectors at a time. */
typedef REAL STEP_VECTOR __attribute__((vector_size(32)));

STEP void sgd_vector(const REAL *restrict g, REAL *restrict p, REAL lr)
{
    STEP_VECTOR from, to;
    memcpy(&from, g, sizeof from);
    memcpy(&to, p, sizeof to);
    to -= lr * from;
    memcpy(p, &to, sizeof to);
}

/* How many elements are done. */
STEP int64_t sgd_vectors(int64_t n, const REAL *restrict g, REAL *restrict p, REAL lr)
{
    enum { LANES = sizeof(STEP_VECTOR) / sizeof(REAL) };
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        sgd_vector(g + i, p + i, lr);
        sgd_vector(g + i + LANES, p + i + LANES, lr);
        sgd_vector(g + i + 2 * LANES, p + i + 2 * LANES, lr);
        sgd_vector(g + i + 3 * LANES, p + i + 3 * LANES, lr);
    }
    return i;
}

STEP void sgd_form(const struct tape__optim_job *job)
{
    const REAL *restrict g = job->g;
    REAL *restrict p = job->p;
    REAL lr = (REAL)job->numbers.lr, decay = (REAL)job->numbers.weight_decay;
    for (int64_t i = decay == 0 ? sgd_vectors(job->n, g, p, lr) : job->n; i < job->n; i++)
        p[i] -= lr * g[i];
    for (int64_t i = 0; decay != 0 && i < job->n; i++)
        p[i] -= lr * with_decay(g[i], p[i], decay);
}
FORM(sgd)

STEP void momentum_steps(const struct tape__optim_job *job, bool nesterov)
{
    const struct tape__optim_numbers *n = &job->numbers;
    const REAL *restrict g = job->g;
    REAL *restrict p = job->p, *restrict b = job->state[0];
    bool first = job->step == 1; /* the buffer starts as the gradient, without dampening */
    REAL lr = (REAL)n->lr, decay = (REAL)n->weight_decay, momentum = (REAL)n->momentum;
    REAL keep = first ? 0 : momentum, take = first ? 1 : (REAL)(1 - n->dampening);
    for (int64_t i = 0; i < job->n; i++) {
        REAL d = with_decay(g[i], p[i], decay);
        REAL held = b[i] = keep * b[i] + take * d;
        p[i] -= lr * (nesterov ? d + momentum * held : held);
    }
}

STEP void sgd_momentum_form(const struct tape__optim_job *job)
{
    if (job->numbers.nesterov)
        momentum_steps(job, true);
    else
        momentum_steps(job, false);
}
FORM(sgd_momentum)

/* decoupled: AdamW's decay of the parameter, in place of the gradient's. */
STEP void adam_steps(const struct tape__optim_job *job, bool decoupled, REAL *restrict top)
{
    const struct tape__optim_numbers *n = &job->numbers;
    const REAL *restrict g = job->g;
    REAL *restrict p = job->p, *restrict m = job->state[0], *restrict v = job->state[1];
    double correction1 = 1 - pow(n->beta1, (double)job->step), correction2 = 1 - pow(n->beta2, (double)job->step);
    REAL beta1 = (REAL)n->beta1, beta2 = (REAL)n->beta2, rest1 = (REAL)(1 - n->beta1), rest2 = (REAL)(1 - n->beta2);
    REAL size = (REAL)(n->lr / correction1), root = (REAL)sqrt(correction2), eps = (REAL)n->eps;
    REAL decay = decoupled ? 0 : (REAL)n->weight_decay, shrink = decoupled ? (REAL)(1 - n->lr * n->weight_decay) : 1;
    for (int64_t i = 0; i < job->n; i++) {
        REAL x = p[i] * shrink, d = with_decay(g[i], x, decay);
        m[i] = beta1 * m[i] + rest1 * d;
        v[i] = beta2 * v[i] + rest2 * d * d;
        REAL second = v[i];
        if (top) {
            top[i] = top[i] > second ? top[i] : second;
            second = top[i];
        }
        p[i] = x - size * m[i] / (SQRT(second) / root + eps);
    }
}

STEP void adam_form(const struct tape__optim_job *job)
{
    adam_steps(job, job->kind == TAPE__ADAMW, NULL);
}
FORM(adam)

RARE void amsgrad(const struct tape__optim_job *job)
{
    adam_steps(job, job->kind == TAPE__ADAMW, job->state[2]);
}

STEP void rmsprop_steps(const struct tape__optim_job *job, REAL *restrict b, REAL *restrict a)
{
    const struct tape__optim_numbers *n = &job->numbers;
    const REAL *restrict g = job->g;
    REAL *restrict p = job->p, *restrict v = job->state[0];
    REAL lr = (REAL)n->lr, decay = (REAL)n->weight_decay, eps = (REAL)n->eps, momentum = (REAL)n->momentum;
    REAL alpha = (REAL)n->alpha, rest = (REAL)(1 - n->alpha);
    for (int64_t i = 0; i < job->n; i++) {
        REAL d = with_decay(g[i], p[i], decay), square;
        v[i] = alpha * v[i] + rest * d * d;
        square = v[i];
        if (a) {
            a[i] = alpha * a[i] + rest * d;
            square -= a[i] * a[i];
        }
        d /= SQRT(square) + eps;
        if (b)
            d = b[i] = momentum * b[i] + d;
        p[i] -= lr * d;
    }
}

STEP void rmsprop_form(const struct tape__optim_job *job)
{
    rmsprop_steps(job, NULL, NULL);
}
FORM(rmsprop)

RARE void rmsprop_with_more(const struct tape__optim_job *job)
{
    rmsprop_steps(job, job->state[1], job->state[2]);
}

STEP void adagrad_form(const struct tape__optim_job *job)
{
    const struct tape__optim_numbers *n = &job->numbers;
    const REAL *restrict g = job->g;
    REAL *restrict p = job->p, *restrict s = job->state[0];
    REAL lr = (REAL)(n->lr / (1 + (double)(job->step - 1) * n->lr_decay));
    REAL decay = (REAL)n->weight_decay, eps = (REAL)n->eps;
    for (int64_t i = 0; i < job->n; i++) {
        REAL d = with_decay(g[i], p[i], decay);
        s[i] += d * d;
        p[i] -= lr * d / (SQRT(s[i]) + eps);
    }
}
FORM(adagrad)

void UPDATE(const struct tape__optim_job *job)
{
    switch (job->kind) {
    case TAPE__SGD:
        if (job->state[0])
            sgd_momentum(job);
        else
            sgd(job);
        break;
    case TAPE__ADAM:
    case TAPE__ADAMW:
        if (job->state[2])
            amsgrad(job);
        else
            adam(job);
        break;
    case TAPE__RMSPROP:
        if (job->state[1] || job->state[2])
            rmsprop_with_more(job);
        else
            rmsprop(job);
        break;
    case TAPE__ADAGRAD:
        adagrad(job);
        break;
    case TAPE__OPTIM_KINDS:
        break;
    }
}

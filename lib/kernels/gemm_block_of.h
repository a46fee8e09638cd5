/* Knows the way that a block of one dtype, T, takes: by tiles, or by what is better where B is read once or lies along
   k. Expanded by gemm.c, after gemm_type.h. */

/* From column `done` on. A function of its own, lest the others pay for what it keeps. */
static TAPE__NOINLINE void FOR(usual_block)(const tape__gemm_block *g, int64_t done)
{
    struct tile t = {.g = g, .a_k = g->a_k, .b_k = g->b_k};
    t.a_steps = g->a_steps ? (const char *)g->a_steps : (const char *)&t.a_k;
    t.b_steps = g->b_steps ? (const char *)g->b_steps : (const char *)&t.b_k;
    t.a_next = g->a_steps ? (int64_t)sizeof *g->a_steps : 0;
    t.b_next = g->b_steps ? (int64_t)sizeof *g->b_steps : 0;
    if (!g->b_packed) {
        FOR(columns)(g, &t, g->b + done * FOR(size), done, g->n - done);
        return;
    }
    for (int64_t j = 0, columns; j < g->n; j += columns) {
        columns = tape__gemm_columns(g->n - j, g->width, FOR(LANES));
        t.b_k = columns * FOR(size);
        FOR(columns)(g, &t, g->b + j * g->k * FOR(size), j, columns);
    }
}

#if TAPE__COMPACT
/* B's columns lie along k: they are brought in order a tile at a time. */
static void FOR(turned)(const tape__gemm_block *g)
{
    enum { MOST = TILE_VECS * FOR(LANES) };
    char b[TAPE__GEMM_K_MAX * MOST * FOR(size)];
    tape__gemm_block part = *g;
    part.b = b;
    part.b_col = FOR(size);
    for (int64_t j = 0; j < g->n; j += MOST) {
        part.n = g->n - j < MOST ? g->n - j : MOST;
        part.b_k = part.n * FOR(size);
        part.c = g->c + j * FOR(size);
        part.add = g->add ? g->add + j * FOR(size) : NULL;
        TAPE__ISA_SYM(FOR(tape__gemm_pack))(b, part.n, g->k, g->b + j * g->b_col, g->b_col, g->b_k);
        FOR(usual_block)(&part, 0);
    }
}
#endif

static void FOR(block)(const tape__gemm_block *g)
{
    if (!g->b_packed && g->b_col != FOR(size)) {
        DOTS(g);
        return;
    }
    const bool plain = lies_plainly(g), few = g->m <= TAPE__GEMM_THIN_ROWS || g->k == 1;
    if (FOURS_BYTES > 0 && plain && !few && g->m % 4 == 0 && g->n % (2 * FOR(LANES)) == 0 &&
        g->n * FOR(size) <= FOURS_BYTES) {
        FOR(fours)(g);
        return;
    }
    const int64_t done = plain && few ? THIN(g) : 0;
    if (done < g->n)
        FOR(usual_block)(g, done);
}

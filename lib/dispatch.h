/* Knows which kernels this processor runs best; it does not know what they compute. */
#ifndef TAPE__DISPATCH_H
#define TAPE__DISPATCH_H

#include "kernels/kernels.h"

/* The kernels in use, chosen on the first call: by the environment variable TAPE_ISA (sse2, avx2, avx512, neon,
   generic) where this build has them and the processor can run them, else by the processor. AVX-512 is by hand only: on
   most processors it lowers the clock for more than it brings. Any thread. */
const struct tape__kernels *tape__kernels(void);

/* Why TAPE_ISA was not followed, or NULL. */
const char *tape__dispatch_note(void);

/* The i-th kernels that are built in and run here, best first; NULL past the end. */
const struct tape__kernels *tape__kernels_available(int i);

#endif

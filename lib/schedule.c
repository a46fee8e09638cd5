/* Learning rates as pure functions of the step. */
#include <math.h>

#include "tape/optim.h"

double tape_schedule_at(const tape_schedule *schedule, int64_t step)
{
    step = step < 0 ? 0 : step;
    if (step < schedule->warmup)
        return schedule->lr * ((double)step + 1) / (double)schedule->warmup;
    step -= schedule->warmup > 0 ? schedule->warmup : 0;
    switch (schedule->kind) {
    case TAPE_SCHEDULE_CONSTANT:
        break;
    case TAPE_SCHEDULE_STEP:
        if (schedule->every > 0)
            return schedule->lr * pow(schedule->gamma == 0 ? 0.1 : schedule->gamma, (double)(step / schedule->every));
        break;
    case TAPE_SCHEDULE_COSINE:
        if (step >= schedule->total)
            return schedule->lr_min;
        return schedule->lr_min + (schedule->lr - schedule->lr_min) *
                                      (1 + cos(3.14159265358979323846 * (double)step / (double)schedule->total)) / 2;
    }
    return schedule->lr;
}

/* Progress of a long job on stderr's terminal or as plain lines on stdout. */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PLAIN_LINES = 10, BAR = 24 };

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(progress *p, int64_t epochs, int64_t steps)
{
    *p = (progress){.terminal = isatty(STDOUT_FILENO), .start = seconds_now(), .epochs = epochs, .steps = steps};
}

static int columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* At most ten times a second. */
static bool is_due(progress *p)
{
    double now = seconds_now();
    if (!p->terminal || now - p->last_drawn < 0.1)
        return false;
    p->last_drawn = now;
    return true;
}

/* The bar takes what the words leave of the line. */
static void draw(const char *head, double share, const char *tail)
{
    char bar[BAR + 1];
    int room = columns() - (int)(strlen(head) + strlen(tail)) - 12;
    int width = room < 0 ? 0 : room > BAR ? BAR : room, filled = (int)(share * width);
    for (int i = 0; i < width; i++)
        bar[i] = i < filled ? '=' : i == filled ? '>' : ' ';
    bar[width] = '\0';
    printf("\r\033[K%s [%s] %3.0f %%  %s", head, bar, 100 * share, tail);
    fflush(stdout);
}

void progress_share(progress *p, double share, const char *what)
{
    if (is_due(p))
        draw("", share, what);
}

void progress_step(progress *p, int64_t epoch, int64_t step, int64_t samples, double loss, double accuracy)
{
    p->samples += samples;
    if (!is_due(p))
        return;
    double spent = p->last_drawn - p->start;
    double done = ((double)epoch + (double)step / (double)p->steps) / (double)p->epochs;
    double left = done > 0 ? spent / done * (1 - done) : 0;
    char head[60], tail[120];
    snprintf(head, sizeof head, "epoch %" PRId64 "/%" PRId64, epoch + 1, p->epochs);
    snprintf(tail, sizeof tail, "%.0f images/s  %d:%02d left  loss %.4f  accuracy %.1f %%",
             (double)p->samples / (spent > 0 ? spent : 1), (int)(left / 60), (int)left % 60, loss, 100 * accuracy);
    draw(head, done, tail);
}

void progress_epoch(progress *p, int64_t epoch, double loss, double accuracy)
{
    int64_t every = (p->epochs + PLAIN_LINES - 1) / PLAIN_LINES;
    if ((epoch + 1) % every != 0 && epoch + 1 != p->epochs && epoch != 0)
        return;
    double spent = seconds_now() - p->start;
    if (p->terminal)
        printf("\r\033[K");
    printf("epoch %3" PRId64 "/%" PRId64 "  loss %.4f  accuracy %6.2f %%  %.0f images/s\n", epoch + 1, p->epochs, loss,
           100 * accuracy, (double)p->samples / (spent > 0 ? spent : 1));
    fflush(stdout);
}

void progress_end(progress *p)
{
    if (p->terminal)
        printf("\r\033[K");
    fflush(stdout);
}

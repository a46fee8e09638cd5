// ADOL-C beside w9_springs: the same simulation in double, its tape written and then run backwards.
#include <adolc/adolc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <regex>
#include <string>
#include <vector>

namespace
{

const int N = 100, STEPS = 1000, REPETITIONS = 7, WARM_UP = 1, INPUTS = 2 * N + 1;
const double DT = 0.01;
const short TAG = 1;
const unsigned BUFFER = 1U << 25; // entries: all of the tape stays in memory

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Records; ready for the way back.
double simulate(double stiffness)
{
    double result;
    trace_on(TAG, 1, BUFFER, BUFFER, BUFFER, BUFFER);
    std::vector<adouble> x(2 * N), v(2 * N);
    adouble k, loss = 0;
    for (int i = 0; i < 2 * N; i++) {
        x[i] = i < N ? 1.1 * i : 0.3 * std::sin(0.3 * (i - N));
        v[i] <<= 0.0;
    }
    k <<= stiffness;
    for (int s = 0; s < STEPS; s++) {
        for (int i = 0; i < N - 1; i++) {
            adouble dx = x[i + 1] - x[i], dy = x[N + i + 1] - x[N + i];
            adouble pull = k * (1 - 1 / sqrt(dx * dx + dy * dy)) * DT;
            adouble px = pull * dx, py = pull * dy;
            v[i] += px, v[i + 1] -= px;
            v[N + i] += py, v[N + i + 1] -= py;
        }
        for (int i = 0; i < 2 * N; i++)
            x[i] += v[i] * DT;
    }
    for (int i = 0; i < 2 * N; i++)
        loss += x[i] * x[i];
    loss >>= result;
    trace_off();
    return result;
}

} // namespace

// Arguments: --filter REGEX, any others with a value each.
int main(int argc, char **argv)
{
    std::regex filter;
    for (int i = 1; i + 1 < argc; i += 2)
        if (std::string(argv[i]) == "--filter")
            filter = std::regex(argv[i + 1], std::regex::extended);
    double forward = 1e9, backward = 1e9, total = 1e9, loss = 0, one = 1, gradient[INPUTS];
    const char *const names[] = {"w9_springs.forward.min", "w9_springs.backward.min", "w9_springs.total.min"};
    const double *const figures[] = {&forward, &backward, &total};
    if (std::none_of(names, names + 3, [&](const char *name) { return std::regex_search(name, filter); }))
        return 0;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = now();
        loss = simulate(20);
        double middle = now();
        fos_reverse(TAG, 1, INPUTS, &one, gradient);
        double end = now();
        if (r < 0)
            continue;
        forward = std::min(forward, middle - start);
        backward = std::min(backward, end - middle);
        total = std::min(total, end - start);
    }
    std::printf("w9_springs.check %.6g sum\n", loss);
    for (int i = 0; i < 3; i++)
        if (std::regex_search(names[i], filter))
            std::printf("%s %.6g ms\n", names[i], *figures[i] * 1e3);
}

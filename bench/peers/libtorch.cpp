// libtorch beside tape's workloads: the same loops on the same sizes, printed under the same names.
#include <torch/torch.h>

#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <regex>
#include <set>
#include <string>

namespace
{

std::regex filter;

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool wants(const std::string &name)
{
    return std::regex_search(name, filter);
}

void report(const std::string &name, double value, const char *unit)
{
    if (wants(name))
        std::printf("%s %.6g %s\n", name.c_str(), value, unit);
}

struct best {
    double forward = 1e9, backward = 1e9, total = 1e9;
    void add(double start, double middle, double end, double done)
    {
        forward = std::min(forward, middle - start);
        backward = std::min(backward, end - middle);
        total = std::min(total, done - start);
    }
    void print(const std::string &workload, double scale, const char *unit) const
    {
        report(workload + ".forward.min", forward * scale, unit);
        report(workload + ".backward.min", backward * scale, unit);
        report(workload + ".total.min", total * scale, unit);
    }
};

torch::Tensor leaf(torch::Tensor x)
{
    return x.set_requires_grad(true);
}

// Forward to a loss, backward, gradients cleared; the least of each.
best time_loss(int repetitions, const std::function<torch::Tensor()> &loss_of, std::vector<torch::Tensor> leaves)
{
    best times;
    for (int r = -2; r < repetitions; r++) {
        double start = now();
        torch::Tensor loss = loss_of();
        double middle = now();
        loss.backward();
        double end = now();
        for (auto &x : leaves)
            x.mutable_grad().reset();
        loss.reset();
        if (r >= 0)
            times.add(start, middle, end, now());
    }
    return times;
}

void scalar()
{
    auto x = leaf(torch::ones({1})), a = leaf(torch::full({1}, 0.999)), b = leaf(torch::full({1}, 0.001));
    auto chain = [&] {
        torch::Tensor y = x;
        for (int i = 0; i < 1000; i++) {
            y = y * a;
            y = y + b;
        }
        return y;
    };
    time_loss(11, chain, {x, a, b}).print("w1_scalar", 1e9 / 2000, "ns");
}

void vec64()
{
    auto x = leaf(torch::rand({64})), a = leaf(torch::rand({64}) * 0.2 + 0.9), b = leaf(torch::rand({64}) * 0.001);
    auto chain = [&] {
        torch::Tensor y = x;
        for (int i = 0; i < 500; i++)
            y = torch::tanh(y * a + b);
        return y.sum();
    };
    time_loss(11, chain, {x, a, b}).print("w2_vec64", 1e9 / 1500, "ns");
}

void elementwise(int64_t n)
{
    using op = std::function<torch::Tensor(const torch::Tensor &, const torch::Tensor &)>;
    using T = torch::Tensor;
    const std::vector<std::tuple<std::string, op, double, double>> ops = {
        {"mul", [](const T &a, const T &b) { return a * b; }, -1, 1},
        {"add", [](const T &a, const T &b) { return a + b; }, -1, 1},
        {"exp", [](const T &a, const T &) { return torch::exp(a); }, -2, 2},
        {"log", [](const T &a, const T &) { return torch::log(a); }, 0.1, 4},
        {"tanh", [](const T &a, const T &) { return torch::tanh(a); }, -2, 2},
        {"sigmoid", [](const T &a, const T &) { return torch::sigmoid(a); }, -4, 4},
        {"gelu", [](const T &a, const T &) { return torch::gelu(a); }, -2, 2},
        {"gelu_tanh", [](const T &a, const T &) { return torch::gelu(a, "tanh"); }, -2, 2},
        {"relu", [](const T &a, const T &) { return torch::relu(a); }, -1, 1},
        {"sin", [](const T &a, const T &) { return torch::sin(a); }, -4, 4},
        {"pow", [](const T &a, const T &) { return torch::pow(a, 2.5); }, 0.1, 2},
        {"sum", [](const T &a, const T &) { return a.sum(); }, -1, 1},
        {"softmax", [](const T &a, const T &) { return torch::softmax(a, 1); }, -2, 2},
        {"layer_norm", [](const T &a, const T &) { return torch::layer_norm(a, {1024}); }, -2, 2},
    };
    for (const auto &[name, run, low, high] : ops) {
        std::string metric = "w3_elementwise." + name + ".n" + std::to_string(n);
        bool rows = name == "softmax" || name == "layer_norm";
        if (!(wants(metric + ".forward.min") || wants(metric + ".backward.min")) || (rows && n != 1 << 22))
            continue;
        std::vector<int64_t> shape = rows ? std::vector<int64_t>{4096, 1024} : std::vector<int64_t>{n};
        auto a = leaf(torch::rand(shape) * (high - low) + low), b = leaf(torch::rand(shape));
        auto seed = name == "sum" ? torch::tensor(1.0F) : torch::ones(shape);
        best times;
        for (int r = -2; r < (n < 1 << 20 ? 200 : 9); r++) {
            double start = now();
            torch::Tensor y = run(a, b);
            double middle = now();
            y.backward(seed);
            double end = now();
            a.mutable_grad().reset(), b.mutable_grad().reset();
            if (r >= 0)
                times.add(start, middle, end, end);
        }
        report(metric + ".forward.min", times.forward * 1e9 / double(n), "ns");
        report(metric + ".backward.min", times.backward * 1e9 / double(n), "ns");
    }
}

void matmul(int64_t n)
{
    std::string metric = "w4_matmul.n" + std::to_string(n);
    if (!(wants(metric + ".forward.gflops") || wants(metric + ".total.gflops")))
        return;
    auto a = leaf(torch::rand({n, n})), b = leaf(torch::rand({n, n})), ones = torch::ones({n, n});
    int calls = n <= 32 ? 1000 : n <= 128 ? 50 : 1;
    double forward = 1e9, total = 1e9;
    for (int r = -2; r < 9; r++) {
        double start = now();
        for (int i = 0; i < calls; i++)
            torch::matmul(a, b);
        double middle = now();
        for (int i = 0; i < calls; i++) {
            torch::matmul(a, b).backward(ones);
            a.mutable_grad().reset(), b.mutable_grad().reset();
        }
        forward = std::min(forward, middle - start);
        total = std::min(total, now() - middle);
    }
    double flops = 2e-9 * double(n) * double(n) * double(n) * calls;
    report(metric + ".forward.gflops", flops / forward, "GFLOP/s");
    report(metric + ".total.gflops", 3 * flops / total, "GFLOP/s");
}

void mlp(const std::string &name, int64_t batch, const std::vector<int64_t> &width, int steps)
{
    if (!wants("w5_mlp." + name + ".step.min"))
        return;
    torch::nn::Sequential net;
    for (size_t i = 0; i + 1 < width.size(); i++) {
        net->push_back(torch::nn::Linear(width[i], width[i + 1]));
        if (i + 2 < width.size())
            net->push_back(torch::nn::ReLU());
    }
    torch::optim::SGD optim(net->parameters(), 0.01);
    auto x = torch::rand({batch, width.front()}), target = torch::arange(batch) % width.back();
    double least = 1e9;
    for (int r = -2; r < 9; r++) {
        double start = now();
        for (int i = 0; i < steps; i++) {
            torch::nn::functional::cross_entropy(net->forward(x), target).backward();
            optim.step();
            optim.zero_grad();
        }
        if (r >= 0)
            least = std::min(least, (now() - start) / steps);
    }
    report("w5_mlp." + name + ".step.min", least * 1e6, "us");
}

// ---- w6, w7: the numbers are those of bench/measure.c, so that both sides compute the same
// ----------------------------

std::uint64_t state;

torch::Tensor numbers(std::vector<int64_t> shape, double low, double high)
{
    auto x = torch::empty(shape);
    float *data = x.data_ptr<float>();
    for (int64_t i = 0; i < x.numel(); i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        data[i] = float(low + (high - low) * double(state >> 40) / double(1 << 24));
    }
    return x;
}

torch::Tensor numbers(std::vector<int64_t> shape, double limit)
{
    return numbers(std::move(shape), -limit, limit);
}

// Least seconds of a step; `last` gets the loss of the third.
double time_steps(int repetitions, const std::function<torch::Tensor()> &loss_of, torch::optim::Optimizer &optim,
                  double *last)
{
    auto step = [&] {
        torch::Tensor loss = loss_of();
        loss.backward();
        optim.step();
        optim.zero_grad();
        return loss;
    };
    for (int i = 0; i < 3; i++)
        *last = step().item<double>();
    double least = 1e9;
    for (int r = -2; r < repetitions; r++) {
        double start = now();
        step();
        if (r >= 0)
            least = std::min(least, now() - start);
    }
    return least;
}

void conv_net()
{
    if (!wants("w6_conv.a.step.min"))
        return;
    state = 6;
    std::vector<torch::Tensor> p = {numbers({16, 1, 5, 5}, 0.2),   numbers({16}, 0.2),
                                    numbers({32, 16, 5, 5}, 0.05), numbers({32}, 0.05),
                                    numbers({10, 512}, 0.05),      numbers({10}, 0.05)};
    auto x = numbers({64, 1, 28, 28}, 1), target = torch::arange(64) % 10;
    for (auto &leaf : p)
        leaf.set_requires_grad(true);
    torch::optim::SGD optim(p, 0.1);
    double loss = 0;
    auto loss_of = [&] {
        auto h = torch::max_pool2d(torch::relu(torch::conv2d(x, p[0], p[1])), 2);
        h = torch::max_pool2d(torch::relu(torch::conv2d(h, p[2], p[3])), 2);
        return torch::cross_entropy_loss(torch::linear(h.flatten(1), p[4], p[5]), target);
    };
    double least = time_steps(15, loss_of, optim, &loss);
    report("w6_conv.a.check", loss, "nats");
    report("w6_conv.a.step.min", least * 1e3, "ms");
}

void convolution()
{
    if (!wants("w6_conv.b.forward.min") && !wants("w6_conv.b.backward.min") && !wants("w6_conv.b.total.min"))
        return;
    state = 7;
    auto x = leaf(numbers({32, 64, 32, 32}, 1)), w = leaf(numbers({64, 64, 3, 3}, 1)), g = numbers({32, 64, 32, 32}, 1);
    best times;
    for (int r = -2; r < 15; r++) {
        double start = now();
        auto y = torch::conv2d(x, w, {}, 1, 1);
        double middle = now();
        y.backward(g);
        double end = now();
        if (r == -2) {
            double sum = 0;
            for (const auto &t : {y.detach(), x.grad(), w.grad()})
                sum += t.flatten().narrow(0, 0, 1000).to(torch::kFloat64).abs().sum().item<double>();
            report("w6_conv.b.check", sum, "sum");
        }
        x.mutable_grad().reset(), w.mutable_grad().reset();
        y.reset();
        if (r >= 0)
            times.add(start, middle, end, now());
    }
    times.print("w6_conv.b", 1e3, "ms");
}

struct gpt {
    int64_t batch, time, channels, layers, heads, vocabulary;
    std::vector<torch::Tensor> p;
    torch::Tensor x, target, future;

    void add(std::vector<int64_t> shape, double low, double high)
    {
        p.push_back(leaf(numbers(std::move(shape), low, high)));
    }
    void add_linear(int64_t in, int64_t out)
    {
        add({out, in}, -0.05, 0.05);
        add({out}, -0.05, 0.05);
    }
    void add_norm()
    {
        add({channels}, 0.9, 1.1);
        add({channels}, -0.1, 0.1);
    }
    void make()
    {
        int64_t c = channels, n = batch * time;
        state = 7;
        add({vocabulary, c}, -0.05, 0.05);
        add({time, c}, -0.05, 0.05);
        for (int64_t i = 0; i < layers; i++) {
            add_norm();
            add_linear(c, 3 * c);
            add_linear(c, c);
            add_norm();
            add_linear(c, 4 * c);
            add_linear(4 * c, c);
        }
        add_norm();
        auto i = torch::arange(n + 1);
        auto token = (i * i + 7 * i) % 1009 % vocabulary;
        x = token.narrow(0, 0, n).view({batch, time}), target = token.narrow(0, 1, n);
        future = torch::ones({time, time}, torch::kBool).triu(1);
    }
    torch::Tensor attend(const torch::Tensor &h, const torch::Tensor *w) const
    {
        auto heads_of = [&](const torch::Tensor &t) {
            return t.view({batch, time, heads, channels / heads}).transpose(1, 2);
        };
        auto qkv = torch::linear(h, w[0], w[1]).split(channels, 2);
        auto q = heads_of(qkv[0]), k = heads_of(qkv[1]), v = heads_of(qkv[2]);
        auto s = q.matmul(k.transpose(-2, -1)) * (1 / std::sqrt(double(channels / heads)));
        auto y = torch::softmax(s.masked_fill(future, -INFINITY), -1).matmul(v);
        return torch::linear(y.transpose(1, 2).contiguous().view({batch, time, channels}), w[2], w[3]);
    }
    torch::Tensor loss() const
    {
        auto norm = [&](const torch::Tensor &h, const torch::Tensor *w) {
            return torch::layer_norm(h, {channels}, w[0], w[1], 1e-5);
        };
        auto h = torch::embedding(p[0], x) + p[1];
        const torch::Tensor *w = &p[2];
        for (int64_t i = 0; i < layers; i++, w += 12) {
            h = h + attend(norm(h, w), w + 2);
            auto inner = torch::gelu(torch::linear(norm(h, w + 6), w[8], w[9]), "tanh");
            h = h + torch::linear(inner, w[10], w[11]);
        }
        auto logits = torch::linear(norm(h, w), p[0]);
        return torch::cross_entropy_loss(logits.view({batch * time, vocabulary}), target);
    }
};

// A line of /proc/self/status, in bytes.
double status_bytes(const std::string &name)
{
    std::ifstream file("/proc/self/status");
    std::string word;
    while (file >> word)
        if (word == name) {
            double kib;
            file >> kib;
            return kib * 1024;
        }
    return 0;
}

void transformer(const std::string &name, gpt m, int repetitions)
{
    if (!wants("w7_gpt." + name + ".step.min") && !wants("w7_gpt." + name + ".peak.bytes"))
        return;
    malloc_trim(0);
    double idle = status_bytes("VmRSS:"), loss = 0;
    std::ofstream("/proc/self/clear_refs") << "5";
    m.make();
    torch::optim::AdamW optim(m.p, torch::optim::AdamWOptions(0.001));
    double least = time_steps(
        repetitions, [&] { return m.loss(); }, optim, &loss);
    report("w7_gpt." + name + ".check", loss, "nats");
    report("w7_gpt." + name + ".step.min", least * 1e3, "ms");
    report("w7_gpt." + name + ".peak.bytes", status_bytes("VmHWM:") - idle, "bytes");
}

// ---- w8 -------------------------------------------------------------------------------------------------------------

// Training steps of an LSTM layer: the cell out of elementary operations, or the library's own layer.
void lstm(const std::string &name, bool own)
{
    const int64_t batch = 32, time = 64, in = 64, hidden = 128;
    if (!wants("w8_lstm." + name + ".step.min"))
        return;
    torch::nn::LSTM layer(in, hidden);
    auto input = layer->parameters()[0], recurrent = layer->parameters()[1], bias = layer->parameters()[2];
    torch::optim::SGD optim(layer->parameters(), 0.1);
    auto x = torch::rand({time, batch, in}) * 2 - 1, zero = torch::zeros({batch, hidden});
    auto last_of = [&] {
        torch::Tensor h = zero, c = zero;
        for (int64_t t = 0; t < time; t++) {
            auto gate = (torch::linear(x[t], input, bias) + torch::linear(h, recurrent)).chunk(4, 1);
            c = torch::sigmoid(gate[1]) * c + torch::sigmoid(gate[0]) * torch::tanh(gate[2]);
            h = torch::sigmoid(gate[3]) * torch::tanh(c);
        }
        return h;
    };
    auto loss_of = [&] { return ((own ? std::get<0>(layer->forward(x))[time - 1] : last_of()) - 0.5).square().mean(); };
    double loss = 0, least = time_steps(9, loss_of, optim, &loss);
    report("w8_lstm." + name + ".step.min", least * 1e3, "ms");
}

void springs()
{
    const int64_t n = 100;
    auto index = torch::arange(n, torch::kFloat32);
    auto x0 = torch::stack({index * 1.1, torch::sin(index * 0.3) * 0.3});
    auto v0 = leaf(torch::zeros({2, n})), k = leaf(torch::tensor(20.0F));
    auto simulate = [&] {
        torch::Tensor x = x0, v = v0;
        for (int s = 0; s < 1000; s++) {
            auto d = x.narrow(1, 1, n - 1) - x.narrow(1, 0, n - 1);
            auto force = d * (k * (1 - torch::reciprocal(torch::norm(d, 2, {0}))));
            auto total = torch::constant_pad_nd(force, {0, 1}) - torch::constant_pad_nd(force, {1, 0});
            v = v + total * 0.01;
            x = x + v * 0.01;
        }
        return x.square().sum();
    };
    report("w9_springs.check", simulate().item<double>(), "sum");
    time_loss(7, simulate, {v0, k}).print("w9_springs", 1e3, "ms");
}

// ---- w11: this program started again to make one gradient
// -------------------------------------------------------------

int one_gradient()
{
    auto x = leaf(torch::full({}, 3.0F));
    (x * x).backward();
    return x.grad().item<float>() == 6 ? EXIT_SUCCESS : EXIT_FAILURE;
}

// Bytes of libtorch's own shared libraries in this process.
double library_bytes()
{
    std::ifstream maps("/proc/self/maps");
    std::set<std::string> seen;
    double bytes = 0;
    for (std::string line; std::getline(maps, line);) {
        size_t at = line.find('/');
        bool own = line.find("/libtorch") != std::string::npos || line.find("/libc10") != std::string::npos;
        if (own && seen.insert(line.substr(at)).second) {
            struct stat file;
            bytes += stat(line.c_str() + at, &file) == 0 ? double(file.st_size) : 0;
        }
    }
    return bytes;
}

void footprint(const char *self)
{
    if (!wants("w11_footprint.start.min") && !wants("w11_footprint.resident") && !wants("w11_footprint.shared"))
        return;
    double least = 1e9, resident = 0;
    for (int r = -1; r < 7; r++) {
        double start = now();
        pid_t child = fork();
        if (child == 0) {
            execl(self, self, "--one", "1", static_cast<char *>(nullptr));
            _exit(EXIT_FAILURE);
        }
        int status = 0;
        struct rusage used = {};
        if (child < 0 || wait4(child, &status, 0, &used) != child || status != 0)
            return;
        least = r >= 0 ? std::min(least, now() - start) : least;
        resident = 1024.0 * double(used.ru_maxrss);
    }
    report("w11_footprint.start.min", least * 1e3, "ms");
    report("w11_footprint.resident", resident, "bytes");
    report("w11_footprint.shared", library_bytes(), "bytes");
}

} // namespace

// Arguments: --filter REGEX --threads N, any others with a value each.
int main(int argc, char **argv)
{
    torch::set_num_threads(1);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::string(argv[i]) == "--filter")
            filter = std::regex(argv[i + 1], std::regex::extended);
        if (std::string(argv[i]) == "--one")
            return one_gradient();
        if (std::string(argv[i]) == "--threads")
            torch::set_num_threads(std::atoi(argv[i + 1]));
    }
    torch::manual_seed(1);
    if (wants("w1_scalar.forward.min") || wants("w1_scalar.total.min"))
        scalar();
    if (wants("w2_vec64.forward.min") || wants("w2_vec64.total.min"))
        vec64();
    for (int64_t n : {1 << 12, 1 << 22, 1 << 24})
        elementwise(n);
    for (int64_t n = 8; n <= 2048; n *= 2)
        matmul(n);
    mlp("a", 1, {8, 32, 32, 2}, 100);
    mlp("b", 64, {784, 128, 10}, 4);
    mlp("c", 256, {784, 512, 512, 10}, 1);
    conv_net();
    convolution();
    transformer("a", {8, 64, 128, 4, 4, 65}, 15);
    transformer("b", {4, 256, 384, 6, 6, 256}, 7);
    lstm("elementary", false);
    lstm("fused", true);
    if (wants("w9_springs.forward.min") || wants("w9_springs.total.min"))
        springs();
    footprint(argv[0]);
}

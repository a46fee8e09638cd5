// libtorch beside tape's workloads: the same loops on the same sizes, printed under the same names.
#include <torch/torch.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <regex>
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
    time_loss(7, simulate, {v0, k}).print("w9_springs", 1e3, "ms");
}

} // namespace

// Arguments: --filter REGEX --threads N, any others with a value each.
int main(int argc, char **argv)
{
    torch::set_num_threads(1);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::string(argv[i]) == "--filter")
            filter = std::regex(argv[i + 1], std::regex::extended);
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
    if (wants("w9_springs.forward.min") || wants("w9_springs.total.min"))
        springs();
}

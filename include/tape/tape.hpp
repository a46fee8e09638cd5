/*
 * A header-only C++17 wrapper: operators on tensors, and owners of leaves, tapes and pauses. Throws nothing, needs no
 * exceptions and no RTTI: errors stick on the tape as in C (tape_last_status(), tape_message()).
 *
 *     using namespace tape_cxx;
 *     leaf w = param({0.5, 1.5});
 *     tensor loss = sum(square(w - 1.0));
 *     backward(loss);
 *     tape_print(w.gradient());
 *
 * Every op of tape/ops.h takes and returns these tensors as it is, since they convert to and from tape_tensor.
 */
#ifndef TAPE_TAPE_HPP
#define TAPE_TAPE_HPP

#include <initializer_list>
#include <utility>

#include "tape/tape.h"

namespace tape_cxx
{

/* A handle, by value; owns nothing. */
class tensor
{
  public:
    tensor() : handle_(TAPE_NULL) {}
    tensor(tape_tensor handle) : handle_(handle) {}
    operator tape_tensor() const { return handle_; }

    /* False after a failed op. */
    explicit operator bool() const { return !tape_is_null(handle_); }
    double item() const { return tape_item(handle_); }
    tape_shape shape() const { return tape_shape_of(handle_); }

  private:
    tape_tensor handle_;
};

/* The four operations, with a number on either side. */
#define TAPE__OPERATOR(symbol, name)                                                                                   \
    inline tensor operator symbol(tensor a, tensor b)                                                                  \
    {                                                                                                                  \
        return tape_##name(a, b);                                                                                      \
    }                                                                                                                  \
    inline tensor operator symbol(tensor a, double s)                                                                  \
    {                                                                                                                  \
        return tape_##name##_scalar(a, s);                                                                             \
    }                                                                                                                  \
    inline tensor operator symbol(double s, tensor b)                                                                  \
    {                                                                                                                  \
        return tape_scalar_##name(s, b);                                                                               \
    }
TAPE__OPERATOR(+, add)
TAPE__OPERATOR(-, sub)
TAPE__OPERATOR(*, mul)
TAPE__OPERATOR(/, div)
#undef TAPE__OPERATOR
inline tensor operator-(tensor x)
{
    return tape_neg(x);
}

/* What is used most, without prefix and with defaults. */
inline tensor sum(tensor x, tape_axes axes = TAPE_ALL, bool keep_dims = false)
{
    return tape_sum(x, axes, keep_dims);
}
inline tensor mean(tensor x, tape_axes axes = TAPE_ALL, bool keep_dims = false)
{
    return tape_mean(x, axes, keep_dims);
}
inline tensor square(tensor x)
{
    return tape_square(x);
}
inline tensor matmul(tensor a, tensor b)
{
    return tape_matmul(a, b);
}
inline tape_status backward(tensor y)
{
    return tape_backward(y);
}

/* Owns a leaf and frees it; moves, does not copy. */
class leaf
{
  public:
    leaf() = default;
    explicit leaf(tape_tensor handle) : handle_(handle) {}
    leaf(leaf &&other) noexcept : handle_(std::exchange(other.handle_, TAPE_NULL)) {}
    leaf &operator=(leaf &&other) noexcept
    {
        if (this != &other) {
            tape_free(handle_);
            handle_ = std::exchange(other.handle_, TAPE_NULL);
        }
        return *this;
    }
    leaf(const leaf &) = delete;
    leaf &operator=(const leaf &) = delete;
    ~leaf() { tape_free(handle_); }

    operator tensor() const { return handle_; }
    operator tape_tensor() const { return handle_; }
    tensor gradient() const { return tape_gradient(handle_); }
    tape_status zero_grad() { return tape_zero_grad(handle_); }

  private:
    tape_tensor handle_ = TAPE_NULL;
};

#define TAPE__OPERATOR(symbol)                                                                                         \
    inline tensor operator symbol(const leaf &a, const leaf &b)                                                        \
    {                                                                                                                  \
        return tensor(a) symbol tensor(b);                                                                             \
    }                                                                                                                  \
    inline tensor operator symbol(const leaf &a, tensor b)                                                             \
    {                                                                                                                  \
        return tensor(a) symbol b;                                                                                     \
    }                                                                                                                  \
    inline tensor operator symbol(tensor a, const leaf &b)                                                             \
    {                                                                                                                  \
        return a symbol tensor(b);                                                                                     \
    }                                                                                                                  \
    inline tensor operator symbol(const leaf &a, double s)                                                             \
    {                                                                                                                  \
        return tensor(a) symbol s;                                                                                     \
    }                                                                                                                  \
    inline tensor operator symbol(double s, const leaf &b)                                                             \
    {                                                                                                                  \
        return s symbol tensor(b);                                                                                     \
    }
TAPE__OPERATOR(+)
TAPE__OPERATOR(-)
TAPE__OPERATOR(*)
TAPE__OPERATOR(/)
#undef TAPE__OPERATOR

/* A vector with gradient; f64, or f32 where the values are floats. */
inline leaf param(std::initializer_list<double> values)
{
    return leaf(tape_param(TAPE_F64, TAPE_SHAPE(values.size()), values.begin()));
}
inline leaf param(std::initializer_list<float> values)
{
    return leaf(tape_param(TAPE_F32, TAPE_SHAPE(values.size()), values.begin()));
}

/* A tape of its own, current on this thread while it lives. */
class scope
{
  public:
    explicit scope(const tape_config *config = nullptr) : tape_(tape_create(config)), before_(tape_make_current(tape_))
    {
    }
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;
    ~scope()
    {
        tape_make_current(before_);
        tape_destroy(tape_);
    }
    explicit operator bool() const { return tape_ != nullptr; }

  private:
    ::tape *tape_;
    ::tape *before_;
};

/* No recording while it lives. */
class pause
{
  public:
    pause() { tape_pause(); }
    pause(const pause &) = delete;
    pause &operator=(const pause &) = delete;
    ~pause() { tape_resume(); }
};

} // namespace tape_cxx

#endif

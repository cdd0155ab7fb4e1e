#include "tiling.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>

#include "errors.h"

namespace {

constexpr double UNKNOWN = 224;     // side of the windows of networks whose spec does not say what a pixel costs
constexpr int64_t MOST = 64;        // tiles along a side that `auto` considers

int64_t up_to_multiple(int64_t length, int64_t unit) { return (length + unit - 1) / unit * unit; }

// Python's -(-length // unit) * unit, which rounds differently from ceil(length / unit).
int64_t up_to_multiple(double length, int64_t unit) {
    const double rest = std::fmod(length, static_cast<double>(unit));
    return static_cast<int64_t>(std::floor((length - rest) / unit + 0.5)) * unit + (rest > 0 ? unit : 0);
}

// The least side that `auto` takes: a third is kept. With a few pixels, a frame may take days.
int64_t least_side(const Spec& spec) {
    return std::max(4 * spec.multiple, (3 * spec.halo + spec.multiple - 1) / spec.multiple * spec.multiple);
}

// The least window side with which `count` windows cover `length`; none where they cannot.
std::optional<int64_t> side_of(const Spec& spec, int64_t length, int64_t count) {
    if (count == 1) return length;
    const int64_t overlap = 2 * spec.halo;
    const double n = static_cast<double>(count), l = static_cast<double>(length);
    const double least =
        spec.global ? l / (n - (n - 1) / 4) : static_cast<double>(length + (count - 1) * overlap) / n;
    const int64_t side = up_to_multiple(least, spec.multiple);
    if (least_side(spec) <= side && side < length) return side;
    return std::nullopt;
}

// The window that fits the budget and computes least; of equal ones the squarest.
std::pair<int64_t, int64_t> largest(const Spec& spec, int64_t height, int64_t width, double budget) {
    const double area =
        spec.memory ? budget * 1e9 / static_cast<double>(spec.memory) : UNKNOWN * UNKNOWN;
    std::optional<std::tuple<int64_t, int64_t, int64_t, int64_t>> best;
    for (int64_t rows = 1; rows <= MOST; ++rows) {
        const auto tall = side_of(spec, height, rows);
        for (int64_t columns = 1; tall && columns <= MOST; ++columns) {
            const auto wide = side_of(spec, width, columns);
            if (!wide || static_cast<double>(*tall * *wide) > area) continue;
            const std::tuple choice{rows * columns * *tall * *wide, std::abs(*tall - *wide), *tall, *wide};
            if (!best || choice < *best) best = choice;
            break;  // more columns only compute more
        }
    }
    if (best) return {std::get<2>(*best), std::get<3>(*best)};
    // Too little memory, or too many windows: the square that fits, or the least one.
    const auto fits = static_cast<int64_t>(std::sqrt(area)) / spec.multiple * spec.multiple;
    const int64_t side = std::max(fits, least_side(spec));
    return {std::min(height, side), std::min(width, side)};
}

std::pair<int64_t, int64_t> fixed(const Spec& spec, int64_t height, int64_t width, int64_t tile) {
    const int64_t unit = spec.multiple, side = tile / spec.factor() / unit * unit;
    const int64_t least = up_to_multiple(spec.global ? 2 * unit : 2 * spec.halo + unit, unit);
    if (side < least && side < std::max(height, width))
        throw UserError("--tile " + std::to_string(tile) + ": " + spec.id +
                        " looks so far around each pixel that a tile needs at least " +
                        std::to_string(least * spec.factor()) + " pixels; choose that or more, or auto");
    return {std::min(height, side), std::min(width, side)};
}

float ramp(int64_t i, int64_t length) {
    return (static_cast<float>(i) + 0.5f) / static_cast<float>(std::max<int64_t>(length, 1));
}

// Spread as few windows as cover `length` evenly over it.
Axis make_axis(const Spec& spec, int64_t length, int64_t size) {
    const int64_t overlap = spec.global ? size / 4 : 2 * spec.halo;
    const int64_t unit = spec.multiple, scale = spec.scale;
    int64_t steps = 0;
    if (size < length) {
        const int64_t stride = std::max(unit, (size - overlap) / unit * unit);
        steps = std::max<int64_t>(1, (length - size + stride - 1) / stride);
    }
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < steps; ++i) starts.push_back(i * (length - size) / steps / unit * unit);
    starts.push_back(length - size);
    const int64_t blend = spec.global ? scale * overlap / 2 * 2 : 0;
    Axis axis{size, {}};
    int64_t low = 0, rise = 0;
    for (size_t i = 0; i < starts.size(); ++i) {
        const bool last = i + 1 == starts.size();
        // Neighbours meet in the middle of what they share.
        const int64_t next =
            last ? scale * length : scale * (starts[i] + size + starts[i + 1]) / 2 - blend / 2;
        const int64_t fall = last ? 0 : blend, high = next + fall;
        Span span{starts[i], low, high, std::vector<float>(static_cast<size_t>(high - low), 1.0f)};
        for (int64_t k = 0; k < rise; ++k) span.weight[k] = ramp(k, rise);
        for (int64_t k = 0; k < fall; ++k) span.weight[high - low - fall + k] = 1 - ramp(k, fall);
        axis.spans.push_back(std::move(span));
        low = next;
        rise = fall;
    }
    return axis;
}

}  // namespace

Plan make_plan(const Spec& spec, int64_t height, int64_t width, const Tiling& tiling) {
    const int64_t factor = spec.factor(), unit = spec.multiple;
    if (std::min(height, width) < unit) {
        const auto least = std::to_string(unit * factor);
        throw UserError("a frame of " + std::to_string(width * factor) + "x" + std::to_string(height * factor) +
                        " pixels is too small for " + spec.id + ", which needs at least " + least + "x" + least);
    }
    const int64_t tall = up_to_multiple(height, unit), wide = up_to_multiple(width, unit);
    const auto sides = tiling.kind == Tiling::WHOLE  ? std::pair{tall, wide}
                       : tiling.kind == Tiling::AUTO ? largest(spec, tall, wide, tiling.budget)
                                                     : fixed(spec, tall, wide, tiling.side);
    return {make_axis(spec, tall, sides.first), make_axis(spec, wide, sides.second)};
}

Assembly::Assembly(const Spec& spec, const Plan& plan, Sink sink)
    : scale_(spec.scale), width_(plan.columns.spans.back().high), plan_(plan), sink_(std::move(sink)) {}

void Assembly::put(const float* output) {
    const auto &rows = plan_.rows.spans, &columns = plan_.columns.spans;
    const size_t row = count_ / columns.size(), column = count_ % columns.size();
    ++count_;
    const Span &down = rows[row], &across = columns[column];
    const int64_t tall = scale_ * plan_.rows.size, wide = scale_ * plan_.columns.size;
    const int64_t left = scale_ * across.start;
    if (column == 0) grow(down.high);
    for (int64_t plane = 0; plane < 3; ++plane)
        for (int64_t y = down.low; y < down.high; ++y) {
            const float* from = output + (plane * tall + y - scale_ * down.start) * wide;
            float* to = band_.data() + (plane * height_ + y - top_) * width_;
            const float vertical = down.weight[y - down.low];
            for (int64_t x = across.low; x < across.high; ++x)
                to[x] += std::clamp(from[x - left], 0.0f, 1.0f) * (vertical * across.weight[x - across.low]);
        }
    if (column + 1 == columns.size()) release(row + 1 == rows.size() ? down.high : rows[row + 1].low);
}

// Continue the band down to output row `bottom`.
void Assembly::grow(int64_t bottom) {
    const int64_t height = bottom - top_;
    std::vector<float> band(static_cast<size_t>(3 * height * width_), 0.0f);
    for (int64_t plane = 0; plane < 3; ++plane)
        std::copy_n(band_.data() + plane * height_ * width_, height_ * width_,
                    band.data() + plane * height * width_);
    band_.swap(band);
    height_ = height;
}

// Hand on the rows above `finished`, and keep the others.
void Assembly::release(int64_t finished) {
    const int64_t done = finished - top_, left = height_ - done;
    sink_({top_, done, width_, height_ * width_, band_.data()});
    std::vector<float> rest(static_cast<size_t>(3 * left * width_));
    for (int64_t plane = 0; plane < 3; ++plane)
        std::copy_n(band_.data() + (plane * height_ + done) * width_, left * width_,
                    rest.data() + plane * left * width_);
    band_.swap(rest);
    top_ = finished;
    height_ = left;
}

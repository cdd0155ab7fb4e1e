#include "restore.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

namespace {

void check_kind(const Spec& spec, const Picture& input) {
    if (spec.raw() && !(input.grey() && input.depth() == 16))
        throw UserError(spec.id + " restores raw frames: give a mosaic as a 16-bit grey PNG");
}

// A picture of `type` integers, of which finished rows are written; what reaches beyond it falls away.
template <typename T>
void put_rows(const Rows& rows, cv::Mat& pixels) {
    const float top = sizeof(T) == 1 ? 255.0f : 65535.0f;
    const int64_t last = std::min<int64_t>(rows.top + rows.count, pixels.rows);
    const int channels = pixels.channels();
    for (int64_t y = rows.top; y < last; ++y) {
        T* to = pixels.ptr<T>(static_cast<int>(y));
        const float* from = rows.values + (y - rows.top) * rows.width;
        for (int x = 0; x < pixels.cols; ++x, to += channels) {
            T colours[3];  // red, green, blue
            for (int c = 0; c < 3; ++c) colours[c] = static_cast<T>(quantise(from[c * rows.stride + x], top));
            if (channels == 1) {
                const float sum = colours[0] / top + colours[1] / top + colours[2] / top;
                to[0] = static_cast<T>(quantise(sum / 3, top));
            } else {
                std::reverse_copy(colours, colours + 3, to);
            }
        }
    }
}

template <typename From, typename To>
void copy_alpha(const cv::Mat& from, cv::Mat& to) {
    const float range = sizeof(From) == 1 ? 255.0f : 65535.0f, top = sizeof(To) == 1 ? 255.0f : 65535.0f;
    for (int y = 0; y < to.rows; ++y)
        for (int x = 0; x < to.cols; ++x)
            to.ptr<To>(y)[4 * x + 3] = static_cast<To>(quantise(from.ptr<From>(y)[4 * x + 3] / range, top));
}

void pass_alpha_on(const cv::Mat& from, cv::Mat& to) {
    const bool wide = from.depth() == CV_16U, wider = to.depth() == CV_16U;
    (wide ? wider ? copy_alpha<uint16_t, uint16_t> : copy_alpha<uint16_t, uint8_t>
          : wider ? copy_alpha<uint8_t, uint16_t> : copy_alpha<uint8_t, uint8_t>)(from, to);
}

// Turn a window of the input into input + strength * (output - input).
void blend(std::vector<float>& input, const float* output, float strength) {
    for (size_t i = 0; i < input.size(); ++i) input[i] += strength * (output[i] - input[i]);
}

// Of 0 to 1 linearly from `low` to `high`.
float ramp(float value, float low, float high) { return std::clamp((value - low) * (1 / (high - low)), 0.0f, 1.0f); }

// Make the overexposed parts of a picture of a mosaic white: paddle_restore/data/highlights.py says why and how.
template <typename T>
void whiten(const Source& source, cv::Mat& pixels) {
    const float white = source.white() * (sizeof(T) == 1 ? 255.0f : 65535.0f);
    const cv::Mat cells = source.darkest_colours();
    const auto inside = [](int at, int side) {  // by reflection
        return at < 0 ? std::min(-at, side - 1) : at < side ? at : std::max(0, 2 * side - 2 - at);
    };
    for (int y = 0; y < cells.rows; ++y)
        for (int x = 0; x < cells.cols; ++x) {
            float sum = 0;
            for (int down = -1; down <= 1; ++down)
                for (int right = -1; right <= 1; ++right)
                    sum += std::min(2.0f, cells.at<float>(inside(y + down, cells.rows), inside(x + right, cells.cols)));
            const float weight = ramp(sum / 9, 0.9f, 1.0f) * ramp(cells.at<float>(y, x), 0.4f, 0.7f);
            if (weight == 0) continue;
            for (int row = 2 * y; row < std::min(2 * y + 2, pixels.rows); ++row)
                for (int at = 3 * 2 * x; at < std::min(3 * (2 * x + 2), 3 * pixels.cols); ++at) {
                    T& value = pixels.ptr<T>(row)[at];
                    value = static_cast<T>(std::nearbyint(value + weight * (white - value)));
                }
        }
}

}  // namespace

Picture restore(Network& network, const Spec& spec, const Picture& input, const Levels& levels,
                const Tiling& tiling, double strength, int depth, int64_t& tiles) {
    check_kind(spec, input);
    const Source source(spec, input, levels);
    const Plan plan = make_plan(spec, source.height(), source.width(), tiling);
    const int64_t height = input.pixels.rows * spec.scale / spec.factor();
    const int64_t width = input.pixels.cols * spec.scale / spec.factor();
    if (height * width > MAX_PIXELS)
        throw UserError(spec.id + " would make " + std::to_string(width) + "x" + std::to_string(height) +
                        " pixels, and the limit is " + std::to_string(MAX_PIXELS / 1'000'000) + " million");
    depth = depth ? depth : spec.raw() ? 16 : input.depth();
    const bool alpha = input.alpha() && spec.scale == 1;
    const int channels = spec.raw() ? 3 : input.grey() ? 1 : alpha ? 4 : 3;
    Picture output{cv::Mat(static_cast<int>(height), static_cast<int>(width),
                           CV_MAKETYPE(depth == 8 ? CV_8U : CV_16U, channels)),
                   input.chunks};
    Assembly assembly(spec, plan, [&](const Rows& rows) {
        depth == 8 ? put_rows<uint8_t>(rows, output.pixels) : put_rows<uint16_t>(rows, output.pixels);
    });
    tiles = 0;
    for (const Span& down : plan.rows.spans)
        for (const Span& across : plan.columns.spans) {
            auto window = source.window(down.start, across.start, plan.rows.size, plan.columns.size);
            const float* values = network.run(window, plan.rows.size, plan.columns.size);
            if (strength != 1) {
                blend(window, values, static_cast<float>(strength));
                values = window.data();
            }
            assembly.put(values);
            ++tiles;
        }
    if (spec.raw() && output.pixels.size() == input.pixels.size())
        depth == 8 ? whiten<uint8_t>(source, output.pixels) : whiten<uint16_t>(source, output.pixels);
    if (alpha) pass_alpha_on(input.pixels, output.pixels);
    return output;
}

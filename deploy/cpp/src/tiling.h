#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "package.h"

// The windows and blending of paddle_restore/inference/tiling.py, number for number.

struct Tiling {
    enum Kind { AUTO, WHOLE, SIDE } kind = AUTO;
    int64_t side = 0;     // of the square windows in the picture's (sensor's) pixels
    double budget = 1.0;  // GB of working memory for AUTO
};

// One window along an axis: its start in input pixels, and the part [low, high) of the output that counts.
struct Span {
    int64_t start, low, high;
    std::vector<float> weight;
};

// All windows along an axis, each `size` input pixels long.
struct Axis {
    int64_t size;
    std::vector<Span> spans;
};

struct Plan {
    Axis rows, columns;
};

// The windows of a frame of height x width input pixels. Throws UserError for a frame below the multiple,
// or a tile that its context leaves nothing of.
Plan make_plan(const Spec& spec, int64_t height, int64_t width, const Tiling& tiling);

// Finished rows of the frame's output, from row `top` on: three planes that begin `stride` floats apart.
struct Rows {
    int64_t top, count, width, stride;
    const float* values;
};

// Adds up tiles, which come row by row, and hands on finished rows; holds one row of tiles.
class Assembly {
public:
    using Sink = std::function<void(const Rows&)>;

    Assembly(const Spec& spec, const Plan& plan, Sink sink);

    // Takes the next tile's output, three planes, each scale times the window's sides; clipped to [0, 1].
    void put(const float* output);

private:
    void grow(int64_t bottom);
    void release(int64_t finished);

    int64_t scale_, width_;
    const Plan& plan_;
    Sink sink_;
    size_t count_ = 0;
    int64_t top_ = 0, height_ = 0;  // of the band
    std::vector<float> band_;
};

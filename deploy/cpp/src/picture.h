#pragma once

#include <cstdint>
#include <filesystem>
#include <opencv2/core.hpp>
#include <string>

constexpr int64_t MAX_PIXELS = 500'000'000;

// A PNG file's pixels as OpenCV orders them (grey; blue, green, red; with alpha), 8 or 16 bit, and the
// chunks that say what the colours mean, which go along unread.
struct Picture {
    cv::Mat pixels;
    std::string chunks;

    int depth() const { return pixels.depth() == CV_8U ? 8 : 16; }
    bool grey() const { return pixels.channels() == 1; }
    bool alpha() const { return pixels.channels() == 4; }
};

// Throws UserError for a file that is missing, broken, not PNG, animated, or too large.
Picture read_png(const std::filesystem::path& path);

// Writes a temporary file, which takes its name when it is whole. Throws UserError.
void write_png(const std::filesystem::path& path, const Picture& picture);

// [0, 1], or beyond and clipped -> an integer up to `top`, rounded to even as NumPy does.
int quantise(float value, float top);
